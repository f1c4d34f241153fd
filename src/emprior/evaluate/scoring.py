r"""Score denoisers on images whose truth is known: denoisers × images × noises → records.

Every denoiser sees the same noisy frame, whose random stream belongs to the image and the noise
alone: rows can be added later, and differences of rows are paired. Unless the recipe says
otherwise every row is blind, the noise being identified from each frame.
"""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
import math
import platform
import warnings
from collections.abc import Callable
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emprior import metrics, records
from emprior.api import denoise
from emprior.errors import EmpriorWarning, ImageError, OptionError, OutputError
from emprior.evaluate.plan import Task, digest, plan
from emprior.evaluate.recipe import RECIPE, EvaluationRecipe
from emprior.evaluate.structure import scores
from emprior.files import make_directory, replacing
from emprior.micrograph import Micrograph
from emprior.noise_names import noise_model
from emprior.recipes import load
from emprior.records import RECORDS

SCORINGS = "scorings.jsonl"
"""When which data was scored: a test set that is looked at often becomes a training set."""


def run(
    recipe: EvaluationRecipe | str | Path,
    directory: str | Path,
    *,
    progress: Callable[[float], None] | None = None,
) -> Path:
    """Score every denoiser on every image under every noise.

    Parameters
    ----------
    recipe : EvaluationRecipe or path
        What to score, or its TOML file.
    directory : path
        Gets ``records.jsonl``, one line for each (image, noise, denoiser), written as they come.
        What is recorded there already is not measured again: an interrupted evaluation goes on
        where it stopped, and a recipe may gain rows, noises and images. The recipe is written to
        ``recipe.json``, for the report.
    progress : callable, optional
        Called with the share of work done, from 0 to 1.

    Returns
    -------
    Path
        Of the records.

    Raises
    ------
    InputError
        If the recipe or the data cannot be used.
    OutputError
        If the directory cannot be written, or holds records made with other settings.

    Warns
    -----
    EmpriorWarning
        If an optional source, or a row whose package is not installed, is left out.
    """
    if not isinstance(recipe, EvaluationRecipe):
        recipe = load(recipe, EvaluationRecipe)
    tasks = plan(recipe)
    path = make_directory(directory, "the records are kept in it") / RECORDS
    left = _left(tasks, path)
    with replacing(path.with_name(RECIPE)) as made:
        made.write_text(json.dumps(recipe.to_dict(), indent=1) + "\n", encoding="utf-8")
    if left:
        _log_scoring(path.with_name(SCORINGS), recipe, left)
    finished = len(tasks) - len(left)
    for frame, of_frame in groupby(left, key=lambda task: task.frame):
        clean = frame.load()
        for noise, of_noise in groupby(of_frame, key=lambda task: task.noise):
            noise_stream, denoiser_stream = _streams(recipe.seed, frame.name, noise)
            noisy = _corrupt(clean, noise, np.random.default_rng(noise_stream))
            seed = int(denoiser_stream.generate_state(1)[0])
            variance = _variance(clean, noise)
            for task in of_noise:
                scored = _score(task, clean, noisy, recipe, seed)
                records.append(path, {**scored, "noise_variance": variance})
                finished += 1
                if progress:
                    progress(finished / len(tasks))
    return path


def _left(tasks: list[Task], path: Path) -> list[Task]:
    """Return the tasks not yet recorded."""
    found = records.read(path) if path.exists() else []
    try:
        done = {_key(record): record["setting"] for record in found}
    except (KeyError, TypeError) as error:
        raise OutputError(
            f"{path} holds a record without a proper {error}",
            expected="records of this recipe, data and prior, or none",
            why="another program's records must not be mixed with these",
            fix="name another directory",
        ) from error
    for task in tasks:
        key = (task.frame.name, task.noise, task.row.name)
        if done.get(key, task.setting) != task.setting:
            raise OutputError(
                f"{path} holds a record of {' × '.join(key)} made with other settings",
                expected="records of this recipe, data and prior, or none",
                why="one table must not mix seeds, crops, data or priors",
                fix="name another directory, or delete this one",
            )
    return [task for task in tasks if (task.frame.name, task.noise, task.row.name) not in done]


def _key(record: dict[str, Any]) -> tuple[str, str, str]:
    return record["image"], record["noise"], record["denoiser"]


def _streams(seed: int, image: str, noise: str) -> list[np.random.SeedSequence]:
    """Return the streams of a frame's noise and of its denoisers: the same for every row."""
    key = hashlib.sha256(f"{image}\0{noise}".encode()).digest()
    words = np.frombuffer(key, "<u4").tolist()
    return np.random.SeedSequence(seed, spawn_key=words).spawn(2)


def _corrupt(clean: Micrograph, label: str, rng: np.random.Generator) -> Micrograph:
    model = noise_model(label)
    if model is None:
        return clean
    return dataclasses.replace(clean, image=model.sample(clean.image, rng))


def _variance(clean: Micrograph, label: str) -> float:
    """Return the mean over pixels of the variance that no unbiased estimate of one pixel beats.

    The variance of the noise, and where it is clipped more: the inverse Fisher information.
    """
    model = noise_model(label)
    return 0.0 if model is None else float(np.mean(1 / model.fisher(clean.image.astype(float))))


def _score(
    task: Task, clean: Micrograph, noisy: Micrograph, recipe: EvaluationRecipe, seed: int
) -> dict[str, Any]:
    row = task.row
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", EmpriorWarning)
        done = denoise(
            noisy,
            noise="auto" if recipe.noise == "auto" else noise_model(task.noise) or "none",
            method=row.method,
            prior=row.prior,
            search=row.search,
            depth=row.depth,
            force=row.force,
            faults=False,  # there are none, though clean images may be flat
            seed=seed,
        )
    return {
        "image": task.frame.name,
        "source": task.source,
        "noise": task.noise,
        "denoiser": row.name,
        "structure": task.frame.structure,
        **_scores(done.image, clean),
        "found": scores(done, clean, task.frame.known()) if task.frame.known else None,
        "seconds": done.seconds,
        "asked": row.method,
        "method": done.method,
        "identified": done.noise.to_dict(),
        "evidence": list(done.evidence),
        "warnings": [str(warning.message) for warning in caught],
        # The latent vectors are left out: they are long, and the seed gives them again.
        "trace": {key: value for key, value in done.trace.items() if key != "latent"},
        "setting": task.setting,
        "prior": task.prior,
        "data": task.frame.data,
        "pixel_size": clean.pixel_size,
        "shape": list(clean.shape),
        "seed": recipe.seed,
        "denoiser_seed": seed,
        "versions": _versions(),
    }


def _scores(estimate: NDArray[np.floating], clean: Micrograph) -> dict[str, float]:
    """Return every metric; those of columns are NaN where the clean image shows none."""
    truth, pixel_size = clean.image, clean.pixel_size
    assert pixel_size is not None
    scores = {
        "psnr_db": metrics.psnr(estimate, truth, data_range=1.0),
        "contrast_psnr_db": metrics.contrast_psnr(estimate, truth),
        "ssim": metrics.ssim(estimate, truth, data_range=1.0),
        "peak_psnr_db": metrics.peak_psnr(estimate, truth),
        **_sharpness(estimate, truth, pixel_size),
    }
    try:
        columns = metrics.column_f1(estimate, truth, pixel_size)
    except ImageError:  # the images can be compared, as PSNR has shown: it is about columns
        undefined = (
            "column_precision",
            "column_recall",
            "column_f1",
            "columns_added",
            "columns_removed",
        )
        return {**scores, **dict.fromkeys(undefined, math.nan), "columns": 0}
    return {
        **scores,
        "column_precision": columns.precision,
        "column_recall": columns.recall,
        "column_f1": columns.f1,
        "columns": columns.matched + columns.removed,
        "columns_added": columns.added,
        "columns_removed": columns.removed,
    }


def _sharpness(
    estimate: NDArray[np.floating], truth: NDArray[np.floating], pixel_size: float
) -> dict[str, float]:
    """Return how sharp the estimate is, as ratios to the truth; NaN where it does not say."""
    try:
        spectrum = metrics.spectrum_ratio(estimate, truth, pixel_size)
    except (ImageError, OptionError):  # nothing in the band, or pixels too coarse for it
        spectrum = math.nan
    sizes = metrics.column_sizes(estimate, truth, pixel_size)
    ratios = {
        "contrast_ratio": metrics.vacuum_contrast(estimate, truth, pixel_size),
        "column_count_ratio": sizes.count_ratio,
        "column_width_ratio": sizes.width_ratio,
    }
    known = {key: math.nan if value is None else value for key, value in ratios.items()}
    return {"spectrum_ratio": spectrum, **known}


def _versions() -> dict[str, str]:
    packages = ("emprior", "numpy", "scipy", "scikit-image", "torch")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def _log_scoring(path: Path, recipe: EvaluationRecipe, left: list[Task]) -> None:
    """Note that these data are scored now; the log is only ever added to."""
    records.append(
        path,
        {
            "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "data": sorted({task.frame.data for task in left}),
            "images": len({task.frame.name for task in left}),
            "records": len(left),
            "recipe": recipe.to_dict(),
            "recipe_hash": digest(recipe.to_dict()),
            "versions": _versions(),
        },
    )
