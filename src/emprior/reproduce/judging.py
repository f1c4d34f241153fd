"""How good and how diverse a generator is: the same judge for all that draw the same images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from emprior import diversity
from emprior.generators import Generator
from emprior.reproduce.book import Book
from emprior.reproduce.scale import Adversarial
from emprior.reproduce.searching import samples
from emprior.reproduce.workshop import Trained, Workshop

Floats = NDArray[np.floating]


MARKS = {
    "frechet": "Fréchet distance",
    "frechet_floor": "Fréchet distance of real images",
    "coverage": "coverage",
    "coverage_floor": "coverage of real images",
    "density": "density",
    "repeated": "repeated samples, share",
    "repeated_real": "share of real images",
    "support": "support by birthdays",
    "among": "distance to the nearest other sample, median",
    "among_real": "the same distance of real images",
    "similarity": "MS-SSIM or SSIM of pairs",
    "to_data": "distance to the nearest training image, median",
    "log_likelihood": "log-likelihood [nats]",
}
"""What is told of a set of images, see `emprior.diversity`."""


@dataclass(frozen=True, eq=False)
class Judge:
    """A trained feature network and training images to compare with.

    Parameters
    ----------
    trained : Trained
        The network.
    real : (n, C, H, W) ndarray
        Random crops of the training data. Half of them are compared with, the other half are
        the real images that everything is measured of, too.
    """

    trained: Trained
    real: Floats

    @property
    def number(self) -> int:
        """Images that are compared."""
        return len(self.real) // 2

    def quality(self, generator: Generator, rng: np.random.Generator) -> dict[str, Any]:
        """Return `MARKS` of samples of a generator."""
        return self.marks(samples(generator, self.number, rng), rng)

    def marks(self, images: Floats, rng: np.random.Generator) -> dict[str, Any]:
        """Return `MARKS` of images, (n, C, H, W)."""
        found = diversity.measure(images, self.real, self.trained.network(), rng)
        ours, real = found.samples, found.held_out
        return {
            "frechet": ours.frechet,
            "frechet_floor": real.frechet,
            "coverage": ours.manifolds.coverage,
            "coverage_floor": real.manifolds.coverage,
            "density": ours.manifolds.density,
            "repeated": ours.repeated,
            "repeated_real": real.repeated,
            "support": None if ours.birthday.support is None else int(ours.birthday.support),
            "among": ours.among_themselves.median,
            "among_real": real.among_themselves.median,
            "similarity": ours.pair_similarity.median,
            "to_data": ours.to_real.median,
            "to_data_low": ours.to_real.low,
            "to_data_high": ours.to_real.high,
            "log_likelihood": ours.log_likelihood,
            "inception": found.inception.distance,
            "inception_note": found.inception.note,
        }

    def nearest(self, images: Floats) -> tuple[Floats, Floats]:
        """Return the distance of each image to the nearest training image, and that image.

        Among as many training images as in `marks`: the nearest of more would be nearer.
        """
        network, known = self.trained.network(), self.real[: self.number]
        ours, real = (diversity.embed(network, chosen) for chosen in (images, known))
        distance = cdist(ours, real)
        return distance.min(1), known[distance.argmin(1)]


def judge_of(shop: Workshop, shape: Adversarial, data: Any = None) -> Judge:
    """Return the judge of images of a shape; its network is trained where it is not yet.

    Parameters
    ----------
    shop : Workshop
    shape : Adversarial
    data : Micrographs, optional
        Natural images; by default the simulated training set.
    """
    name = f"features-{shape.size}" + ("" if data is None else f"-{data.channels}-channels")
    if name not in shop.judges:
        scale = shop.scale.diversity
        updates = -(-scale.feature_images // 32)
        recipe = {
            "kind": "features",
            "data": {"stride": shape.stride},
            "network": {"size": shape.size, "dimension": scale.dimension},
            "optimisation": {"batch": 32},
            "budget": {"images": scale.feature_images},
            "output": {"checkpoint": max(50, updates // 20), "samples": max(1, updates // 2)},
        }
        trained = shop.train(name, recipe, data)
        source = shop.data() if data is None else data
        extent = shape.size * shape.stride
        rng = shop.rng("real images", name)
        crops = source.crops(2 * scale.samples, (extent, extent), rng).images
        shop.judges[name] = Judge(trained, crops[..., :: shape.stride, :: shape.stride])
    judge: Judge = shop.judges[name]
    return judge


def untrained_twin(
    shop: Workshop, book: Book, name: str, trained: Trained, shape: Adversarial, data: Any = None
) -> None:
    """Record the Fréchet distance of a GAN beside that of itself before training."""
    judge, rng = judge_of(shop, shape, data), shop.rng("judged samples")

    def compare() -> dict[str, Any]:
        found = judge.quality(trained.network(), rng)["frechet"]
        before = judge.quality(trained.untrained(shop.rng("untrained")), rng)["frechet"]
        return _compared("Fréchet distance", found, before, found < before)

    book.once("trained", {"network": name}, compare, images=trained.images)


def note_trained(
    book: Book, name: str, measure: str, trained: float, untrained: float, images: int
) -> None:
    """Record a score, the higher the better, of a network and of itself before training."""
    book.once(
        "trained",
        {"network": name},
        lambda: _compared(measure, trained, untrained, trained > untrained),
        images=images,
    )


def _compared(measure: str, trained: float, untrained: float, better: bool) -> dict[str, Any]:
    return {
        "measure": measure,
        "trained": trained,
        "untrained": untrained,
        "better": "yes" if better else "no",
    }


TRAINED_COLUMNS = {
    "measure": "measure",
    "trained": "trained",
    "untrained": "untrained",
    "better": "trained is better",
}
"""Of the table that every experiment with trainings shows."""
