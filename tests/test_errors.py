import pickle

import pytest

from emprior import errors
from emprior.errors import EmpriorError, MissingExtraError, import_extra


def tree(kind):
    yield kind
    for child in kind.__subclasses__():
        yield from tree(child)


@pytest.mark.parametrize("kind", list(tree(EmpriorError)))
def test_every_error_says_four_things_and_survives_pickling(kind):
    error = kind("a 3-D array", expected="a frame", why="one at a time", fix="loop over frames")
    for text in (str(error), str(pickle.loads(pickle.dumps(error)))):
        assert text.splitlines() == [
            "a 3-D array",
            "  expected: a frame",
            "  why: one at a time",
            "  do: loop over frames",
        ]
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert (again.got, again.expected, again.why, again.fix) == (
        error.got,
        error.expected,
        error.why,
        error.fix,
    )


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (errors.ImageError, ValueError),
        (errors.OptionError, ValueError),
        (errors.FileError, ValueError),
        (errors.OutputError, OSError),
        (errors.MissingExtraError, ImportError),
        (errors.EmpriorWarning, UserWarning),
    ],
)
def test_errors_are_also_the_builtin_that_a_caller_would_catch(kind, builtin):
    assert issubclass(kind, builtin)


def test_docstring_draws_the_whole_tree():
    for kind in tree(EmpriorError):
        assert kind.__name__ in errors.__doc__


def test_four_parts_are_required():
    with pytest.raises(TypeError, match="fix"):
        EmpriorError("got", expected="this", why="that")


def test_import_extra_returns_the_module_or_names_the_extra():
    assert import_extra("json", "none", "nothing").dumps([1]) == "[1]"
    with pytest.raises(MissingExtraError) as caught:
        import_extra("not_a_module_of_anyone", "simulate", "simulating micrographs")
    assert "pip install 'emprior[simulate]'" in str(caught.value)
    assert "simulating micrographs" in str(caught.value)


def test_import_extra_does_not_hide_an_error_inside_the_module(tmp_path, monkeypatch):
    (tmp_path / "broken_extra.py").write_text("import a_module_that_it_needs\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="a_module_that_it_needs") as caught:
        import_extra("broken_extra", "simulate", "nothing")
    assert not isinstance(caught.value, MissingExtraError)
