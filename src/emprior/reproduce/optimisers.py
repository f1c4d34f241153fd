"""The optimiser: its tests and its rivals."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from emprior.generators import Generator
from emprior.inversion import (
    FirstOrder,
    GaussNewton,
    PriorStart,
    Search,
    Stage,
)
from emprior.reproduce.adversarial import generator, images_seen
from emprior.reproduce.basics import GREY
from emprior.reproduce.book import Book
from emprior.reproduce.experiment import Experiment
from emprior.reproduce.natural import NATURAL_KINDS, natural_gan, natural_images, picture
from emprior.reproduce.searching import algorithm_2, curve, decibels, found, samples
from emprior.reproduce.workshop import Workshop
from emprior.views import Cross, Curves, Pictures

Floats = NDArray[np.floating]

_ADAM = FirstOrder("adam", lr=1e-2)
NOISE = "P(10)"
"""Of the noisy micrographs that searches are tried on."""


# --------------------------------------------------------------------------------- tests (4.2.3)


def _tests(shop: Workshop, book: Book) -> None:
    clean = shop.clean(shop.scale.latent, shop.scale.search.frames)
    gan, seen = generator(shop), images_seen(shop)
    given = shop.noisy(shop.scale.latent, clean, NOISE)
    _two_tasks(shop, book, "micrograph, clean", gan, seen, clean, clean)
    _two_tasks(shop, book, "micrograph, noisy", gan, seen, clean, given)
    for kind in NATURAL_KINDS:
        held_out = natural_images(shop, kind, "test")
        targets = held_out.crops(shop.scale.search.frames, (32, 32), shop.rng("natural")).images
        trained = natural_gan(shop, kind)
        gan, seen = trained.network(), trained.images
        _two_tasks(shop, book, f"natural, {kind}", gan, seen, targets, targets)


def _two_tasks(
    shop: Workshop,
    book: Book,
    kind: str,
    gan: Generator,
    seen: int,
    unseen: Floats,
    observed: Floats,
) -> None:
    """Search for images that the generator made, and for images that it never saw."""
    counts = shop.scale.search
    made = samples(gan, len(unseen), shop.rng("two tasks", kind)).reshape(unseen.shape)
    noisy = observed is not unseen
    to_find = shop.noisy(shop.scale.latent, made, NOISE) if noisy else made
    exact = Search(
        PriorStart(counts.starts),
        (
            Stage(_ADAM, counts.first, keep=2),
            Stage(_ADAM, counts.exact_steps),
            Stage(GaussNewton(iterations=40, tolerance=0.0), 40),  # to rounding error
        ),
    )
    tasks = {
        "1: made by the generator": (to_find, made, exact),
        "2: never seen": (observed, unseen, algorithm_2(counts)),
    }
    for task, (given, truth, search) in tasks.items():

        def search_it() -> Any:
            inversion, images = found(gan, given, shop.rng("two tasks", kind, task), search)
            scores = decibels(images, truth)
            pairs = {"target": truth, "given": given, "found": images}
            for column, shown in pairs.items():
                book.picture(
                    "target",
                    {"row": f"{kind}, task {task}", "column": column},
                    picture(shown[0]),
                    GREY if kind.startswith("micro") else (0.0, 1.0),
                )
            return {
                "psnr_db": float(np.median(scores)),
                "worst_db": float(np.min(scores)),
                "passes": inversion.passes,
            }

        book.once("task", {"kind": kind, "task": task}, search_it, seen)


TESTS = Experiment(
    name="optimiser-tests",
    title="Tests of the optimiser",
    part="Section 4.2.3",
    text=(
        "Two tasks for four kinds of images: find an image that the generator made, and one "
        "that it never saw. The first is to succeed to arbitrary precision (Algorithm 2's two "
        "phases, then Gauss–Newton to rounding error); with noise, to what the noise allows."
    ),
    views=(
        Cross(
            what="task",
            title="PSNR against the target (range 1) [dB], median over images",
            row="kind",
            column="task",
            value="psnr_db",
            text="The paper: task 1 succeeds to arbitrary precision for every kind.",
        ),
        Cross(
            what="task",
            title="The worst image [dB]",
            row="kind",
            column="task",
            value="worst_db",
        ),
        Pictures(what="target", title="Targets and what was found", row="row", column="column"),
    ),
    run=_tests,
)

# ------------------------------------------------------------------------- optimisers (figure 12a)

_OPTIMISERS: tuple[Literal["sgd", "adam", "adamw", "asgd"], ...] = ("sgd", "adam", "adamw", "asgd")
_RATES = (1e-2, 1e-3, 1e-4)


def _optimisers(shop: Workshop, book: Book) -> None:
    clean = shop.clean(shop.scale.latent, shop.scale.search.frames)
    given = shop.noisy(shop.scale.latent, clean, NOISE)
    _race(shop, book, f"micrograph, {NOISE}", generator(shop), images_seen(shop), given, clean)
    for kind in NATURAL_KINDS:
        held_out = natural_images(shop, kind, "test")
        targets = held_out.crops(shop.scale.search.frames, (32, 32), shop.rng("natural")).images
        trained = natural_gan(shop, kind)
        gan, seen = trained.network(), trained.images
        _race(shop, book, f"natural, {kind}", gan, seen, targets, targets)


def _race(
    shop: Workshop,
    book: Book,
    kind: str,
    gan: Generator,
    seen: int,
    given: Floats,
    truth: Floats,
) -> None:
    """Let every optimiser search for the same images from the same start."""
    for optimiser in _OPTIMISERS:
        for rate in _RATES:

            def descend() -> Any:
                # A gradient of the mean over pixels is small: plain descent gets it undivided.
                scale = 1.0 if optimiser in ("adam", "adamw") else float(given[0].size)
                solver = FirstOrder(optimiser, lr=rate * scale)
                search = Search(PriorStart(1), (Stage(solver, shop.scale.search.steps),))
                inversion, images = found(gan, given, shop.rng("race", kind), search)
                scores = decibels(images, truth)
                return {"psnr_db": float(np.mean(scores)), **_renamed(curve(inversion))}

            key = {"kind": kind, "optimiser": f"{optimiser} {rate:g}"}
            book.once("optimiser", key, descend, seen)


def _renamed(found: dict[str, list[float]]) -> dict[str, list[float]]:
    return {"curve_step": found["step"], "curve_db": found["psnr_db"]}


OPTIMISERS = Experiment(
    name="optimisers",
    title="Optimisers and learning rates",
    part="Figures 12a, 15 and 17",
    text=(
        "Gradient descent from one random start on the same images. SGD and ASGD descend the "
        "summed rather than the mean squared error, whose gradient would be too small by the "
        "number of pixels. The paper finds Adam at 0.01 best for every task and image."
    ),
    views=(
        Curves(
            what="optimiser",
            title="PSNR against the image searched for (range 1) [dB]",
            x="curve_step",
            y="curve_db",
            x_label="step",
            y_label="PSNR (range 1) [dB]",
            by="optimiser",
            panel="kind",
        ),
        Cross(
            what="optimiser",
            title="PSNR against the clean image after the last step [dB], mean over images",
            row="optimiser",
            column="kind",
            value="psnr_db",
        ),
    ),
    run=_optimisers,
)

EXPERIMENTS = (TESTS, OPTIMISERS)
