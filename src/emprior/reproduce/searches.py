"""Algorithm 2, the hypothesis behind it, and searches from less data."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from emprior.generators import Compressed, Generator, Masked
from emprior.inversion import (
    SEARCHES,
    FirstOrder,
    Inversion,
    PriorStart,
    Search,
    Stage,
    invert,
)
from emprior.noise_names import PAPER_NOISES
from emprior.reproduce.adversarial import generator, images_seen
from emprior.reproduce.basics import GREY
from emprior.reproduce.book import Book
from emprior.reproduce.experiment import Experiment
from emprior.reproduce.optimisers import NOISE
from emprior.reproduce.searching import algorithm_2, curve, decibels, found, squares
from emprior.reproduce.workshop import Workshop
from emprior.views import Curves, Histogram, Pictures, Table

Floats = NDArray[np.floating]


_CLIPPING: dict[str, FirstOrder] = {
    "none": FirstOrder("adam", lr=1e-2, limit=None),
    "clamped to ±5": FirstOrder("adam", lr=1e-2, limit=5.0),
    "clamped to ±1": FirstOrder("adam", lr=1e-2, limit=1.0),
    "stochastic at ±1": FirstOrder("adam", lr=1e-2, limit=1.0, clipping="redraw"),
}


def _algorithm_2(shop: Workshop, book: Book) -> None:
    counts, gan = shop.scale.search, generator(shop)
    clean = shop.clean(shop.scale.latent, counts.frames)
    given = shop.noisy(shop.scale.latent, clean, NOISE)
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

        record = book.once("repeat", {"repeat": str(repeat + 1)}, search_it, images_seen(shop))
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

        book.once("clipping", {"clipping": name}, clip, images_seen(shop))
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

        book.once("counts", {"counts": name}, search_it, images_seen(shop))


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
    clean = shop.clean(shop.scale.latent)

    def search(label: str) -> tuple[Inversion, Floats]:
        given = shop.noisy(shop.scale.latent, clean, label)
        return found(gan, given, shop.rng("hypothesis"), algorithm_2(counts))

    def the_clean() -> Any:
        inversion, images = search("none")
        return {
            "psnr_db": decibels(images, clean),
            "latent": inversion.latent.tolist(),
        }

    from_clean = book.once("clean", {"noise": "none"}, the_clean, images_seen(shop))
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

        record = book.once("noise", {"noise": label}, compare, images_seen(shop))
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
        "from each noise is compared with G(z) found from the clean image and with the truth. All "
        "searches begin at the same random starts, which favours agreement."
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

        record = book.once("measurement", {"measurement": name}, recover, images_seen(shop))
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

EXPERIMENTS = (ALGORITHM_2, HYPOTHESIS, MEASUREMENTS)
