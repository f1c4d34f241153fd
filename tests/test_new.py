"""Recipes for one's own material, and what a noisy example tells of itself."""

import tomllib

import numpy as np
import pytest
from ase import Atoms
from ase.io import write as write_atoms
from typer.testing import CliRunner

from emprior.cli import app
from emprior.errors import FileError, OptionError, OutputError, RecipeError
from emprior.io import Axis, Signal, write
from emprior.new import look, new, parse_axis
from emprior.recipes import load
from emprior.simulate import Simulation
from emprior.simulate.feasible import cell, check_grid


@pytest.fixture
def cif(tmp_path):
    path = tmp_path / "crystals" / "SrTiO3.cif"
    path.parent.mkdir()
    places = [(0, 0, 0), (0.5, 0.5, 0.5), (0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0)]
    write_atoms(path, Atoms("SrTiO3", scaled_positions=places, cell=[3.905] * 3, pbc=True))
    return path


@pytest.fixture
def noisy(tmp_path):
    """Counts of a gain of 7 at 0.05 Å a pixel and 200 kV, (300, 340)."""
    rng = np.random.default_rng(0)
    x = np.arange(340) * 2 * np.pi / 40
    clean = np.broadcast_to(5 + 2 * np.cos(x), (300, 340))
    axes = (Axis("y", 300, scale=0.005, units="nm"), Axis("x", 340, scale=0.005, units="nm"))
    metadata = {
        "General": {"title": "mine"},
        "Acquisition_instrument": {"TEM": {"beam_energy": 200.0}},
    }
    counts = (7 * rng.poisson(clean)).astype(np.uint16)
    write(tmp_path / "noisy.hspy", Signal(counts, axes, metadata))
    return tmp_path / "noisy.hspy"


def test_an_example_tells_pixel_size_field_voltage_and_dose(noisy):
    found = look(noisy)
    assert found.shape == (300, 340)
    assert found.pixel_size == pytest.approx(0.05)
    assert found.energy == pytest.approx(200e3)
    assert found.counts == pytest.approx(5, rel=0.06)
    assert found.dose == pytest.approx(5 / 0.05**2, rel=0.06)
    assert look(noisy, 0.1).pixel_size == 0.1


def test_the_recipe_takes_them_over_and_can_be_simulated(cif, noisy, tmp_path):
    out = tmp_path / "mine.toml"
    made = new("strontium titanate", cif, (0, 0, 1), out, example=look(noisy))
    read = load(out, Simulation)
    assert read == made
    assert read.structure.crystal.cif == "crystals/SrTiO3.cif"
    assert read.structure.zone_axis == (0, 0, 1)
    assert read.optics.energy == 200e3
    # Four pixels pooled, the largest whole number within 0.2 Å.
    assert read.view.pixel_size == pytest.approx(0.2)
    assert read.view.shape == (75, 85)
    check_grid(read)
    assert 0.12 < cell(read)[0] / read.group[0].grid < 0.15
    assert set(tomllib.loads(out.read_text())["group"][0]["vibration"]) == {"O", "Ti", "Sr"}
    comments = [line for line in out.read_text().splitlines() if "#" in line]
    assert len(comments) > 20
    said = next(line for line in comments if "noisy.hspy" in line)
    for part in ("300 × 340", "0.05 Å", "15 × 17 Å", "electrons a pixel", "per Å²"):
        assert part in said


def test_without_an_example_it_says_that_it_guesses(cif, tmp_path):
    made = new('a "name"', cif, (1, 1, 0), tmp_path / "mine.toml")
    assert made.group[0].name == 'a "name"'
    assert "guesses" in (tmp_path / "mine.toml").read_text()
    other = new("another", cif, (1, 1, 0), tmp_path / "other.toml")
    assert made.seed != other.seed


@pytest.mark.parametrize(
    ("text", "axis"),
    [
        ("001", (0, 0, 1)), ("1-10", (1, -1, 0)), ("1 -1 0", (1, -1, 0)), ("-1,2,10", (-1, 2, 10)),
        ("[1 1 1]", (1, 1, 1)), ("[-110]", (-1, 1, 0)),
    ],
)  # fmt: skip
def test_zone_axes_are_read_as_people_write_them(text, axis):
    assert parse_axis(text) == axis


@pytest.mark.parametrize("text", ["", "01", "0001", "1 1", "a b c", "1.5 0 0", "1-1x", "--110"])
def test_what_is_no_zone_axis_is_said(text):
    with pytest.raises(OptionError, match="the zone axis"):
        parse_axis(text)


def test_nothing_is_written_that_could_not_be_simulated(cif, tmp_path):
    out = tmp_path / "mine.toml"
    with pytest.raises(RecipeError, match=r"\[0 0 0\]"):
        new("x", cif, (0, 0, 0), out)
    with pytest.raises(FileError, match=r"absent\.cif"):
        new("x", tmp_path / "absent.cif", (0, 0, 1), out)
    for name in ("", "two\nlines"):
        with pytest.raises(OptionError, match="the name"):
            new(name, cif, (0, 0, 1), out)
    cif.write_text("no crystal")
    with pytest.raises(RecipeError, match="does not parse"):
        new("x", cif, (0, 0, 1), out)
    assert not out.exists()
    out.write_text("mine")
    with pytest.raises(OutputError, match="exists"):
        new("x", cif, (0, 0, 1), out)
    assert out.read_text() == "mine"
    np.save(tmp_path / "bare.npy", np.random.default_rng(0).poisson(4, (40, 50)).astype(float))
    with pytest.raises(OptionError, match="no pixel size"):
        look(tmp_path / "bare.npy")


def test_the_command_writes_it_and_says_what_comes_next(cif, noisy, tmp_path):
    out = tmp_path / "mine.toml"
    arguments = ["new", "STO", "--cif", str(cif), "--zone-axis", "001", "-o", str(out)]
    result = CliRunner().invoke(app, [*arguments, "--example", str(noisy)])
    assert result.exit_code == 0
    assert "--preview" in result.stderr
    assert load(out, Simulation).optics.energy == 200e3
    assert CliRunner().invoke(app, arguments).exit_code == 2
    assert CliRunner().invoke(app, [*arguments, "--overwrite"]).exit_code == 0
    assert CliRunner().invoke(app, ["new", "STO", "--cif", str(cif), "-o", "x"]).exit_code == 2
