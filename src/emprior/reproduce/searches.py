"""The optimiser: its tests, its rivals, Algorithm 2, and the hypothesis behind it."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from emprior.generators import Compressed, Generator, Masked
from emprior.inversion import (
    SEARCHES,
    FirstOrder,
    GaussNewton,
    Inversion,
    PriorStart,
    Search,
    Stage,
    invert,
)
from emprior.noise_names import PAPER_NOISES
from emprior.reproduce.adversarial import generator
from emprior.reproduce.basics import GREY
from emprior.reproduce.book import Book
from emprior.reproduce.experiment import Experiment
from emprior.reproduce.natural import NATURAL_KINDS, natural_gan, natural_images, picture
from emprior.reproduce.searching import algorithm_2, curve, decibels, found, samples, squares
from emprior.reproduce.workshop import Workshop
from emprior.views import Cross, Curves, Histogram, Pictures, Table

Floats = NDArray[np.floating]

_ADAM = FirstOrder("adam", lr=1e-2)
_NOISE = "P(10)"  # of the noisy micrographs in tests of the optimiser


# --------------------------------------------------------------------------------- tests (4.2.3)


def _tests(shop: Workshop, book: Book) -> None:
    clean = shop.clean(shop.scale.latent, shop.scale.search.frames)
    gan = generator(shop)
    _two_tasks(shop, book, "micrograph, clean", gan, clean, clean)
    _two_tasks(
        shop, book, "micrograph, noisy", gan, clean, shop.noisy(shop.scale.latent, clean, _NOISE)
    )
    for kind in NATURAL_KINDS:
        held_out = natural_images(shop, kind, "test")
        targets = held_out.crops(shop.scale.search.frames, (32, 32), shop.rng("natural")).images
        _two_tasks(
            shop, book, f"natural, {kind}", natural_gan(shop, kind).network(), targets, targets
        )


def _two_tasks(
    shop: Workshop, book: Book, kind: str, gan: Generator, unseen: Floats, observed: Floats
) -> None:
    """Search for images that the generator made, and for images that it never saw."""
    counts, rng = shop.scale.search, shop.rng("two tasks", kind)
    made = samples(gan, len(unseen), rng).reshape(unseen.shape)
    noisy = observed is not unseen
    to_find = shop.noisy(shop.scale.latent, made, _NOISE) if noisy else made
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
            inversion, images = found(gan, given, rng, search)
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

        book.once("task", {"kind": kind, "task": task}, search_it)


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
    kinds = {
        f"micrograph, {_NOISE}": (
            generator(shop),
            shop.noisy(shop.scale.latent, clean, _NOISE),
            clean,
        )
    }
    _race(shop, book, kinds)
    for kind in NATURAL_KINDS:
        held_out = natural_images(shop, kind, "test")
        targets = held_out.crops(shop.scale.search.frames, (32, 32), shop.rng("natural")).images
        _race(
            shop, book, {f"natural, {kind}": (natural_gan(shop, kind).network(), targets, targets)}
        )


def _race(shop: Workshop, book: Book, kinds: dict[str, tuple[Generator, Floats, Floats]]) -> None:
    for kind, (gan, given, truth) in kinds.items():
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
                book.once("optimiser", key, descend)


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

# ----------------------------------------------------------------------- Algorithm 2 (figure 12b)

_CLIPPING: dict[str, FirstOrder] = {
    "none": FirstOrder("adam", lr=1e-2, limit=None),
    "clamped to ±5": FirstOrder("adam", lr=1e-2, limit=5.0),
    "clamped to ±1": FirstOrder("adam", lr=1e-2, limit=1.0),
    "stochastic at ±1": FirstOrder("adam", lr=1e-2, limit=1.0, clipping="redraw"),
}


def _algorithm_2(shop: Workshop, book: Book) -> None:
    counts, gan = shop.scale.search, generator(shop)
    clean = shop.clean(shop.scale.latent, counts.frames)
    given = shop.noisy(shop.scale.latent, clean, _NOISE)
    ends: list[torch.Tensor] = []
    for repeat in range(counts.repeats):

        def search_it() -> Any:
            rng = shop.rng("algorithm 2", str(repeat))
            inversion, images = found(gan, given[:1], rng, algorithm_2(counts))
            return {
                "psnr_db": decibels(images, clean[:1])[0],
                "latent": inversion.latent[0].tolist(),
                **_phases(inversion),
            }

        record = book.once("repeat", {"repeat": str(repeat + 1)}, search_it)
        ends.append(torch.tensor(record["latent"]))
    images = np.stack([gan(z[None])[0, 0].detach().numpy() for z in ends])
    for k, image in enumerate(images):
        apart = decibels(image[None], images[:1])[0] if k else None
        book.note("agreement", {"repeat": str(k + 1)}, same_db=apart)
    book.pictures("path", "from one found z to another", _between(gan, ends[0], ends[-1]), GREY)
    for k, z in enumerate(ends[:3]):
        book.note("latent", {"repeat": f"repeat {k + 1}"}, values=z.tolist())
    drawn = gan.sample_latent(len(ends), shop.rng("prior draws")).flatten()
    book.note("latent", {"repeat": "drawn from the prior"}, values=drawn.tolist())
    for name, solver in _CLIPPING.items():

        def clip() -> Any:
            stages = Stage(solver, counts.first), Stage(solver, counts.second)
            search = Search(PriorStart(counts.starts), stages)
            inversion, images = found(gan, given, shop.rng("clipping"), search)
            scores = decibels(images, clean)
            largest = float(inversion.latent.abs().max())
            return {"psnr_db": float(np.median(scores)), "largest": largest}

        book.once("clipping", {"clipping": name}, clip)
    if counts.full_frames:
        _full_counts(shop, book, gan, clean, given)


def _phases(inversion: Inversion) -> dict[str, list[float]]:
    first, second = curve(inversion, 0), curve(inversion, 1)
    return {
        "first_step": first["step"],
        "first_db": first["psnr_db"],
        "second_step": second["step"],
        "second_db": second["psnr_db"],
    }


def _between(gan: Generator, one: torch.Tensor, other: torch.Tensor, n: int = 7) -> Floats:
    share = torch.linspace(0, 1, n)[:, None]
    with torch.no_grad():
        return gan((1 - share) * one + share * other)[:, 0].numpy()


def _full_counts(shop: Workshop, book: Book, gan: Generator, clean: Floats, given: Floats) -> None:
    """Compare the paper's counts with the reduced ones on the same images."""
    n = shop.scale.search.full_frames
    for name, search in (
        ("10 × 1,500 + 10,000, the paper's", SEARCHES["paper"]),
        ("reduced", algorithm_2(shop.scale.search)),
    ):

        def search_it() -> Any:
            inversion, images = found(gan, given[:n], shop.rng("full counts"), search)
            scores = decibels(images, clean[:n])
            return {"psnr_db": float(np.mean(scores)), "passes": inversion.passes}

        book.once("counts", {"counts": name}, search_it)


ALGORITHM_2 = Experiment(
    name="algorithm-2",
    title="Algorithm 2",
    part="Section 3.2.2, figure 12b",
    text=(
        "Several random starts, the best of which is taken further. Curves are of one noisy "
        "micrograph searched again and again; the PSNR in them is against the noisy image, which "
        "is what the search sees."
    ),
    views=(
        Curves(
            what="repeat",
            title="First phase: the best of the starts",
            x="first_step",
            y="first_db",
            x_label="step",
            y_label="PSNR against the noisy image (range 1) [dB]",
            by="repeat",
        ),
        Curves(
            what="repeat",
            title="Second phase",
            x="second_step",
            y="second_db",
            x_label="step",
            y_label="PSNR against the noisy image (range 1) [dB]",
            by="repeat",
        ),
        Table(
            what="repeat",
            title="Spread over repeats",
            row="repeat",
            columns={"psnr_db": "PSNR against the clean image (range 1) [dB]"},
        ),
        Table(
            what="agreement",
            title="Do repeats end in one image?",
            row="repeat",
            columns={"same_db": "PSNR against the first repeat's image (range 1) [dB]"},
            text="Where this is far above the PSNR against the clean image, they do.",
        ),
        Pictures(what="path", title="Between two found z", row="row", column="column"),
        Histogram(
            what="latent",
            title="The numbers found",
            values="values",
            label="latent number",
            by="repeat",
        ),
        Table(
            what="clipping",
            title="Clamping and stochastic clipping (Lipton & Tripathi 2017)",
            row="clipping",
            columns={"psnr_db": "PSNR, median (range 1) [dB]", "largest": "largest |z|"},
        ),
        Table(
            what="counts",
            title="Do the reduced counts cost quality?",
            row="counts",
            columns={"psnr_db": "PSNR, mean (range 1) [dB]", "passes": "generator passes"},
        ),
    ),
    run=_algorithm_2,
)

# ---------------------------------------------------------------------------- hypothesis (3.1)


def _hypothesis(shop: Workshop, book: Book) -> None:
    counts, gan = shop.scale.search, generator(shop)
    clean = shop.clean(shop.scale.latent, counts.frames)
    from_clean: dict[str, Any] = {}

    def search(label: str) -> tuple[Inversion, Floats]:
        given = shop.noisy(shop.scale.latent, clean, label)
        return found(gan, given, shop.rng("hypothesis"), algorithm_2(counts))

    def the_clean() -> Any:
        inversion, images = search("none")
        return {
            "psnr_db": decibels(images, clean),
            "latent": inversion.latent.tolist(),
        }

    from_clean = book.once("clean", {"noise": "none"}, the_clean)
    with torch.no_grad():
        reference = gan(torch.tensor(from_clean["latent"]))[:, 0].numpy()
    for k, score in enumerate(from_clean["psnr_db"]):
        book.note("same image", {"noise": "clean", "image": k}, psnr_db=score)
    book.pictures("found", "clean", reference, GREY)
    for label in PAPER_NOISES[1:]:

        def compare() -> Any:
            images = search(label)[1]
            book.pictures("found", label, images, GREY)
            return {
                "same": decibels(images, reference),
                "truth": decibels(images, clean),
            }

        record = book.once("noise", {"noise": label}, compare)
        for k, (same, truth) in enumerate(zip(record["same"], record["truth"], strict=True)):
            key = {"noise": label, "image": k}
            book.note("same image", key, same_db=same, psnr_db=truth)
    book.pictures("found", "truth", clean, GREY)


HYPOTHESIS = Experiment(
    name="hypothesis",
    title="The hypothesis: the same image from every noise",
    part="Sections 3.1 and 4.3.1",
    text=(
        "Is the image nearest to a noisy one also the image nearest to the clean one? G(z) found "
        "from each noise is compared with G(z) found from the clean image and with the truth."
    ),
    views=(
        Table(
            what="same image",
            title="Agreement, mean ± standard deviation over images",
            row="noise",
            columns={
                "same_db": "G(z noisy) against G(z clean), PSNR (range 1) [dB]",
                "psnr_db": "against the truth, PSNR (range 1) [dB]",
            },
            text="The hypothesis holds where the first number is far above the second. Clipped "
            "P(1) moves the mean of the data, so that least squares finds another image.",
        ),
        Pictures(what="found", title="What was found", row="row", column="column"),
    ),
    run=_hypothesis,
)

# ---------------------------------------------------------------------- measurements (Bora et al.)


def _measurements(shop: Workshop, book: Book) -> None:
    counts, gan = shop.scale.search, generator(shop)
    clean = shop.clean(shop.scale.latent, counts.frames)
    pixels = clean[0].size
    rng = shop.rng("measurements")
    wrapped: dict[str, Masked | Compressed] = {}
    for share in (0.5, 0.1, 0.02):
        keep = rng.random(clean.shape[1:]) < share
        wrapped[f"{share:.0%} of the pixels"] = Masked(gan, keep)
    for number in (pixels // 16, pixels // 64):
        matrix = rng.standard_normal((number, pixels)) / number**0.5
        wrapped[f"{number} random projections"] = Compressed(gan, matrix)
    search = algorithm_2(counts)
    for name, measured in wrapped.items():

        def recover() -> Any:
            seen = measured.measure(torch.from_numpy(clean)[:, None].to(gan.example))[:, 0]
            inversion = invert(squares(measured, seen), search, shop.rng("recover"))
            with torch.no_grad():
                images = gan(inversion.latent)[:, 0].numpy()
            book.pictures("recovered", name, images, GREY)
            return {"scores": decibels(images, clean)}

        record = book.once("measurement", {"measurement": name}, recover)
        for k, score in enumerate(record["scores"]):
            book.note("recovery", {"measurement": name, "image": k}, psnr_db=score)
    book.pictures("recovered", "truth", clean, GREY)


MEASUREMENTS = Experiment(
    name="measurements",
    title="Masked and compressed measurements",
    part="Section 2.3 (Bora et al. 2017)",
    text=(
        "The same search with less data: some pixels only, or a few random projections of the "
        "clean image. Scores are of the whole image."
    ),
    views=(
        Table(
            what="recovery",
            title="PSNR of the whole image (range 1) [dB], mean ± standard deviation",
            row="measurement",
            columns={"psnr_db": "PSNR (range 1) [dB]"},
        ),
        Pictures(what="recovered", title="What was found", row="row", column="column"),
    ),
    run=_measurements,
)

EXPERIMENTS = (TESTS, OPTIMISERS, ALGORITHM_2, HYPOTHESIS, MEASUREMENTS)
