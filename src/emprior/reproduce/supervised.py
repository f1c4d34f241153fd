"""The supervised baseline, and what biases cost it off its training noise (section 3.2.3)."""

from __future__ import annotations

from typing import Any

import torch

from emprior.reproduce.adversarial import latent
from emprior.reproduce.board import Rows, gan_rows, score
from emprior.reproduce.book import Book
from emprior.reproduce.experiment import Experiment
from emprior.reproduce.judging import TRAINED_COLUMNS, note_trained
from emprior.reproduce.searching import decibels
from emprior.reproduce.workshop import Trained, Workshop
from emprior.views import Cross, Curves, Table

P1 = "UNet, bias-free, P(1)"
NETWORKS: dict[str, dict[str, Any]] = {
    P1: {"type": "unet", "bias": False, "noise": "P(1)"},
    "UNet, with biases, P(1)": {"type": "unet", "bias": True, "noise": "P(1)"},
    "UNet, bias-free, all noises": {"type": "unet", "bias": False, "noise": None},
    "DnCNN, P(1)": {"type": "dncnn", "bias": True, "noise": "P(1)"},
    "BF-DnCNN, P(1)": {"type": "dncnn", "bias": False, "noise": "P(1)"},
}
"""Architecture, biases, and the noise trained on; None for all kinds and levels."""


def regressor(shop: Workshop, name: str) -> Trained:
    """Return one of `NETWORKS`, trained."""
    settings, scale = NETWORKS[name], shop.scale.supervised
    network: dict[str, Any] = {"type": settings["type"], "bias": settings["bias"]}
    if settings["type"] == "unet":
        network |= {"scales": scale.scales, "width": scale.channels}
    else:
        network |= {"depth": scale.depth, "width": scale.width}
    network["norm"] = scale.norm
    noise = {"label": settings["noise"]} if settings["noise"] else {}
    updates = -(-scale.images // scale.batch)
    recipe = {
        "kind": "regression",
        "data": {"crop": scale.crop, "held_out": 0.05},
        "network": network,
        "noise": {"pooling": scale.pooling, **noise},
        "optimisation": {"batch": scale.batch},
        "budget": {"images": scale.images},
        "output": {
            "log": max(1, updates // 200),
            "checkpoint": max(50, updates // 50),
            "samples": max(1, updates // 4),
            "validate_every": max(1, updates // 20),
        },
    }
    label = name.replace(",", "").replace("(", "").replace(")", "").replace(" ", "-").lower()
    return shop.train(label, recipe)


def supervised_rows(shop: Workshop, names: tuple[str, ...] = tuple(NETWORKS)) -> Rows:
    """Return rows of a table for networks, trained where they are not yet."""
    return [
        {"method": "supervised", "label": name, "prior": str(regressor(shop, name).path)}
        for name in names
    ]


def _supervised(shop: Workshop, book: Book) -> None:
    for name in NETWORKS:
        trained = regressor(shop, name)
        judged = [line for line in trained.log if any("held_out_psnr" in key for key in line)]
        keys = sorted({key for line in judged for key in line if "held_out_psnr" in key})
        for key in keys:
            noise = key.removeprefix("held_out_psnr_db ")
            book.note(
                "learning",
                {"network": name, "noise": noise},
                images=[line["images"] for line in judged],
                psnr_db=[line[key] for line in judged],
            )
        network = trained.network()
        book.note(
            "cost",
            {"network": name},
            parameters=sum(parameter.numel() for parameter in network.parameters()),
            images=trained.images,
            training_s=round(trained.seconds, 1),
        )
        _beats_untrained(shop, book, name, trained)
    rows: Rows = [
        {"method": "constant"},
        *supervised_rows(shop),
        {
            "method": "supervised-misused",
            "label": f"{P1}, resized and shifted",
            "prior": str(regressor(shop, P1).path),
        },
        *gan_rows(shop),
    ]
    score(shop, book, rows)
    for nz in shop.scale.latent.nz:
        gan = latent(shop, nz)
        book.note(
            "cost",
            {"network": f"GAN, nz {nz}"},
            parameters=sum(parameter.numel() for parameter in gan.network().parameters()),
            images=gan.images,
            training_s=round(gan.seconds, 1),
        )


def _beats_untrained(shop: Workshop, book: Book, name: str, trained: Trained) -> None:
    """Compare a network with itself before training, on test crops with its training's noise."""
    shape = shop.scale.ablation.model_copy(update={"stride": 1, "size": 32})
    clean = shop.clean(shape)
    label = NETWORKS[name]["noise"] or "P(10)"
    noisy = torch.from_numpy(shop.noisy(shape, clean, label))[:, None].float()
    scores = []
    for network in (trained.network(), trained.untrained(shop.rng("untrained", name))):
        with torch.no_grad():
            scores.append(decibels(network(noisy)[:, 0].numpy(), clean))
    after, before = (sum(found) / len(found) for found in scores)
    note_trained(book, name, f"PSNR at {label} [dB]", after, before, images=trained.images)


SUPERVISED = Experiment(
    name="supervised",
    title="The supervised baseline",
    part="Section 3.2.3",
    text=(
        "The UNet of Mohan et al. and DnCNN, with and without biases, trained at P(1) or on all "
        "noises, tested on every noise. The paper resizes 512 pixels to 358 and back and shifts "
        "the mean of the answer; that row shows what this costs."
    ),
    views=(
        Cross(
            what="score",
            title="PSNR (range 1) [dB], mean ± standard deviation over test structures",
            row="denoiser",
            column="noise",
            value="psnr_db",
            text="Bias-free networks are said to generalise to noise that they were not trained "
            "on; the GAN was trained on none.",
        ),
        Table(
            what="cost",
            title="What training costs",
            row="network",
            columns={
                "parameters": "parameters",
                "images": "images seen",
                "training_s": "training [s]",
            },
            digits=0,
        ),
        Curves(
            what="learning",
            title="PSNR on held-out training structures (range 1)",
            x="images",
            y="psnr_db",
            x_label="images seen",
            y_label="PSNR [dB]",
            by="network",
            panel="noise",
        ),
        Table(
            what="trained",
            title="Does training help at all?",
            row="network",
            columns=TRAINED_COLUMNS,
        ),
    ),
    run=_supervised,
)

EXPERIMENTS = (SUPERVISED,)
