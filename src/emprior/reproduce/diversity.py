"""Measures of diversity, and whether they tell what they should (section 5, [2])."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from emprior.reproduce.adversarial import generator
from emprior.reproduce.basics import GREY
from emprior.reproduce.book import Book
from emprior.reproduce.experiment import Experiment
from emprior.reproduce.judging import MARKS, TRAINED_COLUMNS, judge_of, note_trained
from emprior.reproduce.searching import samples
from emprior.reproduce.workshop import Workshop
from emprior.training.features import contrast, views
from emprior.views import Pictures, Table

_SHOWN = 6
_PARTNERS = 64  # images of which two windows are to find each other


def _diversity(shop: Workshop, book: Book) -> None:
    shape, rng = shop.scale.latent, shop.rng("diversity")
    judge = judge_of(shop, shape)
    number, extent = judge.number, shape.size * shape.stride
    other = shop.data().crops(number, (extent, extent), rng).images
    other = other[..., :: shape.stride, :: shape.stride]
    drawn = samples(generator(shop), number, rng)
    drawn_name = f"samples, nz {shape.nz[0]}"
    sets: dict[str, NDArray[Any]] = {
        "other training images": other,
        "one training image, with jitter": other[:1] + 1e-3 * rng.standard_normal(other.shape),
        "ten training images, repeated": np.resize(other[:10], other.shape),
        "blurred training images": _blurred(other),
        drawn_name: drawn,
    }
    for name, images in sets.items():

        def measure() -> dict[str, Any]:
            return judge.marks(images, shop.rng("measure"))

        book.once("set", {"images": name}, measure)
        book.pictures("shown", name, images[:_SHOWN, 0], GREY)
    found = book.once("set", {"images": drawn_name}, dict)
    book.note(
        "inception",
        {"network": "Inception V3"},
        note=found["inception_note"],
        frechet=found["inception"],
    )
    crops = torch.from_numpy(judge.real[:_PARTNERS])
    with torch.no_grad():
        after, before = (
            float(contrast(network(views(crops, shop.rng("partners"))))[1])
            for network in (judge.trained.network(), judge.trained.untrained(shop.rng("new")))
        )
    what = "share of windows whose nearest is of the same image"
    note_trained(book, "feature network", what, after, before, judge.trained.images)
    # A sample and the training image that it resembles most.
    book.pictures("nearest", "sample", drawn[:_SHOWN, 0], GREY)
    book.pictures("nearest", "nearest training image", judge.nearest(drawn[:_SHOWN])[1][:, 0], GREY)


def _blurred(images: NDArray[Any]) -> NDArray[Any]:
    from scipy.ndimage import gaussian_filter

    blurred: NDArray[Any] = gaussian_filter(images, (0, 0, 1.0, 1.0))
    return blurred


DIVERSITY = Experiment(
    name="diversity",
    title="Measures of diversity",
    part="Section 5, Borji (2018)",
    text=(
        "The paper calls for an objective measure of how diverse a generator is. Several are "
        "tried on sets whose faults are known, beside samples of the generator. A measure that "
        "does not tell the first row from the others tells nothing."
    ),
    views=(
        Table(
            what="trained",
            title="Does the feature network tell images apart?",
            row="network",
            columns=TRAINED_COLUMNS,
        ),
        Table(
            what="set",
            title="Sets of images against training images",
            row="images",
            columns=MARKS,
            digits=3,
        ),
        Table(
            what="inception",
            title="Fréchet distance with Inception V3",
            row="network",
            columns={"frechet": "distance", "note": "note"},
        ),
        Pictures(what="shown", title="The sets", row="row", column="column"),
        Pictures(
            what="nearest",
            title="Samples and the training images nearest to them",
            row="row",
            column="column",
        ),
    ),
    run=_diversity,
)

EXPERIMENTS = (DIVERSITY,)
