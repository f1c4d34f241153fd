"""Recipes are read strictly, and every mistake is named with its remedy."""

from pathlib import Path

import pytest
from pydantic import Field, model_validator

from emprior.errors import FileError, OptionError, RecipeError
from emprior.recipes import Recipe, load


class Stage(Recipe):
    rate: float = Field(default=0.1, gt=0, le=1)
    steps: int = 10


class Example(Recipe):
    name: str
    seed: int = Field(default=0, ge=0)
    stage: Stage = Stage()
    stages: tuple[Stage, ...] = ()

    @model_validator(mode="after")
    def _no_forbidden_name(self):
        if self.name == "forbidden":
            raise OptionError("a forbidden name", expected="another", why="because", fix="rename")
        return self


def _write(folder: Path, text: str) -> Path:
    path = folder / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_recipe_survives_the_round_trip(tmp_path):
    text = 'name = "a"\n[stage]\nrate = 1\n[[stages]]\nsteps = 3\n'
    recipe = load(_write(tmp_path, text), Example)
    assert recipe.stage == Stage(rate=1.0)
    assert recipe.stages == (Stage(steps=3),)
    assert Example.from_dict(recipe.to_dict()) == recipe


@pytest.mark.parametrize(
    ("text", "got", "advice"),
    [
        ('name = "a"\nsede = 1', "unknown key sede", "did you mean 'seed'"),
        ('name = "a"\n[stage]\nrates = 1', "unknown key stage.rates", "did you mean 'rate'"),
        ('name = "a"\n[[stages]]\nstep = 1', "unknown key stages.0.step", "did you mean 'steps'"),
        ('name = "a"\nzzzz = 1', "unknown key zzzz", "name, seed, stage, stages"),
        ("seed = 1", "no name", "add name"),
        ('name = "a"\nseed = -1', "seed = -1", "greater than or equal to 0"),
        ('name = "a"\nseed = 1.5', "seed = 1.5", "valid integer"),
        ('name = "a"\nseed = true', "seed = True", "valid integer"),
        ('name = "a"\nseed = "1"', "seed = '1'", "valid integer"),
        ('name = "a"\n[stage]\nrate = nan', "stage.rate = nan", "finite"),
        ('name = "a"\nstage = 3', "stage = 3", r"a \[section\] of keys"),
        ('name = "a"\nseed = -1\n[stage]\nrate = 2', r"seed = -1 \(and 1 more\)", "correct seed"),
        ('name = "forbidden"', "a forbidden name", "do: rename"),
        ("name = a", "line 1", "quotes"),
    ],
)
def test_mistakes_are_named(tmp_path, text, got, advice):
    path = _write(tmp_path, text)
    with pytest.raises(RecipeError, match=got) as caught:
        load(path, Example)
    assert caught.match(advice)
    assert str(path) in str(caught.value)


def test_a_missing_or_binary_file_is_an_error(tmp_path):
    with pytest.raises(FileError, match="No such file"):
        load(tmp_path / "absent.toml", Example)
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FileError, match="UTF-8"):
        load(tmp_path / "binary.toml", Example)


def test_a_recipe_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        Example(name="a").seed = 3
