"""The simulation against an image that another program computed."""

import pytest

from emprior.errors import ImageError
from emprior.io import read
from emprior.recipes import load
from emprior.simulate.reference import Reference, agreement, build, render

IMAGE = "hrtem_simulated/PtNp2-S3_5_240slc_1024x1024_6nmDefocus.tif"


@pytest.fixture
def recipe(request):
    return load(request.config.rootpath / "recipes" / "reference.toml", Reference)


def test_the_known_structure_has_the_columns_its_recipe_lists(recipe):
    columns = build(recipe.structure).columns()
    counts = sorted(columns.counts[columns.numbers == 78])
    assert counts == sorted(n for row in recipe.structure.rows for n in row.counts)


def test_the_published_image_is_met(recipe, test_data):
    path = test_data / IMAGE
    if not path.exists():
        pytest.skip(f"{IMAGE} is not among the test files")
    reference = read(path).data.astype(float)
    found = agreement(render(recipe), reference)
    assert found.ncc >= 0.99
    assert found.psnr >= 35
    with pytest.raises(ImageError, match="a reference of shape"):
        agreement(reference, reference[:-1])
