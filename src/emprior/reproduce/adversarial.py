"""The GAN: the first attempt, the redesign, two time scales, retraining, latent dimensions."""

from __future__ import annotations

from typing import Any

import numpy as np

from emprior.generators import Generator
from emprior.reproduce.basics import GREY
from emprior.reproduce.book import Book
from emprior.reproduce.experiment import Experiment
from emprior.reproduce.judging import MARKS, TRAINED_COLUMNS, judge_of, untrained_twin
from emprior.reproduce.scale import Adversarial
from emprior.reproduce.searching import load_generator, reach, samples
from emprior.reproduce.workshop import Trained, Workshop
from emprior.views import Curves, Pictures, Table, View

_SHOWN = 8

# The paper's first discriminator, loss, labels and rates; and each remedy put back alone.
_FIRST: dict[str, Any] = {
    "discriminator": {"redesigned": False},
    "optimisation": {
        "loss": "sigmoid",
        "real_label": 1.0,
        "generator_rate": 2e-4,
        "discriminator_rate": 2e-4,
    },
}
_EQUAL: dict[str, Any] = {"generator_rate": 2e-4, "discriminator_rate": 2e-4}
VARIANTS: dict[str, dict[str, Any]] = {
    "first GAN": _FIRST,
    "redesign": {"optimisation": _EQUAL},
    "redesign, small discriminator": {
        "discriminator": {"redesigned": False},
        "optimisation": _EQUAL,
    },
    "redesign, Sigmoid and BCELoss": {"optimisation": {**_EQUAL, "loss": "sigmoid"}},
    "redesign, labels not smoothed": {"optimisation": {**_EQUAL, "real_label": 1.0}},
    "TTUR": {},
}
"""Trainings of equal seed, data and compute; what they change of the redesign with TTUR."""


def variant(shop: Workshop, name: str, seed: int = 0) -> Trained:
    """Return one of `VARIANTS`, trained."""
    label = name.replace(",", "").replace(" ", "-").lower()
    return shop.gan(f"{label}-{seed + 1}", shop.scale.ablation, seed=seed, **VARIANTS[name])


def latent(shop: Workshop, nz: int, seed: int = 0) -> Trained:
    """Return the GAN of a latent dimension that denoising uses, its states kept."""
    return shop.gan(f"nz{nz}-{seed + 1}", shop.scale.latent, nz=nz, seed=seed, exports=True)


def generator(shop: Workshop, nz: int | None = None) -> Generator:
    """Return the best state of the generator of a latent dimension, by default the first."""
    nz = nz or shop.scale.latent.nz[0]
    return shop.best(latent(shop, nz), shop.scale.latent)


def images_seen(shop: Workshop) -> int:
    """Return how many images the generator of `generator` was trained on."""
    trained = latent(shop, shop.scale.latent.nz[0])
    return int(shop.best_state(trained, shop.scale.latent)["images"])


def _quality(shop: Workshop, network: Generator, shape: Adversarial) -> dict[str, Any]:
    return judge_of(shop, shape).quality(network, shop.rng("judged samples"))


def _study(
    shop: Workshop, book: Book, name: str, trained: Trained, shape: Adversarial
) -> dict[str, Any]:
    """Record losses, samples and quality of one training; return its quality."""
    untrained_twin(shop, book, name, trained, shape)
    shown = samples(trained.network(), _SHOWN, shop.rng("fixed noise"))[:, 0]
    book.pictures("sample", name, shown, GREY)
    log = trained.log
    book.note(
        "losses",
        {"variant": name},
        images=[line["images"] for line in log],
        discriminator_loss=[line["discriminator_loss"] for line in log],
        generator_loss=[line["generator_loss"] for line in log],
        real=[line["real"] for line in log],
        fake=[line["fake_before"] for line in log],
    )

    def measure() -> dict[str, Any]:
        network = trained.network()
        found = reach(network, shop.clean(shape), shop.rng("reach"))
        last = log[-max(1, len(log) // 10) :]
        means = {
            key: float(np.mean([line[key] for line in last])) for key in ("real", "fake_before")
        }
        return {
            "r_db": found["r_db"],
            **_quality(shop, network, shape),
            "told_real": means["real"],
            "told_fake": means["fake_before"],
            "training_s": round(trained.seconds, 1),
        }

    return book.once("quality", {"variant": name}, measure, images=trained.images)


_QUALITY = {
    "r_db": "R [dB]",
    **{key: heading for key, heading in MARKS.items() if key != "log_likelihood"},
    "told_real": "D(real) at the end",
    "told_fake": "D(fake) at the end",
    "images_seen": "images seen",
    "training_s": "training [s]",
}

_LOSSES: tuple[View, ...] = (
    Curves(
        what="losses",
        title="Discriminator loss",
        x="images",
        y="discriminator_loss",
        x_label="images seen",
        y_label="loss",
        by="variant",
    ),
    Curves(
        what="losses",
        title="Generator loss",
        x="images",
        y="generator_loss",
        x_label="images seen",
        y_label="loss",
        by="variant",
    ),
)
_SAMPLES = Pictures(
    what="sample", title="Samples from fixed latent vectors", row="row", column="column"
)
_TRAINED = Table(
    what="trained", title="Does training help at all?", row="network", columns=TRAINED_COLUMNS
)
_HOW = (
    "R is the median PSNR (range 1) of test images found by search. The other measures compare "
    "samples with training images in features of our own network, and real images likewise."
)


def _data_row(shop: Workshop, book: Book, shape: Adversarial) -> None:
    """Show real crops above the samples."""
    book.pictures("sample", "data", shop.clean(shape, _SHOWN), GREY)


def _first(shop: Workshop, book: Book) -> None:
    _data_row(shop, book, shop.scale.ablation)
    for name in ("first GAN", "redesign"):
        _study(shop, book, name, variant(shop, name), shop.scale.ablation)


FIRST = Experiment(
    name="first-gan",
    title="The first GAN",
    part="Section 4.2.1, figures 6 and 7",
    text=(
        "A smaller discriminator with Sigmoid and BCELoss, beside the redesign with the same "
        "seed, data and compute. The paper's first training did not converge and drew vacuum "
        f"only; whether ours fails is for the figures to say. {_HOW}"
    ),
    views=(
        *_LOSSES,
        _SAMPLES,
        Table(what="quality", title="Quality", row="variant", columns=_QUALITY, digits=3),
        _TRAINED,
    ),
    run=_first,
)


def _redesign(shop: Workshop, book: Book) -> None:
    shape = shop.scale.ablation
    _data_row(shop, book, shape)
    for name in VARIANTS:
        if name != "TTUR":
            _study(shop, book, name, variant(shop, name), shape)


REDESIGN = Experiment(
    name="redesign",
    title="The redesign, remedy by remedy",
    part="Section 4.2.2, figures 8 to 10",
    text=(
        "A mirrored discriminator, the loss from logits, smoothed labels: all, and all but one. "
        "The paper then finds images that repeat: the share of samples whose nearest "
        "other is nearer than 1 % of real ones are, and the birthday test, look for them. "
        f"{_HOW}"
    ),
    views=(
        *_LOSSES,
        _SAMPLES,
        Table(what="quality", title="Quality", row="variant", columns=_QUALITY, digits=3),
        _TRAINED,
    ),
    run=_redesign,
)


def _ttur(shop: Workshop, book: Book) -> None:
    _data_row(shop, book, shop.scale.ablation)
    for name in ("redesign", "TTUR"):
        _study(shop, book, name, variant(shop, name), shop.scale.ablation)


TTUR = Experiment(
    name="ttur",
    title="Two time scales",
    part="Section 4.2.2, figure 11",
    text=(
        "Learning rates 0.0004 of the discriminator and 0.0001 of the generator (TTUR) against "
        "0.0002 for both. The paper says that this ended the repetition of images. Read it with "
        f"the spread over seeds of the next experiment. {_HOW}"
    ),
    views=(
        *_LOSSES,
        _SAMPLES,
        Table(what="quality", title="Quality", row="variant", columns=_QUALITY, digits=3),
        _TRAINED,
    ),
    run=_ttur,
)

_TRIALS: dict[str, dict[str, Any]] = {
    "twice the width of both": {},
    "least-squares loss": {"optimisation": {"loss": "least-squares"}},
    "hinge loss": {"optimisation": {"loss": "hinge", "real_label": 1.0}},
    "two discriminator updates each": {"optimisation": {"discriminator_updates": 2}},
}


def _retraining(shop: Workshop, book: Book) -> None:
    shape = shop.scale.ablation
    for name in ("redesign", "TTUR"):
        for seed in range(shape.seeds):
            found = _study(shop, book, f"{name}, seed {seed + 1}", variant(shop, name, seed), shape)
            numbers = {key: found[key] for key in _QUALITY}
            book.note("spread", {"variant": name, "number": seed}, **numbers)
    for name, changes in _TRIALS.items():
        wider = shape.model_copy(update={"ngf": 2 * shape.ngf, "ndf": 2 * shape.ndf})
        size = wider if name.startswith("twice") else shape
        label = name.replace(" ", "-")
        found = _study(shop, book, name, shop.gan(label, size, **changes), shape)
        book.note("spread", {"variant": name, "number": 0}, **{key: found[key] for key in _QUALITY})


RETRAINING = Experiment(
    name="retraining",
    title="Retraining, and the trials that failed",
    part="Section 6",
    text=(
        "The same recipes from other seeds, and the changes that the paper names as tried in "
        "vain: more capacity, other losses, another update schedule. A change counts only "
        f"beyond the spread over seeds. {_HOW}"
    ),
    views=(
        Table(
            what="spread",
            title="Quality, mean ± standard deviation over seeds",
            row="variant",
            columns=_QUALITY,
            digits=3,
        ),
        _SAMPLES,
        _TRAINED,
    ),
    run=_retraining,
)


def _latent(shop: Workshop, book: Book) -> None:
    shape = shop.scale.latent
    _data_row(shop, book, shape)
    for nz in shape.nz:
        for seed in range(shape.seeds):
            trained = latent(shop, nz, seed)
            states = shop.reached(trained, shape)
            name = f"nz {nz}" + (f", seed {seed + 1}" if seed else "")

            def over_time() -> dict[str, Any]:
                found = [_quality(shop, load_generator(state["path"]), shape) for state in states]
                return {
                    "images": [state["images"] for state in states],
                    "r_validation_db": [state["r_db"] for state in states],
                    **{key: [line[key] for line in found] for key in ("coverage", "frechet")},
                }

            book.once("over time", {"variant": name}, over_time, images=trained.images)
            chosen = shop.best_state(trained, shape)
            best = load_generator(chosen["path"])

            def at_best() -> dict[str, Any]:
                found = reach(best, shop.clean(shape), shop.rng("reach"))
                return {"r_db": found["r_db"], **_quality(shop, best, shape)}

            record = book.once("best", {"variant": name}, at_best, images=chosen["images"])
            numbers = {key: record[key] for key in _BEST}
            book.note("by nz", {"variant": f"nz {nz}", "number": seed}, **numbers)
            shown = samples(best, _SHOWN, shop.rng("fixed noise"))[:, 0]
            book.pictures("sample", name, shown, GREY)
        untrained_twin(shop, book, f"nz {nz}", latent(shop, nz), shape)
    real = shop.clean(shape, part="validation")
    book.once(
        "best",
        {"variant": "validation images"},
        lambda: {"to_data": float(np.median(judge_of(shop, shape).nearest(real[:, None])[0]))},
    )


_BEST = {"r_db": "R [dB]", **MARKS}
_OVER: dict[str, Any] = {"x": "images", "x_label": "images seen", "by": "variant"}

LATENT = Experiment(
    name="latent",
    title="Latent dimensions 50, 100 and 150",
    part="Section 4.4",
    text=(
        "Three latent dimensions, the best state of each by R on validation structures. The "
        "paper finds 50 best, suspects that a small latent space is covered better, and sees "
        f"signs of collapse in long trainings. {_HOW}"
    ),
    views=(
        Curves(
            what="over time",
            title="R on validation images",
            y="r_validation_db",
            y_label="R [dB]",
            **_OVER,
        ),
        Curves(
            what="over time",
            title="Coverage: does long training collapse?",
            y="coverage",
            y_label="coverage",
            **_OVER,
        ),
        Table(
            what="by nz",
            title="The best states, on test structures (mean ± standard deviation over seeds)",
            row="variant",
            columns=_BEST,
            digits=3,
        ),
        Table(
            what="best",
            title="Each training, and held-out data for comparison",
            row="variant",
            columns={**_BEST, "images_seen": "images seen by that state"},
            digits=3,
        ),
        _SAMPLES,
        _TRAINED,
    ),
    run=_latent,
)

EXPERIMENTS = (FIRST, REDESIGN, TTUR, RETRAINING, LATENT)
