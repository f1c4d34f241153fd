"""The tutorial's own commands, at small scale: docs/own-material.md."""

import re
import shlex

import numpy as np
import pytest
from typer.testing import CliRunner

from emprior.cli import app
from emprior.io import Signal, read, write

SMALLER = {
    "srtio3.toml": [
        (r"structures = \d+", "structures = 3"), (r"images = \d+", "images = 1"),
        (r"grid = \d+", "grid = 192"), (r"thickness = \[20.0, 100.0\]", "thickness = [8.0, 12.0]"),
    ],
    "srtio3-train.toml": [
        (r"crop = \d+", "crop = 32"), (r"scales = \d+", "scales = 2"),
        (r"width = \d+", "width = 4"), (r"images = \d+", "images = 16"),
    ],
}  # fmt: skip
"""What makes each file of the tutorial quick, by the command that comes to need it."""


def blocks(page):
    """The fenced blocks of a page, each with the file that the text before it names last."""
    for match in re.finditer(r"(.*?)^```(\w*)\n(.*?)^```$", page, re.M | re.S):
        names = re.findall(r"`([\w.-]+\.(?:cif|toml))`", match[1])
        yield match[2], match[3], names[-1] if names else None


def test_the_tutorial_goes_from_a_crystal_file_to_a_denoised_micrograph(
    request, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EMPRIOR_RUNS", str(tmp_path))
    x = 2 * np.pi * np.arange(64) * 0.2 / 3.905
    clean = 6 + 2 * np.cos(x)[:, None] * np.cos(x[:60])
    counts = np.random.default_rng(0).poisson(clean).astype(np.uint16)
    write(tmp_path / "noisy.hspy", Signal.from_array(counts, pixel_size=0.2))
    page = (request.config.rootpath / "docs" / "own-material.md").read_text()
    ran = []
    for language, text, name in blocks(page):
        if language != "console":
            assert name is not None
            (tmp_path / name).write_text(text)
            continue
        for command in re.findall(r"^\$ (.*)$", text, re.M):
            for path in tmp_path.glob("*.toml"):
                for pattern, smaller in SMALLER[path.name]:
                    path.write_text(re.sub(pattern, smaller, path.read_text()))
            program, *arguments = shlex.split(command)
            assert program == "emprior"
            more = ["--workers", "1"] if arguments[0] == "simulate" else []
            result = CliRunner().invoke(app, [*arguments, *more])
            if result.exit_code:
                pytest.fail(f"{command}\n{result.output}")
            ran.append(arguments[0])
    assert ran == ["new", "simulate", "simulate", "train", "denoise"]
    assert (tmp_path / "srtio3.png").is_file()
    denoised = read(tmp_path / "denoised.hspy")
    assert denoised.frame_shape == (64, 60)
    assert np.isfinite(denoised.data).all()
