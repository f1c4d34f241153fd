"""How large the experiments are: the paper's size, two cores, or a smoke test."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from typing import Annotated, Literal

from pydantic import Field

from emprior.errors import OptionError
from emprior.recipes import Recipe
from emprior.simulate.recipe import Simulation

SCALES = ("paper", "cpu", "smoke")

Count = Annotated[int, Field(ge=1)]
Side = Literal[16, 32, 64, 128, 256, 512]


class Data(Recipe):
    """Simulated micrographs: the sets share no structure, since their seeds differ.

    The validation set chooses between states of a network; the test set is only measured on.
    """

    train: Simulation
    validation: Simulation
    test: Simulation


class Adversarial(Recipe):
    """The GAN of one experiment.

    Parameters
    ----------
    size : int
        Pixels a side of its images.
    stride : int
        Keep every n-th pixel of the training data.
    nz : tuple of int
        Latent dimensions; experiments on one generator take the first.
    ngf, ndf : int
        Base widths of generator and discriminator.
    batch : int
    images : int
        Real images seen.
    exports : int
        How often, evenly spread, the generator is kept and looked at.
    seeds : int
        Trainings that differ in nothing else.
    """

    size: Side
    stride: int = Field(ge=1)
    nz: tuple[Count, ...] = (50,)
    ngf: Count
    ndf: Count
    batch: int = Field(default=36, ge=2)
    images: Count
    exports: Count = 4
    seeds: Count = 3


class Natural(Recipe):
    """GANs of natural images, 32 × 32 pixels."""

    nz: Count = 100
    ngf: Count
    epochs: Annotated[float, Field(gt=0)]
    most: int | None = Field(default=None, ge=1)
    """Images trained on; all where empty."""


class Search(Recipe):
    """Algorithm 2, and the tests of optimisers.

    Parameters
    ----------
    starts, first, second : int
        Random starts, steps of each, further steps of the best.
    frames : int
        Held-out images in most experiments.
    full_frames : int
        Images that the paper's own counts, 10 × 1,500 + 10,000, are tried on; 0 leaves it out.
    steps : int
        In comparisons of optimisers.
    repeats : int
        Searches of one image that differ in their starts alone.
    exact_steps : int
        At most, until a generated image is found again to rounding error.
    """

    starts: Count
    first: Count
    second: Count
    frames: Count
    full_frames: int = Field(ge=0)
    steps: Count
    repeats: Count
    exact_steps: Count


class Supervised(Recipe):
    """The supervised rivals.

    Parameters
    ----------
    scales, channels : int
        Of the UNet.
    depth, width : int
        Of the DnCNN.
    norm : bool
        Whether they normalise batches, as the published ones do; they then learn more slowly.
    crop, batch, images : int
        Training images, pixels a side; images in an update and in all.
    pooling : int
        Detector pixels along each side of one pixel of the training data.
    """

    scales: Count
    channels: Count
    depth: Annotated[int, Field(ge=3)]
    width: Count
    norm: bool = False
    crop: Annotated[int, Field(ge=16)]
    batch: Count = 8
    images: Count
    pooling: Count


class Diversity(Recipe):
    """How samples are compared with data.

    Parameters
    ----------
    dimension : int
        Of the features.
    feature_images : int
        Images that the feature network is trained on.
    samples : int
        Images compared; at least ten for each feature.
    """

    dimension: Annotated[int, Field(ge=4, le=64)]
    feature_images: Count
    samples: Count


class Board(Recipe):
    """Figure 13.

    Parameters
    ----------
    images : int
        Of structures that nothing was trained on.
    crop : int
        Pixels a side.
    pixel_size : float
        [Å]
    """

    images: Count
    crop: Annotated[int, Field(ge=32)]
    pixel_size: Annotated[float, Field(gt=0)]


class Scale(Recipe):
    """Every setting of the experiments."""

    seed: int = Field(ge=0)
    data: Data
    ablation: Adversarial
    latent: Adversarial
    natural: Natural
    search: Search
    supervised: Supervised
    diversity: Diversity
    board: Board


def load_scale(name: str) -> Scale:
    """Return one of `SCALES`, whose settings lie beside this module as ``NAME.toml``.

    Raises
    ------
    OptionError
        If there is none of that name.
    """
    if name not in SCALES:
        raise OptionError(
            f"the scale {name!r}",
            expected=", ".join(SCALES),
            why="it says how large images, networks and trainings are",
            fix="take cpu for a machine without a GPU, smoke to see that everything runs",
        )
    text = (files("emprior.reproduce") / f"{name}.toml").read_text(encoding="utf-8")
    return Scale.from_dict(tomllib.loads(text), f"the scale {name}")
