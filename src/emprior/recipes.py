"""Recipes: TOML files of settings, read strictly.

A recipe is a frozen pydantic model derived from `Recipe`. Unknown keys, values of another type and
values out of range are errors that name the key and its nearest valid neighbour: a misspelt
setting that is silently ignored costs a night of computing.
"""

from __future__ import annotations

import difflib
import json
import tomllib
import types
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from emprior.errors import EmpriorError, FileError, RecipeError


class Recipe(BaseModel):
    """Base of all recipes and of their sections."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, validate_default=True
    )

    def to_dict(self) -> dict[str, Any]:
        """Return every setting, defaults included, as plain values ready for JSON."""
        return self.model_dump(mode="json")

    @classmethod
    def from_dict(cls, values: dict[str, Any], source: str = "recipe") -> Self:
        """Make a recipe from plain values.

        Parameters
        ----------
        values : dict
            As read from TOML or returned by `to_dict`.
        source : str
            Where they come from, for messages.

        Raises
        ------
        RecipeError
            If a key is unknown or missing, or a value is of the wrong type or out of range.
        """
        try:
            # Through JSON, since strictness there still lets a list be a tuple and a text a path.
            return cls.model_validate_json(json.dumps(values, default=str))
        except ValidationError as error:
            raise _explain(error, cls, source) from None


AnyRecipe = TypeVar("AnyRecipe", bound=Recipe)


def load(path: str | Path, kind: type[AnyRecipe]) -> AnyRecipe:
    """Read a recipe from a TOML file.

    Parameters
    ----------
    path : path
        The file.
    kind : type
        The model of the recipe, a subclass of `Recipe`.

    Raises
    ------
    FileError
        If the file cannot be read.
    RecipeError
        If it is not TOML, or a key or value is wrong.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(
            f"{path}: {getattr(error, 'strerror', None) or 'not text in UTF-8'}",
            expected="a recipe, which is a TOML file",
            why="the settings are read from it",
            fix="check the path; the folder recipes/ of the project holds examples",
        ) from error
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(
            f"{path}: {error}",
            expected="valid TOML: lines of key = value under [section] headings",
            why="nothing after the first mistake can be trusted",
            fix="correct that line; texts stand in quotes, true and false in lower case",
        ) from error
    return kind.from_dict(values, str(path))


def _explain(error: ValidationError, kind: type[Recipe], source: str) -> RecipeError:
    """Say the first problem in four parts and count the rest."""
    problems = error.errors()
    first = problems[0]
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, EmpriorError):  # a validator of the recipe has said it in full
        return RecipeError(
            f"{source}: {cause.got}{more}", expected=cause.expected, why=cause.why, fix=cause.fix
        )
    *parents, key = _walk(kind, first["loc"])[0] or [""]
    name = ".".join([*parents, key]) or "the recipe"
    if first["type"] in ("extra_forbidden", "missing"):
        section = ".".join(parents) or "the top level"
        models = _walk(kind, first["loc"][:-1])[1]
        valid = list(dict.fromkeys(field for model in models for field in model.model_fields))
        if first["type"] == "missing":
            return RecipeError(
                f"{source}: no {name}{more}",
                expected=f"a value for {key!r} in {section}",
                why="it has no default that would suit everyone",
                fix=f"add {key} = … to {section}",
            )
        near = difflib.get_close_matches(key, valid, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}? " if near else ""
        return RecipeError(
            f"{source}: unknown key {name}{more}",
            expected=f"in {section} one of {', '.join(valid)}",
            why="a setting that is ignored would give another result than was asked for",
            fix=f"{hint}rename or remove it",
        )
    if first["type"] == "union_tag_invalid":
        tag, tags = str(first["ctx"]["tag"]), str(first["ctx"]["expected_tags"])
        near = difflib.get_close_matches(tag, [one.strip("' ") for one in tags.split(",")], n=1)
        # A function tells it from its siblings, named after the key that it looks at.
        key = str(first["ctx"]["discriminator"]).strip("'_()")
        return RecipeError(
            f"{source}: {name}.{key} = {tag!r}{more}",
            expected=f"one of {tags}",
            why="each has settings of its own",
            fix=f"did you mean {near[0]!r}?" if near else "choose one of these",
        )
    message = first["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    message = message.replace("an object", "a [section] of keys")
    return RecipeError(
        f"{source}: {name} = {first['input']!r}{more}",
        expected=message,
        why="other values have no meaning there",
        fix=f"correct {name}",
    )


def _walk(
    kind: type[Recipe], location: Sequence[int | str]
) -> tuple[list[str], list[type[BaseModel]]]:
    """Return the keys that lead to a location as people write them, and the models found there."""
    keys: list[str] = []
    found: list[type[BaseModel]] = [kind]
    for part in location:
        fields = [model.model_fields[part] for model in found if part in model.model_fields]
        tagged = [model for model in found if part in _tags(model)]
        if tagged and not fields:  # of a union, not written
            found = tagged
            continue
        keys.append(str(part))
        deeper = [model for field in fields for model in _models(field.annotation)]
        found = deeper or found  # an index leads no deeper
    return keys, found


def _tags(model: type[BaseModel]) -> set[Any]:
    """Return the values of a model's literal fields, one of which tells it from its siblings."""
    return {
        value
        for field in model.model_fields.values()
        if typing.get_origin(field.annotation) is typing.Literal
        for value in typing.get_args(field.annotation)
    }


def _models(annotation: Any) -> list[type[BaseModel]]:
    """Return the models within a type such as ``tuple[A, ...]`` or ``A | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation):
        return [model for part in typing.get_args(annotation) for model in _models(part)]
    return []
