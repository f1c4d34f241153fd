"""Plant faults in images whose truth is known, and measure how often `emprior.check` catches them.

    python benchmarks/trust_faults.py DATA -o FOLDER [--images 24] [--write]

The clean images of a simulated data set, or a folder that `emprior.evaluate` would take, are
corrupted; what is checked is the truth, with or without a fault. FOLDER keeps the records, so that
an interrupted run goes on. ``--write`` puts the table into docs/trust.md.

The ideal observer knows the truth and the faulty image, and decides which of the two made the data,
at the same rate of false alarms: with d'² = Σ (faulty − true)² / V it is right with probability
Φ(d' − z). Where the fault is one of n columns or places, and it is not told which, it has to share
its false alarms among them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from marked import rewrite
from numpy.typing import NDArray
from rich.progress import track
from scipy import ndimage
from scipy.spatial import KDTree

from emprior import check
from emprior.evaluate.frames import open_frames
from emprior.metrics import columns, inside
from emprior.noise_names import noise_model
from emprior.records import RECORDS, append, read
from emprior.specimen import VACUUM

Image = NDArray[np.float64]

NOISES = ("P(1)", "P(10)", "P(25)")
SHAPE = (320, 384)
FALSE_ALARM = 0.05
SEED = 501
TRUE, TRUE_DRAWS = "none (false alarms)", 8


class Planted(NamedTuple):
    """What is checked against what.

    Attributes
    ----------
    truth, denoised : (H, W) ndarray
        The denoised image; None where it is made from the noisy one.
    place : (row, column) or None
        Of the fault, in pixels.
    places : int
        Where else it might have been.
    """

    truth: Image
    denoised: Image | Callable[[Image], Image]
    place: tuple[float, float] | None = None
    places: int = 1


class Scene:
    """A clean image and its columns [pixels]."""

    def __init__(self, image: Image, pixel_size: float) -> None:
        self.image, self.pixel_size = image, pixel_size
        seen = columns(image, pixel_size)
        self.all = seen / pixel_size
        self.columns = self.all[inside(seen, image.shape, pixel_size)]
        self.grid = np.indices(image.shape)
        rises = [np.abs(image - self.without(*at)).max() for at in self.columns]
        self.rises = np.array(rises)

    def distance(self, row: float, column: float) -> Image:
        """Return how far each pixel is, in pixels."""
        return np.hypot(self.grid[0] - row, self.grid[1] - column)

    def blob(self, row: float, column: float, width: float, height: float) -> Image:
        """Return a Gaussian of a width in Å."""
        spread = width / self.pixel_size
        return height * np.exp(-(self.distance(row, column) ** 2) / (2 * spread**2))

    def without(self, row: float, column: float) -> Image:
        """Fill a disc, half as wide as the nearest column is far, from its rim: harmonically."""
        nearest = KDTree(self.all).query([row, column], k=2)[0][1] if len(self.all) > 1 else np.inf
        radius = min(0.75 / self.pixel_size, nearest / 2)
        window = tuple(
            slice(max(0, int(at - radius) - 2), int(at + radius) + 3) for at in (row, column)
        )
        hole = self.distance(row, column)[window] < radius
        part = np.where(hole, np.median(self.image[window][~hole]), self.image[window])
        for _ in range(400):
            part = np.where(hole, ndimage.uniform_filter(part, 3, mode="nearest"), part)
        filled = self.image.copy()
        filled[window] = part
        return filled

    def any_column(self, rng: np.random.Generator) -> tuple[float, float]:
        """Return a column that rises as much as half of all do."""
        strong = self.columns[self.rises >= np.median(self.rises)]
        row, column = strong[rng.integers(len(strong))]
        return float(row), float(column)

    def gap(self, rng: np.random.Generator) -> tuple[float, float]:
        """Return a place 1.2 Å or more from all columns and the edge."""
        room = np.ones(self.image.shape, bool)
        room[tuple(np.rint(self.all).astype(int).T)] = False
        room = ndimage.distance_transform_edt(np.pad(room, 1))[1:-1, 1:-1] > 1.2 / self.pixel_size
        row, column = np.argwhere(room)[rng.integers(np.count_nonzero(room))]
        return float(row), float(column)


def added(scene: Scene, rng: np.random.Generator) -> Planted:
    at = scene.any_column(rng)
    height = float((scene.image - scene.without(*at))[tuple(np.rint(at).astype(int))])
    place = scene.gap(rng)
    blob = scene.blob(*place, rng.uniform(0.3, 0.4), height * rng.uniform(0.7, 1))
    area = scene.image.size * scene.pixel_size**2
    return Planted(scene.image, scene.image + blob, place, int(area))  # a place for each Å²


def removed(scene: Scene, rng: np.random.Generator) -> Planted:
    at = scene.any_column(rng)
    return Planted(scene.image, scene.without(*at), at, len(scene.columns))


def shifted(scene: Scene, rng: np.random.Generator) -> Planted:
    at, turn = scene.any_column(rng), rng.uniform(0, 2 * np.pi)
    ground = scene.without(*at)
    step = rng.uniform(0.3, 0.5) / scene.pixel_size * np.array([np.sin(turn), np.cos(turn)])
    moved = ndimage.shift(scene.image - ground, step, order=1)
    return Planted(scene.image, ground + moved, at, len(scene.columns))


def lattice(scene: Scene, rng: np.random.Generator) -> Planted:
    scale = 1 + rng.uniform(0.02, 0.05) * rng.choice([-1, 1])
    middle = (np.array(scene.image.shape) - 1) / 2
    matrix = np.eye(2) * scale
    wrong = ndimage.affine_transform(
        scene.image, matrix, middle - matrix @ middle, order=3, mode="mirror"
    )
    return Planted(scene.image, wrong)


def contrast(scene: Scene, rng: np.random.Generator) -> Planted:
    factor = rng.choice([rng.uniform(0.7, 0.85), rng.uniform(1.15, 1.4)])
    mean = scene.image.mean()
    return Planted(scene.image, mean + factor * (scene.image - mean))


def vacuum(scene: Scene, rng: np.random.Generator) -> Planted:
    return Planted(np.full(scene.image.shape, VACUUM), scene.image)


def field(scene: Scene, rng: np.random.Generator, width: float) -> Image:
    """Return a random field of a width in Å, of the mean and contrast of the image."""
    noise = ndimage.gaussian_filter(
        rng.standard_normal(scene.image.shape), width / scene.pixel_size, mode="wrap"
    )
    return scene.image.mean() + noise / noise.std() * scene.image.std()


def film(scene: Scene, rng: np.random.Generator) -> Planted:
    return Planted(field(scene, rng, 0.6), scene.image)


def noise(scene: Scene, rng: np.random.Generator) -> Planted:
    return Planted(scene.image, field(scene, rng, 0.3))


def smeared(scene: Scene, rng: np.random.Generator) -> Planted:
    width = rng.uniform(0.5, 0.8) / scene.pixel_size
    return Planted(scene.image, ndimage.gaussian_filter(scene.image, width))


def followed(scene: Scene, rng: np.random.Generator) -> Planted:
    width = rng.uniform(0.1, 0.4) / scene.pixel_size
    return Planted(scene.image, lambda noisy: ndimage.gaussian_filter(noisy, width))


FAULTS: dict[str, Callable[[Scene, np.random.Generator], Planted]] = {
    TRUE: lambda scene, rng: Planted(scene.image, scene.image),
    "column added": added,
    "column removed": removed,
    "column shifted by 0.3 to 0.5 Å": shifted,
    "lattice wrong by 2 to 5 %": lattice,
    "contrast wrong by 15 to 40 %": contrast,
    "crystal drawn on pure vacuum": vacuum,
    "crystal drawn on an amorphous film": film,
    "noise drawn for the crystal": noise,
    "over-smoothed by 0.5 to 0.8 Å": smeared,
    "under-smoothed, by 0.1 to 0.4 Å": followed,
    "DENOISED = NOISY": lambda scene, rng: Planted(scene.image, lambda noisy: noisy),
    "a constant": lambda scene, rng: Planted(
        scene.image, np.full(scene.image.shape, scene.image.mean())
    ),
}


def ideal(planted: Planted, label: str, places: int) -> float:
    """Return the probability that the ideal observer catches a fault in one of n places."""
    if callable(planted.denoised):
        return 1.0  # it knows the truth, and so all the noise that is in the image
    model = noise_model(label)
    assert model is not None
    variance = model.variance((planted.truth + planted.denoised) / 2)
    separation = float(((planted.denoised - planted.truth) ** 2 / variance).sum()) ** 0.5
    normal = NormalDist()
    share = 1 - (1 - FALSE_ALARM) ** (1 / places)
    return normal.cdf(separation - normal.inv_cdf(1 - share)) if separation else FALSE_ALARM


def measure(data: Path, out: Path, images: int) -> None:
    """Append a record for each noise, fault and image that has none yet."""
    path = out / RECORDS
    done = (
        {(r["noise"], r["fault"], r["image"], r["draw"]) for r in read(path)}
        if path.exists()
        else set()
    )
    frames = open_frames(data, max_images=images, crop=max(SHAPE))
    cases = [
        (number, noise, fault, draw)
        for number, frame in enumerate(frames)
        for noise in NOISES
        for fault in FAULTS
        for draw in range(TRUE_DRAWS if fault == TRUE else 1)
        if (noise, fault, frame.name, draw) not in done
    ]
    scene, loaded = None, -1
    for number, label, fault, draw in track(cases, "checking"):
        if number != loaded:
            clean = frames[number].load()
            H, W = SHAPE
            scene = Scene(clean.image[:H, :W].astype(float), clean.pixel_size)
            loaded = number
        rng = np.random.default_rng(
            [SEED, number, NOISES.index(label), list(FAULTS).index(fault), draw]
        )
        planted = FAULTS[fault](scene, rng)
        noisy = noise_model(label).sample(planted.truth, rng)
        answer = planted.denoised
        answer = answer(noisy) if callable(answer) else answer
        found = check(noisy, answer, pixel_size=scene.pixel_size, false_alarm=FALSE_ALARM)
        near = 1.5 / scene.pixel_size
        at = planted.place and any(
            np.hypot(region.row - planted.place[0], region.column - planted.place[1]) < near
            for region in found.regions
        )
        append(
            path,
            {
                "noise": label,
                "fault": fault,
                "image": frames[number].name,
                "draw": draw,
                "caught": not found.supported,
                "marked": at,
                "kinds": sorted({region.kind for region in found.regions}),
                "tests": [one.name for one in found.findings if one.p < FALSE_ALARM],
                "ideal": ideal(planted, label, 1),
                "ideal_untold": ideal(planted, label, planted.places),
            },
        )


def table(path: Path) -> str:
    """Return the rates of all records, as Markdown."""
    records = read(path)
    images = len({record["image"] for record in records})
    lines = [
        f"| fault, {images} images | " + " | ".join(NOISES) + " |",
        "|---|" + "---|" * len(NOISES),
    ]
    for fault in FAULTS:
        cells = []
        for label in NOISES:
            some = [r for r in records if r["fault"] == fault and r["noise"] == label]
            if not some:
                cells.append("–")
                continue
            caught, told, untold = (
                f"{np.mean([r[key] for r in some]):.0%}".replace("%", " %")
                for key in ("caught", "ideal", "ideal_untold")
            )
            marked = [r["marked"] for r in some if r["marked"] is not None]
            where = f", marked {np.mean(marked):.0%}".replace("%", " %") if marked else ""
            observer = told if told == untold else f"{untold}; told where {told}"
            cells.append(f"**{caught}**{where} ({observer})")
        lines.append(f"| {fault} | {' | '.join(cells)} |")
    able = []
    for label in NOISES:
        some = [r["caught"] for r in records if r["noise"] == label and r["ideal_untold"] >= 0.95]
        able.append(f"{sum(some)} of {len(some)}")
    lines.append(f"| caught of those that it catches with 95 % or more | {' | '.join(able)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="of clean images")
    parser.add_argument("--out", "-o", type=Path, required=True, help="folder of the records")
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--write", action="store_true", help="put the table into docs/trust.md")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    measure(options.data, options.out, options.images)
    result = table(options.out / RECORDS)
    print(result)
    if options.write:
        rewrite("trust.md", "faults", result)


if __name__ == "__main__":
    main()
