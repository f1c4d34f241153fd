"""Hypothesis strategies: how files come to be damaged, and what may be typed on a command line."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

from hypothesis import strategies as st

from emprior.denoisers import LEARNED

Edit = tuple[str, float, bytes]
"""What is done, where (0 is the file's begin and 1 its end), and with which bytes."""

_EXTREMES = [b"\0", b"\xff", b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\xff" * 8, b"\0" * 8]
_CONTENT = st.sampled_from([*_EXTREMES, b"0", b" ", b"x"]) | st.binary(min_size=1, max_size=8)
# Most of what readers stumble over stands at the begin.
_PLACE = st.floats(0, 1).map(lambda x: x**3) | st.floats(0, 1)

_edit: st.SearchStrategy[Edit] = (
    st.tuples(st.sampled_from(["overwrite", "overwrite", "insert", "delete"]), _PLACE, _CONTENT)
    | st.tuples(st.just("cut"), _PLACE, st.just(b""))
    | st.tuples(st.just("append"), st.just(1.0), st.binary(min_size=1, max_size=300))
)
edits = st.lists(_edit, min_size=1, max_size=4)


def damaged(content: bytes, changes: Sequence[Edit]) -> bytes:
    """Return the content of a file with changes made one after another."""
    for kind, where, new in changes:
        at = int(where * max(len(content) - 1, 0))
        skipped = {"overwrite": len(new), "delete": len(new), "cut": len(content)}.get(kind, 0)
        kept = b"" if kind == "delete" else new
        if kind == "append":
            at = len(content)
        content = content[:at] + kept + content[at + skipped :]
    return content


_ODD_VALUES = [
    *(
        "-1",
        "0",
        "1e400",
        "nan",
        "-inf",
        "1e-320",
        "99999999999999999999",
        "true",
        '""',
        '"é\\u0000"',
    ),
    *("[]", "[[]]", "{}", "[1, -1]", "[3.0, 2.0, 1.0]", '"prior"', '"../.."', "2020-01-01", "= ="),
]


@st.composite
def odd_toml(draw: st.DrawFn, text: str) -> str:
    """Return a recipe some of whose lines are lost, doubled, misspelt or of another value."""
    lines = text.splitlines()
    for _ in range(draw(st.integers(1, 3))):
        i = draw(st.integers(0, len(lines) - 1))
        key, equals, value = lines[i].partition("=")
        match draw(st.sampled_from(["value", "number", "value", "drop", "double", "misspell"])):
            case "value" if equals:
                lines[i] = f"{key}= {draw(st.sampled_from(_ODD_VALUES) | st.text(max_size=8))}"
            case "number" if equals:
                number = draw(st.sampled_from(["-1", "0", "1e9", "0.5", "1e-9", "7"]))
                lines[i] = f"{key}={re.sub(r'-?[0-9][0-9_.e-]*', number, value, count=1)}"
            case "drop":
                lines[i] = ""
            case "double":
                lines.insert(i, lines[i])
            case _:
                lines[i] = lines[i][1:]
    return "\n".join(lines)


# ------------------------------------------------------------------------------------ command lines

IMAGES = [
    *("a.dm3", "b.dm4", "c.ser", "d.emi", "e.emd", "f.emd", "g.mrc", "h.tif", "i.rpl", "j.hspy"),
    *("k.tif", "l.tif", "m.mrc", "n.emd", "o.npy", "p.npy", "q.png", "r.png"),
]
_ODD_FILES = [
    *(
        "damaged",
        "absent.tif",
        "empty.tif",
        "flat.npy",
        "nan.npy",
        "tiny.npy",
        "wave.npy",
        "huge.npy",
    ),
    *("folder", "toy.safetensors", "recipe.toml", "@list.txt", "@absent.txt", "@damaged", "", "."),
    *("damaged", "damaged", "damaged"),
    *("two words.npy", "ünï [x] :smile:.npy", "-dash.npy", "null\0.npy", "a.dm3/b.tif", "x" * 300),
]
_RESULTS = ["out.hspy", "out.tif", "out.mrc", "out.emd", "out.npy", "out.png", "out"]
_ODD_RESULTS = [
    *("k.tif", "K.TIF", "absent/out.tif", "a.dm3/out.tif", "out.dm4", "out.zip", "", ".", ".hspy"),
    *("ünï [x].tif", "new\nline.npy", "null\0.npy", "x" * 300 + ".npy", "folder/../out.npy"),
    *("folder", "n.emd", "j.hspy"),
]
_ODD_NUMBERS = ["0", "-1", "nan", "inf", "1e300", "1e-300", "3.5", "Å", "", "9" * 25]
_NOISES = ["auto", "none", "poisson", "poisson:1", "gaussian:3", "poisson:1,offset=-2"]
_ODD_NOISES = [
    *("poisson:0", "poisson:1,clip=9", "poisson:-1", "poisson:1,offset=1e9", "salt", ":", ","),
    *("gaussian:", "gaussian:nan", "gaussian:1e30"),
]
_METHODS = ["blur"] * 6 + [
    "identity",
    "constant",
    "wiener",
    "pooled-blur",
    "wavelet",
    "tv",
    "magic",
]

files = st.sampled_from(3 * IMAGES + _ODD_FILES)
outputs = st.sampled_from(3 * _RESULTS + _ODD_RESULTS)
numbers = st.sampled_from(9 * ["0.2"] + _ODD_NUMBERS) | st.floats().map(str)
# What a terminal can pass on: no lone surrogates, and nothing that leaves the folder.
words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/~$"), max_size=12)
noises = st.sampled_from(5 * _NOISES + _ODD_NOISES) | words


def _options(**strategies: st.SearchStrategy[str] | None) -> st.SearchStrategy[list[str]]:
    """Draw some options, each at most once; None is a switch."""
    each = [
        st.just([f"--{name.replace('_', '-')}"])
        if values is None
        else values.map(lambda value, name=name: [f"--{name.replace('_', '-')}", value])
        for name, values in strategies.items()
    ]
    some = st.lists(st.sampled_from(range(len(each))), unique=True, max_size=3)
    return some.flatmap(
        lambda chosen: st.tuples(*(each[i] for i in chosen)).map(
            lambda parts: [*itertools.chain(*parts)]
        )
    )


def _line(command: str, *parts: st.SearchStrategy[list[str]]) -> st.SearchStrategy[list[str]]:
    return st.tuples(*parts).map(lambda found: [command, *itertools.chain(*found)])


def _one(values: st.SearchStrategy[str]) -> st.SearchStrategy[list[str]]:
    return values.map(lambda value: [value])


def _to(values: st.SearchStrategy[str]) -> st.SearchStrategy[list[str]]:
    return values.map(lambda value: ["-o", value])


_TABLES = st.sampled_from(["t.csv", "T.CSV", "t.txt", "k.tif", "out.csv/x.csv", ""])
_PAGES = st.sampled_from(["t.html", "t", "k.tif", "absent/t.html", "folder", ""])
_COMMANDS = [
    "cp {in} {out}",
    "false",
    "true {in} {out}",
    "absent-tool {in} {out}",
    "'{in} {out}",
    "{",
]
_SEEDS = st.sampled_from(["0", "1", "-1", "1.5", "x", "9" * 25])
_RECIPES = st.sampled_from(
    ["recipe.toml", "damaged", "absent.toml", "k.tif", "folder", "", "null\0"]
)
_FOLDERS = st.sampled_from(
    ["new", "out", "board", "k.tif", "k.tif/x", "~nobody/x", "", "null\0", "x" * 300]
)

denoise = _line(
    "denoise",
    st.sampled_from([1, 1, 1, 0, 2, 3]).flatmap(lambda n: st.lists(files, min_size=n, max_size=n)),
    _to(outputs),
    st.sampled_from(_METHODS).map(lambda method: ["--method", method]),
    _options(
        noise=noises,
        pixel_size=numbers,
        signal=st.sampled_from(["0", "1", "7", "HAADF", ""]) | words,
        seed=_SEEDS,
        prior=st.sampled_from(["default", "gan", "toy.safetensors", "damaged", ""]),
        device=st.sampled_from(["auto", "cpu", "tpu"]),
        columns=_TABLES,
        deviation=outputs,
        report=_PAGES,
        workers=st.sampled_from(["1", "0", "-1", "x"]),
        force=None,
        fast=None,
        no_faults=None,
        overwrite=None,
        quiet=None,
    ),
)
learned = _line(
    "denoise",
    _one(files),
    _to(outputs),
    st.tuples(
        st.sampled_from(LEARNED),
        st.sampled_from(["damaged", "absent", "k.tif", "folder", "null\0", "x" * 300]),
    ).map(lambda pair: ["--method", pair[0], "--prior", pair[1]]),
)
check = _line(
    "check",
    _one(files),
    _one(files),
    _options(
        json=st.sampled_from(["t.json", "k.tif", "absent/t", ""]),
        report=_PAGES,
        noise=noises,
        pixel_size=numbers,
        false_alarm=numbers | st.just("0.05"),
        command=st.sampled_from(_COMMANDS),
        signal=words,
        overwrite=None,
        quiet=None,
    ),
)
new = _line(
    "new",
    _one(words | st.just("MoS2")),
    st.sampled_from(3 * ["cell.cif", "damaged"] + ["absent.cif", "k.tif", ""]).map(
        lambda name: ["--cif", name]
    ),
    (st.sampled_from(3 * ["001", "1-10", "1 -1 0"] + ["[0 0 0]", "9" * 30]) | words).map(
        lambda axis: ["--zone-axis", axis]
    ),
    _to(st.sampled_from(["new.toml", "recipe.toml", "folder", "absent/new.toml", "k.tif/x", ""])),
    _options(example=files, pixel_size=numbers, overwrite=None, quiet=None),
)
simulate = _line(
    "simulate", _one(_RECIPES), _to(_FOLDERS), _options(preview=None, workers=_SEEDS, quiet=None)
)
train = _line(
    "train", _one(_RECIPES), _to(_FOLDERS), _options(resume=None, device=words, quiet=None)
)
evaluate = _line("evaluate", _one(_RECIPES), _to(_FOLDERS), _options(quiet=None))
report = _line(
    "report", _one(files | st.sampled_from(["board", "folder", "null\0"])), _options(quiet=None)
)
reproduce = _line(
    "reproduce",
    st.lists(words | st.just("nonsense"), max_size=2),
    _to(_FOLDERS),
    _options(scale=st.sampled_from(["none", ""]), images=files, list=None),
).filter(lambda line: not {"all", *(word.strip() for word in line)} & {"all"})
demo = _line("demo", _to(st.sampled_from(["k.tif", "k.tif/x", "board", "null\0", "x" * 300])))
anything = st.lists(
    words
    | st.sampled_from(["denoise", "check", "priors", "--help", "-o", "--version", "-q", "--"]),
    max_size=5,
)

_LINES = {
    "denoise": (denoise, 9),
    "learned": (learned, 1),
    "check": (check, 4),
    "new": (new, 2),
    **{
        name: (line, 1)
        for name, line in {
            "simulate": simulate,
            "train": train,
            "evaluate": evaluate,
            "report": report,
            "reproduce": reproduce,
            "demo": demo,
            "anything": anything,
        }.items()
    },
}
commands = st.sampled_from([name for name, (_, n) in _LINES.items() for _ in range(n)]).flatmap(
    lambda name: _LINES[name][0]
)
