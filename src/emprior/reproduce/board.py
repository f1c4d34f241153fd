"""Denoisers × noises on test structures, for several experiments at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from emprior import evaluate, records
from emprior.evaluate import EvaluationRecipe
from emprior.noise_names import PAPER_NOISES
from emprior.reproduce.adversarial import latent
from emprior.reproduce.book import Book
from emprior.reproduce.workshop import Workshop
from emprior.weights import read_card

Rows = list[dict[str, Any]]

SCORES = (
    "psnr_db",
    "peak_psnr_db",
    "ssim",
    "spectrum_ratio",
    "contrast_ratio",
    "column_f1",
    "column_count_ratio",
    "column_width_ratio",
    "seconds",
)
"""What is taken over of each record of an evaluation."""


def gan_rows(shop: Workshop) -> Rows:
    """Return Algorithm 2 with the best generator of each latent dimension."""
    shape = shop.scale.latent
    search = "paper" if shop.scale.search.second >= 10_000 else "paper-cpu"
    return [
        {
            "method": "algorithm-2",
            "label": f"GAN, nz {nz}",
            "prior": str(shop.best_state(latent(shop, nz), shape)["path"]),
            "search": search,
        }
        for nz in shape.nz
    ]


def score(shop: Workshop, book: Book, rows: Rows, noises: Sequence[str] = PAPER_NOISES) -> None:
    """Denoise test images with some rows, blind, and record the scores.

    All experiments share one evaluation: a row is computed once, and all rows see the same noisy
    frames.
    """
    board = shop.scale.board
    shop.data("test")
    recipe = EvaluationRecipe.from_dict(
        {
            "data": [
                {"path": str(shop.directory / "datasets" / "test"), "max_images": board.images}
            ],
            "denoisers": rows,
            "noises": list(noises),
            "crop": board.crop,
            "pixel_size": board.pixel_size,
            "seed": shop.seed(0),
        }
    )
    with shop.bar("denoising test images") as progress:
        path = evaluate.run(recipe, shop.directory / "evaluation", progress=progress)
    made = records.read(path)
    for row in recipe.denoisers:
        trained = row.prior != "default"
        seen = read_card(row.prior).images if trained else 0
        for record in made:
            if record["denoiser"] == row.name and record["noise"] in noises:
                key = {name: record[name] for name in ("denoiser", "noise", "image")}
                values = {name: record[name] for name in SCORES if name in record}
                book.once("score", key, lambda: values, seen)
