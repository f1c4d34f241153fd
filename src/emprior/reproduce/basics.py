"""Data and architectures: what the paper starts from (sections 2.1, 3.2.1 and 4.1.1)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from emprior.generators import DCGAN, Discriminator
from emprior.noise_names import PAPER_NOISES, noise_model
from emprior.reproduce.book import Book
from emprior.reproduce.experiment import Experiment
from emprior.reproduce.searching import decibels
from emprior.reproduce.workshop import Workshop
from emprior.views import Pictures, Table

GREY = (0.2, 0.7)
"""Black and white of micrographs in all figures, for one look at them all."""

_PATCHES = 6


def _data(shop: Workshop, book: Book) -> None:
    data, shape = shop.data(), shop.scale.latent
    extent = shape.size * shape.stride
    rng = shop.rng("patches")
    book.picture("sample", {"row": "whole image", "column": "1"}, data.image(0), GREY)
    patches = data.crops(_PATCHES, (extent, extent), rng).images.reshape(-1, extent, extent)
    book.pictures("sample", f"{extent} × {extent} pixels", patches, GREY)
    images, structures = len(data), len(data.structures)
    book.once(
        "range",
        {"quantity": "clean images"},
        lambda: {"least": float(data.load().min()), "most": float(data.load().max())},
    )
    for name, low in (("patches, as the optimiser sees them", 0.0), ("as the GAN sees them", -1.0)):
        scaled = 2 * patches - 1 if low else patches
        values = {"least": float(scaled.min()), "most": float(scaled.max())}
        book.note("range", {"quantity": name}, **values)
    book.note("set", {"quantity": "images"}, ours=images, paper=3000)
    book.note("set", {"quantity": "structures"}, ours=structures)
    book.note("set", {"quantity": "shape"}, ours="×".join(map(str, data.shape)), paper="876×927")
    size = data.pixel_size
    book.note("set", {"quantity": "pixel size [Å]"}, ours=f"{size:g}", paper="0.0489")
    # Noise is of detector pixels: the figure shows the paper's own.
    frame = shop.frames(1)[0].load().image
    clean = frame[: min(512, len(frame)), : min(512, len(frame))]
    for label in PAPER_NOISES:
        noise = noise_model(label)
        noisy = clean if noise is None else noise.sample(clean, shop.rng("noise", label))
        column = "clean" if noise is None else label
        book.picture("noise", {"row": "", "column": column}, noisy, (0.0, 1.0))
        psnr = decibels(noisy[None], clean[None])[0]
        mean = float(np.mean(noisy))
        book.note("noise level", {"noise": column}, psnr_db=psnr, mean=mean)


DATA = Experiment(
    name="data",
    title="Data and noise",
    part="Section 4.1.1, figures 3 to 5",
    text=(
        "Random patches of simulated micrographs, without any resizing; [0, 1] for the "
        "optimiser, [-1, 1] for the GAN. The paper's images are those of Mohan et al.; ours are "
        "simulated after them, vacuum 0.45, and may exceed 1."
    ),
    views=(
        Table(
            what="set",
            title="Training set",
            row="quantity",
            columns={"ours": "here", "paper": "paper"},
        ),
        Pictures(
            what="sample", title="A training image and random patches", row="row", column="column"
        ),
        Table(
            what="range",
            title="Ranges of values",
            row="quantity",
            columns={"least": "least", "most": "most"},
            digits=3,
        ),
        Pictures(
            what="noise",
            title="One patch under every noise",
            row="row",
            column="column",
            text="Black is 0 and white is 1. P(s): counts of mean s·x over s; clipped at 1 where "
            "it says so, as the paper clips all of its Poisson noise.",
        ),
        Table(
            what="noise level",
            title="How noisy that is",
            row="noise",
            columns={"psnr_db": "PSNR (range 1) [dB]", "mean": "mean of the frame"},
            text="Clipping moves the mean: clipped P(1) is 1 with probability 1 − exp(−x).",
        ),
    ),
    run=_data,
)


def _architectures(shop: Workshop, book: Book) -> None:
    with torch.device("meta"):
        networks: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
            "generator": (DCGAN(size=512, nz=50, ngf=64, pixel_size=0.0489), (2, 50)),
            "discriminator": (Discriminator(size=512, ndf=64), (2, 1, 512, 512)),
            "first discriminator": (
                Discriminator(size=512, ndf=64, redesigned=False),
                (2, 1, 512, 512),
            ),
            "colour generator": (
                DCGAN(size=64, nz=100, ngf=64, pixel_size=1.0, channels=3),
                (2, 100),
            ),
            "colour discriminator": (Discriminator(size=64, ndf=64, channels=3), (2, 3, 64, 64)),
        }
        for name, (network, shape) in networks.items():
            for number, layer in enumerate(_layers(network, torch.empty(shape)), 1):
                book.note(name, {"layer": str(number)}, **layer)
            count = sum(parameter.numel() for parameter in network.parameters())
            paper = {"generator": "12.1 million"}.get(name)
            book.note(
                "parameters", {"network": name}, ours=count, **({"paper": paper} if paper else {})
            )


def _layers(network: nn.Module, example: torch.Tensor) -> list[dict[str, Any]]:
    """Return kind, output shape and parameters of every layer, in the order they are called."""
    called: list[dict[str, Any]] = []

    def note(module: nn.Module, inputs: Any, output: torch.Tensor) -> None:
        called.append(
            {
                "kind": type(module).__name__,
                "output": " × ".join(map(str, output.shape[1:])),
                "parameters": sum(parameter.numel() for parameter in module.parameters()),
            }
        )

    hooks = [
        module.register_forward_hook(note)
        for module in network.modules()
        if not list(module.children())
    ]
    network(example)
    for hook in hooks:
        hook.remove()
    return called


_LAYERS = {"kind": "kind", "output": "output", "parameters": "parameters"}

ARCHITECTURES = Experiment(
    name="architectures",
    title="Architectures",
    part="Sections 2.1 and 3.2.1, figures 1, 2 and 8",
    text=(
        "Layers as the modules have them, convolutions of kernel 4 without biases. The first "
        "discriminator is only described in the paper; ours keeps one width throughout."
    ),
    views=(
        Table(
            what="parameters",
            title="Parameters",
            row="network",
            columns={"ours": "here", "paper": "paper"},
        ),
        *(
            Table(what=name, title=name.capitalize(), row="layer", columns=_LAYERS)
            for name in (
                "generator",
                "discriminator",
                "first discriminator",
                "colour generator",
                "colour discriminator",
            )
        ),
    ),
    run=_architectures,
)

EXPERIMENTS = (DATA, ARCHITECTURES)
