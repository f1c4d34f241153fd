"""All denoisers side by side: classical ones, figure 13, and real micrographs (figure 14)."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from emprior.denoisers import LEARNED, Denoiser, learned, make
from emprior.errors import FileError
from emprior.evidence import Advantage, hold_out
from emprior.io import read
from emprior.micrograph import Micrograph
from emprior.noise_names import PAPER_NOISES, noise_model
from emprior.noise_spec import resolve
from emprior.reproduce.basics import GREY
from emprior.reproduce.board import Rows, gan_rows, score
from emprior.reproduce.book import Book
from emprior.reproduce.experiment import Experiment
from emprior.reproduce.supervised import P1, regressor, supervised_rows
from emprior.reproduce.workshop import Workshop
from emprior.stacks import windows
from emprior.views import Cross, Pictures, Table, View

_CLASSICAL: Rows = [
    {"method": "identity", "label": "noisy"},
    {"method": "constant"},
    {"method": "blur"},
    {"method": "wiener", "label": "Wiener"},
    {"method": "wavelet"},
]


def _classical(shop: Workshop, book: Book) -> None:
    score(shop, book, _CLASSICAL)


CLASSICAL = Experiment(
    name="classical",
    title="Classical denoisers",
    part="Section 2.2",
    text=(
        "The Wiener filter and wavelet thresholding, which the paper names and does not try, "
        "between two trivial rows: the mean of the frame, and a Gaussian blur."
    ),
    views=(
        Cross(
            what="score",
            title="PSNR (range 1) [dB], mean ± standard deviation over test structures",
            row="denoiser",
            column="noise",
            value="psnr_db",
        ),
    ),
    run=_classical,
)

# ------------------------------------------------------------------------------------- figure 13

PAPER_13 = {
    "paper: supervised": (23.64, 23.71, 23.86, None, 23.33, 23.73, 22.21, 22.21),
    "paper: GAN, nz 50": (27.66, 27.70, 27.64, None, 22.72, 27.66, 27.64, 27.61),
    "paper: GAN, nz 100": (24.60, 24.60, 24.60, None, 24.60, 24.60, 24.60, 24.60),
    "paper: GAN, nz 150": (23.65, 23.65, 23.65, None, 23.65, 23.65, 23.65, 23.65),
}
"""Figure 13 of the paper: PSNR (range 1) [dB] of one image, in the order of `PAPER_NOISES`.

The paper clips its Poisson noise, which matters at P(1) only; its P(1) stands under "clipped P(1)".
"""


def _figure_13(shop: Workshop, book: Book) -> None:
    rows: Rows = [
        *_CLASSICAL,
        *supervised_rows(shop, (P1,)),
        {
            "method": "supervised-misused",
            "label": f"{P1}, resized and shifted",
            "prior": str(regressor(shop, P1).path),
        },
        *gan_rows(shop),
    ]
    score(shop, book, rows)
    for name, values in PAPER_13.items():
        for noise, value in zip(PAPER_NOISES, values, strict=True):
            if value is not None:
                book.note(
                    "score", {"denoiser": name, "noise": noise, "image": "paper"}, psnr_db=value
                )
    _gallery(shop, book, rows)


def _gallery(shop: Workshop, book: Book, rows: Rows) -> None:
    """Record what each row makes of one image."""
    clean = shop.frames(1)[0].load()
    book.picture("picture", {"row": "truth", "column": PAPER_NOISES[0]}, clean.image, GREY)
    for label in PAPER_NOISES:
        model = noise_model(label)
        rng = shop.rng("gallery", label)
        noisy = clean.image if model is None else model.sample(clean.image, rng)
        frame = dataclasses.replace(clean, image=noisy)
        for row in rows:
            key = {"row": row.get("label", row["method"]), "column": label}

            def draw() -> dict[str, Any]:
                noise = resolve("auto", frame.image).noise
                estimate = _made(row)(frame, noise, shop.rng("gallery"))
                book.picture("picture", key, estimate.image, GREY)
                return {}

            book.once("drawn", key, draw)


def _made(row: dict[str, Any]) -> Denoiser:
    """Return the denoiser of a row."""
    if row["method"] not in LEARNED:
        return make(row["method"])
    return learned(row["method"], row.get("prior", "default"), search=row.get("search", "default"))


def _crossed(value: str, title: str, text: str = "", digits: int = 2) -> View:
    return Cross(
        what="score",
        title=title,
        row="denoiser",
        column="noise",
        value=value,
        text=text,
        digits=digits,
    )


FIGURE_13 = Experiment(
    name="figure-13",
    title="Figure 13: simulated noise",
    part="Section 4.3.1, figure 13",
    text=(
        "Every denoiser under every noise on structures that nothing was trained on, blind: "
        "mean ± standard deviation over structures, where the paper has one image. Its rows for "
        "nz 100 and 150 are one number each, because its notebook read one file for every noise."
    ),
    views=(
        _crossed("psnr_db", "PSNR (range 1) [dB]", "Read it beside the row of constants."),
        _crossed("peak_psnr_db", "PSNR of equation (4), the truth's maximum as range [dB]"),
        _crossed("ssim", "SSIM (range 1)", digits=3),
        _crossed(
            "spectrum_ratio",
            "Sharpness: radial spectrum of the estimate over that of the truth",
            "Below 1 is blurred, above 1 noisy or invented.",
        ),
        _crossed(
            "contrast_ratio",
            "Contrast between atoms and vacuum, estimate over truth",
        ),
        _crossed("column_count_ratio", "Number of atomic columns, estimate over truth"),
        _crossed("column_width_ratio", "Width of atomic columns, estimate over truth"),
        _crossed("column_f1", "F1 of atomic columns", digits=3),
        Pictures(what="picture", title="One test image", row="row", column="column"),
    ),
    run=_figure_13,
)

# ------------------------------------------------------------------------------------- figure 14

_CROPS = 2


def _figure_14(shop: Workshop, book: Book) -> None:
    if shop.video is None:
        raise FileError(
            "no low-dose frames",
            expected="a file of real micrographs of one electron or so a pixel, (T, H, W)",
            why="figure 14 denoises crops of the 40 frames of 1215 × 1208 pixels that the "
            "authors of Mohan et al. (2020) recorded, which are not published as a file",
            fix="name any low-dose movie with --video; other experiments do without",
        )
    signal = read(shop.video)
    frames = np.asarray(signal.data).reshape(-1, 1, *signal.data.shape[-2:])
    side = min(shop.scale.board.crop, *frames.shape[-2:])
    crops = windows(frames, _CROPS, (side, side), shop.rng("video"))
    book.note(
        "video",
        {"file": shop.video.name},
        frames=len(frames),
        shape=" × ".join(map(str, frames.shape[-2:])),
        pixel_size="not told, taken as 0.0489 Å"
        if signal.pixel_size is None
        else f"{signal.pixel_size:g} Å",
    )
    rows: Rows = [
        *_CLASSICAL[1:],
        {"method": "pooled-wavelet", "label": "pooled wavelet"},
        *supervised_rows(shop, (P1,)),
        *gan_rows(shop),
        {"method": "prior", "label": "the shipped prior"},
    ]
    for number, image in enumerate(crops.images[:, 0]):
        frame = Micrograph(image, signal.pixel_size)
        found = resolve("auto", image)
        held_out = hold_out(frame, found.noise, shop.rng("thinning", str(number)))
        column = f"crop {number + 1}"
        low, high = (float(q) for q in np.quantile(image, [0.0, 0.999]))
        book.picture("picture", {"row": "noisy", "column": column}, image, (low, high))
        book.note("noise", {"crop": column}, noise=str(found.noise), way=held_out.way)
        constant = make("constant")(held_out.seen, held_out.noise, shop.rng("constant")).image
        for row in rows:
            label = row.get("label", row["method"])

            def judge() -> dict[str, Any]:
                estimate = _made(row)(held_out.seen, held_out.noise, shop.rng("thinned")).image
                middle, spread = float(np.median(constant)), float(np.std(estimate))
                limits = (middle - 3 * spread - 1e-3, middle + 3 * spread + 1e-3)
                book.picture("picture", {"row": label, "column": column}, estimate, limits)
                gain = Advantage.between(held_out, estimate, constant)
                return {"gain": 1e3 * gain.mean, "error": 1e3 * gain.error}

            book.once("thinning", {"denoiser": label, "crop": column}, judge)


FIGURE_14 = Experiment(
    name="figure-14",
    title="Figure 14: real micrographs",
    part="Section 4.3.2, figure 14",
    text=(
        "Random crops of recorded frames, without any scaling, of which no clean image exists. "
        "Each denoiser sees three in four of the electrons (thinning), of Gaussian noise as much "
        "of the information, of other noise eight in nine of the pixels, and is judged by how "
        "well it predicts the rest: a sharp image that is wrong loses. Grey scales are each "
        "picture's own. The generators know platinum on ceria; nobody says that this is what was "
        "recorded."
    ),
    views=(
        Table(
            what="video",
            title="The file",
            row="file",
            columns={"frames": "frames", "shape": "pixels", "pixel_size": "pixel size"},
        ),
        Table(
            what="noise",
            title="Noise, as identified",
            row="crop",
            columns={"noise": "noise", "way": "held out"},
        ),
        Cross(
            what="thinning",
            title="Log-likelihood of held-out electrons, above the constant's [10⁻³ nats a pixel]",
            row="denoiser",
            column="crop",
            value="gain",
        ),
        Cross(
            what="thinning",
            title="Standard error of that",
            row="denoiser",
            column="crop",
            value="error",
        ),
        Pictures(what="picture", title="Side by side", row="row", column="column"),
    ),
    run=_figure_14,
)

EXPERIMENTS = (CLASSICAL, FIGURE_13, FIGURE_14)
