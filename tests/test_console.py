"""What is said on standard error: plain lines, each once, file names as they are."""

import warnings

import pytest

from emprior.console import Console
from emprior.errors import EmpriorWarning


def test_plain_progress_is_a_line_at_every_tenth_before_the_end(capsys):
    with Console().progress("a.npy") as progress:
        for i in range(1001):
            progress(i / 1000)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"a.npy: {i}0%" for i in range(1, 10)]


def test_a_leap_in_progress_is_one_line(capsys):
    with Console().progress("a.npy") as progress:
        for share in (0.0, 0.55, 0.56, 0.61, 1.0):
            progress(share)
    assert capsys.readouterr().err.splitlines() == ["a.npy: 55%", "a.npy: 61%"]


def test_quiet_says_only_what_is_wrong(capsys):
    console = Console(quiet=True)
    console.say("hello")
    with console.progress("task") as progress:
        progress(0.5)
    console.complain("error", "bad")
    out, err = capsys.readouterr()
    assert (out, err) == ("", "error: bad\n")


@pytest.mark.parametrize(
    "name", ["[bold]x[/].npy", "[/x].npy", ":smile:.npy", "Å μ→.npy", "a" * 300]
)
def test_file_names_are_said_as_they_are(capsys, monkeypatch, name):
    console = Console()
    console.say(name)
    console.complain("warning", name)
    with console.progress(name) as progress:
        progress(0.5)
    assert capsys.readouterr().err == f"{name}\nwarning: {name}\n{name}: 50%\n"


def test_on_a_terminal_there_is_a_bar_that_goes_away(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes this for a terminal
    monkeypatch.setenv("TERM", "xterm")
    with Console().progress("[/x].npy") as progress:
        progress(0.25)
        progress(1.0)
    err = capsys.readouterr().err
    assert "[/x].npy" in err
    assert "100%" in err
    assert err.endswith("\x1b[2K")  # the line is erased


def test_warnings_of_ours_are_lines_each_once_others_stay(capsys):
    console = Console()
    with warnings.catch_warnings(record=True), console.warnings():
        for text in ("assumed", "assumed", "else"):
            warnings.warn(text, EmpriorWarning, stacklevel=1)
    assert capsys.readouterr().err == "warning: assumed\nwarning: else\n"
    with pytest.warns(RuntimeWarning, match="foreign"), console.warnings():
        warnings.warn("foreign", RuntimeWarning, stacklevel=1)
    assert capsys.readouterr().err == ""
