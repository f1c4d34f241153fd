"""Natural images: DCGANs of 32 × 32 pixels, grey and in colour (section 4.1.2, appendix A)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from emprior.errors import FileError
from emprior.natural import ARCHIVES, PAGE, open_images
from emprior.reproduce.book import Book
from emprior.reproduce.experiment import Experiment
from emprior.reproduce.judging import TRAINED_COLUMNS, untrained_twin
from emprior.reproduce.scale import Adversarial
from emprior.reproduce.searching import algorithm_2, curve, decibels, found, samples
from emprior.reproduce.workshop import Trained, Workshop
from emprior.stacks import Stack
from emprior.views import Curves, Pictures, Table

NATURAL_KINDS = ("grey", "colour")
SIDE = 32

_SHOWN = 8


def natural_images(shop: Workshop, kind: str, part: str) -> Stack:
    """Return the "train" or "test" images in grey or colour.

    Raises
    ------
    FileError
        If the user named none; it says which file is wanted and where to get it.
    """
    if shop.natural is None:
        archives = " or ".join(f"{each.file} (MD5 {each.md5})" for each in ARCHIVES)
        raise FileError(
            "no natural images",
            expected=f"{archives}, or a folder or zip of pictures with parts train/ and test/",
            why="the paper tried its optimiser on natural images before micrographs",
            fix=f"download the binary version from {PAGE} and name it with --images",
        )
    return open_images(shop.natural, colour=kind == "colour", part=part)


def training_images(shop: Workshop, kind: str) -> Stack:
    """Return the images trained on: all, or as many as the scale allows, drawn at random."""
    images, most = natural_images(shop, kind, "train"), shop.scale.natural.most
    if most is None or most >= len(images):
        return images
    return images.subset(shop.rng("natural subset").permutation(len(images))[:most])


def natural_gan(shop: Workshop, kind: str) -> Trained:
    """Return the DCGAN of grey or colour images, trained."""
    images = training_images(shop, kind)
    return shop.gan(f"natural-{kind}", _shape(shop, len(images)), data=images)


def _shape(shop: Workshop, images: int) -> Adversarial:
    settings = shop.scale.natural
    return Adversarial(
        size=32,
        stride=1,
        nz=(settings.nz,),
        ngf=settings.ngf,
        ndf=settings.ngf,
        images=round(settings.epochs * images),
    )


def _natural(shop: Workshop, book: Book) -> None:
    counts = shop.scale.search
    for kind in NATURAL_KINDS:
        train, test = training_images(shop, kind), natural_images(shop, kind, "test")
        book.note("data", {"kind": kind}, train=train.title, test=test.title)
        trained = natural_gan(shop, kind)
        network = trained.network()
        book.pictures("sample", f"{kind}: data", _shown(_draw(train, shop)), (0.0, 1.0))
        made = samples(network, _SHOWN, shop.rng("fixed noise"))
        book.pictures("sample", f"{kind}: samples", _shown(made), (0.0, 1.0))
        targets = test.crops(counts.frames, (SIDE, SIDE), shop.rng("natural")).images

        def search_it() -> dict[str, Any]:
            rng = shop.rng("natural search")
            inversion, images = found(network, targets, rng, algorithm_2(counts))
            book.pictures("reconstruction", f"{kind}: target", _shown(targets), (0.0, 1.0))
            book.pictures("reconstruction", f"{kind}: found", _shown(images), (0.0, 1.0))
            path = curve(inversion)
            return {"scores": decibels(images, targets), **path}

        record = book.once("search", {"kind": kind}, search_it, images=trained.images)
        constant = targets.mean((2, 3), keepdims=True) + 0 * targets
        rows = {"Algorithm 2": record["scores"], "constant": decibels(constant, targets)}
        for name, scores in rows.items():
            for k, score in enumerate(scores):
                key = {"row": f"{kind}: {name}", "image": k}
                book.note("reconstructions", key, psnr_db=score)
        untrained_twin(shop, book, kind, trained, _shape(shop, len(train)), data=train)


def _draw(images: Stack, shop: Workshop) -> NDArray[np.float32]:
    found: NDArray[np.float32] = images.crops(_SHOWN, (SIDE, SIDE), shop.rng("shown")).images
    return found


def picture(image: NDArray[Any]) -> NDArray[Any]:
    """Return a picture, (H, W) or (H, W, 3), of an image (H, W), (1, H, W) or (3, H, W)."""
    return np.moveaxis(image, 0, -1) if len(image) == 3 else image.reshape(image.shape[-2:])


def _shown(images: NDArray[Any]) -> NDArray[Any]:
    return np.stack([picture(image) for image in images])


NATURAL = Experiment(
    name="natural",
    title="Natural images",
    part="Section 4.1.2, appendix A, figures 15 to 18",
    text=(
        "DCGANs of 32 × 32 pixels, nz 100, grey and in colour, and the search for test images "
        "with them. The paper used 50,000 images of CIFAR-100; what was used here stands in the "
        "table."
    ),
    views=(
        Table(
            what="data",
            title="Images",
            row="kind",
            columns={"train": "trained on", "test": "test images"},
        ),
        Pictures(what="sample", title="Data and samples", row="row", column="column"),
        Pictures(
            what="reconstruction",
            title="Test images and what was found",
            row="row",
            column="column",
        ),
        Curves(
            what="search",
            title="PSNR while searching, mean over images",
            x="step",
            y="psnr_db",
            x_label="step",
            y_label="PSNR (range 1) [dB]",
            by="kind",
        ),
        Table(
            what="reconstructions",
            title="Reconstruction, mean ± standard deviation over images",
            row="row",
            columns={"psnr_db": "PSNR (range 1) [dB]"},
        ),
        Table(
            what="trained",
            title="Does training help at all?",
            row="network",
            columns=TRAINED_COLUMNS,
        ),
    ),
    run=_natural,
)

EXPERIMENTS = (NATURAL,)
