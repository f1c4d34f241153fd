"""The paper's outlook: a generator that is told the microscope's parameters (section 5)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from emprior.generators import ConditionalDCGAN
from emprior.generators.conditional import CONDITIONS
from emprior.reproduce.adversarial import variant
from emprior.reproduce.basics import GREY
from emprior.reproduce.book import Book
from emprior.reproduce.experiment import Experiment
from emprior.reproduce.judging import TRAINED_COLUMNS, judge_of, untrained_twin
from emprior.reproduce.searching import decibels, found
from emprior.reproduce.workshop import Trained, Workshop
from emprior.views import Cross, Pictures, Table

_NAMES = ["defocus", "thickness", "tilt"]
_SWEEP = 6
_VARIANTS = {
    "conditional: the discriminator is told too": True,
    "embedded in the latent": False,
}


def _conditional(shop: Workshop, told: bool) -> Trained:
    conditions = {"names": _NAMES, "told": told}
    name = "conditional" if told else "embedded"
    return shop.gan(name, shop.scale.ablation, conditions=conditions)


def _outlook(shop: Workshop, book: Book) -> None:
    shape = shop.scale.ablation
    clean = shop.clean(shape)
    data = shop.data("test")
    plain = variant(shop, "TTUR")
    networks = {"no conditions": plain} | {
        name: _conditional(shop, told) for name, told in _VARIANTS.items()
    }
    for name, trained in networks.items():
        network = trained.network()

        def search_it() -> dict[str, Any]:
            inversion, images = found(network, clean, shop.rng("outlook"))
            values = {
                "scores": decibels(images, clean),
                **judge_of(shop, shape).quality(network, shop.rng("judged samples")),
            }
            if isinstance(network, ConditionalDCGAN):
                with torch.no_grad():
                    values["conditions"] = network.conditions(inversion.latent).tolist()
            return values

        record = book.once("search", {"generator": name}, search_it, images=trained.images)
        book.note(
            "quality",
            {"generator": name},
            r_db=float(np.median(record["scores"])),
            frechet=record["frechet"],
            coverage=record["coverage"],
        )
        if isinstance(network, ConditionalDCGAN):
            fitted = np.array(record["conditions"])
            for k, condition in enumerate(network.names):
                truth = _truth(data, condition)
                error = float(np.sqrt(np.mean((fitted[:, k] - truth) ** 2)))
                spread = float(np.std(truth))
                heading = f"{condition} [{CONDITIONS[condition]}]"
                book.note("fitted", {"generator": name, "condition": heading}, error=error)
                known = {"generator": "always the mean", "condition": heading}
                book.note("fitted", known, error=spread)
            book.pictures("sweep", name, _sweep(network, shop.rng("sweep")), GREY)
            untrained_twin(shop, book, name, trained, shape)


def _truth(data: Any, condition: str) -> NDArray[np.floating]:
    """Return the condition of the first image of each structure."""
    values = data.condition(condition)
    firsts = [
        next(i for i in range(len(data)) if data.structure_id(i) == s) for s in data.structures
    ]
    truth: NDArray[np.floating] = np.asarray(values)[firsts]
    return truth


def _sweep(network: ConditionalDCGAN, rng: np.random.Generator) -> NDArray[np.floating]:
    """Return images of one latent vector from the least to the largest defocus."""
    z = network.sample_latent(1, rng).repeat(_SWEEP, 1)
    conditions = network.conditions(z)
    column = network.names.index("defocus")
    low, high = network.table[column, [0, -1]]
    conditions[:, column] = torch.linspace(float(low), float(high), _SWEEP)
    with torch.no_grad():
        images: NDArray[np.floating] = network(network.given(z, conditions))[:, 0].numpy()
    return images


OUTLOOK = Experiment(
    name="outlook",
    title="Outlook: parameters of the microscope",
    part="Section 5",
    text=(
        "The paper proposes to condition the GAN on the microscope's parameters, or to embed them "
        "in the latent space. Both are trained: defocus, thickness and tilt are latent numbers of "
        "known meaning, once with a discriminator that is told them, once without. Search then "
        "fits them with the rest."
    ),
    views=(
        Table(
            what="quality",
            title="Do conditions help to reach test images?",
            row="generator",
            columns={
                "r_db": "R [dB]",
                "frechet": "Fréchet distance",
                "coverage": "coverage",
            },
            digits=3,
        ),
        Cross(
            what="fitted",
            title="Root mean square error of the conditions fitted to clean test images",
            row="generator",
            column="condition",
            value="error",
            digits=3,
            text="Below the row of the mean, the image tells the condition to the search.",
        ),
        Pictures(
            what="sweep",
            title="One latent vector from the least to the largest defocus",
            row="row",
            column="column",
        ),
        Table(
            what="trained",
            title="Does training help at all?",
            row="network",
            columns=TRAINED_COLUMNS,
        ),
    ),
    run=_outlook,
)

EXPERIMENTS = (OUTLOOK,)
