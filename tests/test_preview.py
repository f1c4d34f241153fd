"""A look at a recipe before its data set is simulated."""

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from emprior.cli import app
from emprior.errors import OptionError, OutputError, RecipeError
from emprior.simulate import Simulation, preview
from emprior.simulate.micrographs import simulate_structure

TOML = """
seed = 3
dtype = "float16"
[view]
shape = [30, 44]
pixel_size = 0.4
[structure]
kind = "slab"
zone_axis = [0, 0, 1]
thickness = [8, 12]
[structure.crystal]
prototype = "perovskite"
elements = ["Sr", "Ti", "O"]
a = 3.905
[[group]]
name = "many"
structures = 300
images = 2
grid = 192
[[group]]
name = "one"
structures = 1
grid = 192
"""


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(TOML)
    return path


def test_the_sheet_shows_the_first_images_of_the_set_and_nothing_is_simulated(recipe, tmp_path):
    shares = []
    found = preview(recipe, tmp_path / "sheet.png", workers=2, progress=shares.append)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine.toml", "sheet.png"]
    assert (found.shown, found.images, found.workers) == (12, 601, 2)
    assert found.size == 601 * 30 * 44 * 2
    assert shares[-1] == 1
    assert shares == sorted(shares)
    sheet = np.asarray(Image.open(found.sheet))
    assert sheet.ndim == 2
    first = simulate_structure(Simulation.from_dict(_values(recipe)), 0, 0).images[0]
    tile = sheet[4:34, 4:48].astype(float)
    assert np.corrcoef(tile.ravel(), first.astype(float).ravel())[0, 1] > 0.99


def _values(recipe):
    import tomllib

    return tomllib.loads(recipe.read_text())


def test_the_time_is_that_of_all_structures_shared_by_the_workers(recipe, tmp_path, monkeypatch):
    clock = iter(np.arange(0, 1000, 0.5))
    monkeypatch.setattr("time.monotonic", lambda: float(next(clock)))
    one = preview(recipe, tmp_path / "a.png", workers=1)
    two = preview(recipe, tmp_path / "b.png", workers=2)
    # Each structure takes one tick of the clock, half a second.
    assert one.seconds - two.seconds == pytest.approx(301 * 0.5 / 2)
    assert "601 images" in str(one)
    assert "3 min with 1 worker," in str(one)


def test_the_command_tells_the_time_and_names_the_sheet(recipe, tmp_path):
    result = CliRunner().invoke(app, ["simulate", str(recipe), "--preview", "--workers", "1"])
    assert result.exit_code == 0
    assert (tmp_path / "mine.png").is_file()
    assert "12 of 601 images" in result.stderr.replace("\n", " ")
    again = CliRunner().invoke(app, ["simulate", str(recipe), "--preview", "--workers", "1"])
    assert again.exit_code == 0  # a sheet is replaced
    named = ["simulate", str(recipe), "--preview", "-o", str(tmp_path / "look")]
    assert CliRunner().invoke(app, named).exit_code == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["look.png", "mine.png", "mine.toml"]
    without = CliRunner().invoke(app, ["simulate", str(recipe)])
    assert without.exit_code == 2


def test_what_cannot_be_previewed_is_said(recipe, tmp_path):
    with pytest.raises(OutputError, match="cannot write"):
        preview(recipe, tmp_path / "absent" / "sheet.png")
    with pytest.raises(OptionError, match="0 workers"):
        preview(recipe, tmp_path / "sheet.png", workers=0)
    Image.new("L", (8, 8)).save(tmp_path / "micrograph.png")
    before = (tmp_path / "micrograph.png").read_bytes()
    with pytest.raises(OutputError, match="is no contact sheet"):
        preview(recipe, tmp_path / "micrograph.png")
    assert (tmp_path / "micrograph.png").read_bytes() == before
    recipe.write_text(TOML.replace("grid = 192", "grid = 200").replace("[30, 44]", "[30, 444]"))
    with pytest.raises(RecipeError, match="grid of 200"):
        preview(recipe, tmp_path / "sheet.png")
    assert not (tmp_path / "sheet.png").exists()
