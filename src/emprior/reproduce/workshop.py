"""What the experiments share: data sets, trained networks, random streams."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from emprior import records, weights
from emprior.datasets import Dataset
from emprior.denoisers.networks import NATIVE_PIXEL_SIZE
from emprior.errors import TrainingError
from emprior.evaluate.frames import Frame, open_frames
from emprior.generators import DCGAN, Generator
from emprior.generators.dcgan import initialise
from emprior.noise_names import noise_model
from emprior.reproduce.scale import Adversarial, Scale
from emprior.reproduce.searching import load_generator, reach
from emprior.simulate import simulate
from emprior.stored import Stored
from emprior.training import TrainingRecipe, train

Floats = NDArray[np.floating]
Bar = Callable[[str], AbstractContextManager[Callable[[float], None]]]


@dataclass(frozen=True, eq=False)
class Trained:
    """A finished training.

    Parameters
    ----------
    run : Path
        Its folder.
    images : int
        Seen.
    seconds : float
        In training.
    """

    run: Path
    images: int
    seconds: float

    @property
    def path(self) -> Path:
        """The weights, as `emprior.weights.load` takes them."""
        return self.run / "prior.safetensors"

    def network(self) -> Any:
        """Return the trained network."""
        return weights.load(self.path)[0]

    def untrained(self, rng: np.random.Generator) -> Any:
        """Return the same architecture with the random weights that its training begins from."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(rng.integers(2**63)))
            fresh = Stored.from_dict(weights.read_card(self.path).architecture)
        if isinstance(fresh, DCGAN):
            initialise(fresh, rng)
        return fresh.eval()

    @cached_property
    def log(self) -> list[dict[str, float]]:
        """The lines of the training's log."""
        return records.read(self.run / "log.jsonl")

    def exports(self) -> list[tuple[int, Path]]:
        """Return the images seen at each kept state of the network, and its weights."""
        kept = sorted((self.run / "priors").glob("*.safetensors"))
        batch = weights.read_card(self.path).recipe["optimisation"]["batch"]
        return [(int(path.stem) * batch, path) for path in kept]


class Workshop:
    """Data, networks and randomness for the experiments of one directory.

    Parameters
    ----------
    directory : Path
    scale : Scale
    device : str
    natural, video : Path, optional
        Natural images, and low-dose frames, where the user has them.
    bar : callable
        Shows progress: from the name of a task to a context that takes the share done.
    """

    def __init__(
        self,
        directory: Path,
        scale: Scale,
        *,
        device: str,
        natural: Path | None,
        video: Path | None,
        bar: Bar,
    ) -> None:
        self.directory, self.scale, self.device = directory, scale, device
        self.natural, self.video, self.bar = natural, video, bar
        self.judges: dict[str, Any] = {}  # see emprior.reproduce.judging
        self._data: dict[str, Dataset] = {}

    def rng(self, *purpose: str) -> np.random.Generator:
        """Return the random stream of a purpose, the same in every run."""
        digest = hashlib.sha256("\0".join(purpose).encode()).digest()
        words = np.frombuffer(digest, "<u4").tolist()
        return np.random.default_rng(np.random.SeedSequence(self.scale.seed, spawn_key=words))

    def seed(self, number: int) -> int:
        """Return the seed of the n-th of trainings that differ in nothing else."""
        return int(self.rng("training", str(number)).integers(2**31))

    def data(self, part: str = "train") -> Dataset:
        """Return the "train", "validation" or "test" set, simulated where it is not there yet."""
        if part not in self._data:
            with self.bar(f"simulating the {part} set") as progress:
                self._data[part] = simulate(
                    getattr(self.scale.data, part),
                    self.directory / "datasets" / part,
                    progress=lambda done, total: progress(done / total),
                )
        return self._data[part]

    def frames(self, n: int) -> list[Frame]:
        """Return test images on the fine grid of figure 13, spread evenly over the structures."""
        self.data("test")
        board = self.scale.board
        place = self.directory / "datasets" / "test"
        return open_frames(place, max_images=n, finest=board.pixel_size, crop=board.crop)

    def clean(self, shape: Adversarial, n: int | None = None, part: str = "test") -> Floats:
        """Return crops on a GAN's grid, (n, H, W), each of a structure that it was not trained on.

        Parameters
        ----------
        shape : Adversarial
            Size and stride of the grid.
        n : int, optional
            By default one for each structure.
        part : {"test", "validation"}
        """
        data, rng, extent = self.data(part), self.rng("crops", part), shape.size * shape.stride
        crops = []
        for number in data.structures[:n]:
            crop = data.subset([number]).crops(1, (extent, extent), rng).images[0]
            crops.append(crop[0][:: shape.stride, :: shape.stride])
        return np.stack(crops)

    def noisy(self, shape: Adversarial, clean: Floats, label: str) -> Floats:
        """Return images (n, H, W) of a GAN's grid as noisy detector pixels would average to.

        Parameters
        ----------
        shape : Adversarial
        clean : (n, H, W) ndarray
        label : str
            As `emprior.evaluate.noise_model` takes it; the noise is of pixels of 0.0489 Å.
        """
        model = noise_model(label)
        if model is None:
            return clean
        factor = max(1, round(self.data().pixel_size * shape.stride / NATIVE_PIXEL_SIZE))
        (n, h, w), rng = clean.shape, self.rng("noise", label)
        fine = model.sample(clean.repeat(factor, 1).repeat(factor, 2), rng)
        return fine.reshape(n, h, factor, w, factor).mean((2, 4)).astype(clean.dtype)

    def best(self, trained: Trained, shape: Adversarial) -> Generator:
        """Return the kept state of a GAN that reaches validation images best by search."""
        return load_generator(self.best_state(trained, shape)["path"])

    def best_state(self, trained: Trained, shape: Adversarial) -> dict[str, Any]:
        """Return what `reached` says of that state.

        The paper says of each latent dimension that the best generator was selected.
        """
        return max(self.reached(trained, shape), key=lambda record: float(record["r_db"]))

    def reached(self, trained: Trained, shape: Adversarial) -> list[dict[str, Any]]:
        """Return R on validation images of each kept state: ``images``, ``r_db``, ``path``."""
        known = trained.run / "reach.jsonl"
        scored = records.read(known) if known.exists() else []
        images = None
        for seen, path in trained.exports()[len(scored) :]:
            images = self.clean(shape, part="validation") if images is None else images
            with self.bar(f"searching with {path.name} of {trained.run.name}"):
                found = reach(load_generator(path), images, self.rng("reach", "validation"))
            record = {"images": seen, "r_db": found["r_db"], "path": path.name}
            records.append(known, record)
            scored.append(record)
        return [{**record, "path": trained.run / "priors" / record["path"]} for record in scored]

    def train(self, name: str, recipe: dict[str, Any], data: Any = None) -> Trained:
        """Return the network of a recipe, trained now unless it is there; goes on where it stopped.

        Parameters
        ----------
        name : str
            Of the folder; trainings of equal recipes and names are one.
        recipe : dict
            Of `emprior.training.TrainingRecipe`, without the data's path.
        data : Micrographs, optional
            By default the training set.
        """
        data = self.data() if data is None else data
        recipe = {
            "seed": self.seed(0),
            **recipe,
            "data": {"path": getattr(data, "title", "data/train"), **recipe.get("data", {})},
        }
        digest = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:8]
        run = self.directory / "networks" / f"{name}-{digest}"
        with self.bar(f"training {name}") as progress:
            outcome = train(
                TrainingRecipe.from_dict(recipe),
                run,
                resume=True,
                device=self.device,
                progress=progress,
                data=data,
            )
        if outcome.status == "interrupted":
            raise KeyboardInterrupt
        if outcome.status == "diverged":
            raise TrainingError(
                f"the training {name}: {outcome.message}",
                expected="finite losses",
                why="nothing can be measured of a network of NaNs",
                fix=f"look into {run / 'log.jsonl'}; delete {run} to train it anew",
            )
        return Trained(run, outcome.images, outcome.seconds)

    def gan(
        self,
        name: str,
        shape: Adversarial,
        *,
        data: Any = None,
        seed: int = 0,
        nz: int | None = None,
        exports: bool = False,
        discriminator: dict[str, Any] | None = None,
        optimisation: dict[str, Any] | None = None,
        **sections: Any,
    ) -> Trained:
        """Return a GAN of the paper's redesign, except for what is said otherwise.

        Parameters
        ----------
        name : str
        shape : Adversarial
        data : Micrographs, optional
        seed : int
            Number of the training among those that differ in nothing else.
        nz : int, optional
            By default the first of the shape's.
        exports : bool
            Keep the generator from time to time.
        discriminator, optimisation : dict, optional
            Settings other than the redesign's.
        **sections
            Further sections of the recipe.
        """
        updates = -(-shape.images // shape.batch)
        each = max(1, updates // shape.exports)
        recipe = {
            "kind": "adversarial",
            "seed": self.seed(seed),
            "data": {"stride": shape.stride},
            "generator": {"size": shape.size, "nz": nz or shape.nz[0], "ngf": shape.ngf},
            "discriminator": {"ndf": shape.ndf, **(discriminator or {})},
            # The paper has no average of weights: it takes those of the last epoch.
            "optimisation": {
                "batch": shape.batch,
                "generator_rate": 1e-4,
                "discriminator_rate": 4e-4,
                "half_life": 0,
                **(optimisation or {}),
            },
            "budget": {"images": shape.images},
            "output": {
                "log": max(1, updates // 200),
                "checkpoint": max(50, updates // 50),
                "samples": each,
                **({"keep_priors": True} if exports else {}),
            },
            **sections,
        }
        return self.train(name, recipe, data)
