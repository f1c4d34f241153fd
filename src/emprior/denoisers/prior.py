"""The generative prior: the image in a generator's range that best explains the noisy one."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from emprior.denoisers.base import Denoiser, Estimate
from emprior.denoisers.depth import DEEPEST, Depth, reaches
from emprior.denoisers.networks import NATIVE_PIXEL_SIZE, check_network, check_search, network
from emprior.denoisers.pose import Pose, pooling, pose
from emprior.denoisers.presence import draws
from emprior.denoisers.residual import explain
from emprior.denoisers.steps import first, refinement, roughly
from emprior.denoisers.structure import structure
from emprior.device import one_thread
from emprior.generators import ColumnEncoder, ColumnGenerator
from emprior.generators.encoder import SURE
from emprior.grid import blend
from emprior.inversion import SEARCHES, Inversion, invert
from emprior.micrograph import Micrograph
from emprior.noise import NoiseModel
from emprior.stored import Stored
from emprior.weights import Card


@dataclass(frozen=True, eq=False)
class Fit:
    """What a search found for some windows: the pose, and latent vectors (T, D).

    And, where it has been of use, roughly how sure they are (`emprior.inversion.precision`).
    """

    pose: Pose
    latent: Tensor
    precision: Tensor | None = None


@dataclass(frozen=True)
class Prior(Denoiser):
    """Latent search in a trained generator.

    Parameters
    ----------
    prior : str or path
        A shipped prior's name or a weight file.
    search : str
        One of `emprior.inversion.SEARCHES`; "paper" is Algorithm 2 with the paper's counts.
        With an encoder, "default" starts from what it sees.
    device : str
        "auto" takes a GPU where there is one.
    depth : str
        How far to go, one of `emprior.denoisers.depth.DEPTHS`. Without an encoder, or with
        another search than the default, nothing follows the inversion.
    exact : bool
        Whether the last steps are for the exact form of a generator that saves time.
    turn : float, optional
        By which the frame is turned before an encoder looks at it, clockwise [degrees]; if it is
        left out, the encoder finds one.
    progress : callable, optional
        Called with the share of work done, from 0 to 1.

    Notes
    -----
    Wrong for what the generator never saw: it then returns the nearest thing it knows. Images
    larger than the generator's field are searched in overlapping tiles; smaller ones see only
    the middle of the field. Without a pixel size the data is taken at 0.0489 Å.
    """

    prior: str | Path = "default"
    search: str = "default"
    device: str = "auto"
    depth: Depth = DEEPEST
    exact: bool = True
    turn: float | None = None
    progress: Callable[[float], None] | None = field(default=None, compare=False, repr=False)

    def __call__(
        self,
        micrograph: Micrograph,
        noise: NoiseModel,
        rng: np.random.Generator,
    ) -> Estimate:
        """Estimate the unclipped mean of a micrograph, and what it shows."""
        return self.fit(micrograph, noise, rng)[0]

    def fit(
        self,
        micrograph: Micrograph,
        noise: NoiseModel,
        rng: np.random.Generator,
        *,
        poses: list[Pose] | None = None,
        found: list[Fit] | None = None,
    ) -> tuple[Estimate, list[Fit]]:
        """Denoise, and return what was found in each window too.

        Parameters
        ----------
        poses : list of Pose, optional
            As `pose` tells them, if it was asked before.
        found : list of Fit, optional
            From nearly the same data; the search then only refines it.
        """
        stored, card, pitch = self._network(micrograph)
        if found is not None:
            poses = [fit.pose for fit in found]
        elif poses is None:
            poses = self.pose(micrograph, noise, rng)
        frame = micrograph, noise, pitch
        # Nothing goes round Algorithm 2, nor round a generator whose own error is no detail.
        told = self.search == "default" and isinstance(stored, ColumnEncoder)
        fits, images, statuses, passes = [], [], [], 0
        for number, posed in enumerate(poses):

            def progress(share: float, number: int = number) -> None:
                if self.progress:
                    self.progress((number + share) / len(poses))

            if reaches(self.depth, "inversion"):
                start = None if found is None else found[number]
                # Images of columns are small: threads would mostly wait for each other.
                with one_thread() if told else nullcontext():
                    fit, inversion = self._search(posed, start, frame, rng, progress)
                passes += inversion.passes
                statuses += [status.name.lower() for status in inversion.status]
            else:
                fit = Fit(posed, posed.first_sight(posed.problem(*frame)[0]))
                statuses += ["not searched"]
            progress(1.0)
            if len(poses) > 1:  # that of many windows would fill the memory
                fit = replace(fit, precision=None)
            fits.append(fit)
            posed, latent = fit.pose, fit.latent
            problem, full = posed.problem(*frame)
            drawn, count = latent[:, None], torch.ones(1)
            if told and reaches(self.depth, "mean"):
                assert posed.probability is not None
                drawn = draws(problem, latent, posed.probability, rng)
                # Where hardly a column is in doubt, many are the same.
                drawn, count = drawn.unique(dim=1, return_counts=True)
            share = (count / count.sum()).to(latent)[:, None, None]
            with torch.no_grad():
                images += list((share * problem.image(drawn, full)).sum(1).cpu().numpy())
        windows = [window for posed in poses for window in posed.windows]
        trace = {
            "prior": str(self.prior),
            "data": card.data,
            "search": self.search,
            "depth": self.depth,
            "tiles": len(windows),
            "passes": passes,
            "status": statuses,
            "latent": [z for fit in fits for z in fit.latent.tolist()],
        }
        image = blend(micrograph.shape, windows, images)
        if told and reaches(self.depth, "residual"):
            noisy = micrograph.image
            if micrograph.ignored is not None:  # there is nothing to explain
                noisy = np.where(micrograph.ignored, noise.mean(image), noisy)
            image = explain(noisy, image, noise, pooling(micrograph.shape, pitch))
        estimate = Estimate(image.astype(np.float32), trace=trace)
        # At first sight nothing is at its most probable yet, and errors about it mean nothing.
        searched = reaches(self.depth, "inversion")
        if searched and all(isinstance(fit.pose.generator, ColumnGenerator) for fit in fits):
            pixel_size = micrograph.pixel_size or NATIVE_PIXEL_SIZE
            estimate = replace(
                estimate, find=lambda: structure(fits, micrograph, noise, pixel_size)
            )
        return estimate, fits

    def pose(
        self, micrograph: Micrograph, noise: NoiseModel, rng: np.random.Generator
    ) -> list[Pose]:
        """Pose the windows of a frame, at the turn that explains the middle one best.

        An encoder that sees the frame most clearly at another turn, but not clearly, may be wrong:
        columns of a tilted crystal are smeared and may look like those of another direction.
        """
        stored, _, pitch = self._network(micrograph)
        frame = micrograph, noise, pitch
        searched = reaches(self.depth, "inversion")
        poses = pose(stored, *frame, searched, self.turn)
        middle = len(poses) // 2
        turned = poses[middle]
        if self.turn is None and turned.turn and (turned.doubt or 0) > SURE:
            along = pose(stored, *frame, thorough=False)
            if _explained(along[middle], frame, rng) > _explained(turned, frame, rng):
                return along
        return poses

    def _network(self, micrograph: Micrograph) -> tuple[Stored, Card, float]:
        """Return the weights, their card, and a pixel's size in units of the network's.

        Options without a meaning are refused before anything is done.
        """
        check_search(self.search, self.depth)
        check_network("prior", self.prior, self.depth)
        stored, card = network(self.prior, self.device)
        pitch = (micrograph.pixel_size or NATIVE_PIXEL_SIZE) / stored.pixel_size
        return stored, card, pitch

    def _search(
        self,
        posed: Pose,
        start: Fit | None,
        frame: tuple[Micrograph, NoiseModel, float],
        rng: np.random.Generator,
        progress: Callable[[float], None],
    ) -> tuple[Fit, Inversion]:
        """Search from the pose's own starts, or from a fit that is nearly right; then refine it."""
        problem = posed.problem(*frame)[0]
        inversion = None
        if start is None:
            search = SEARCHES[self.search]
            if self.search == "default" and posed.start is not None:
                search = first(posed.start)
            inversion = invert(problem, search, rng, progress=lambda done: progress(0.5 * done))
            start = Fit(posed, inversion.latent)
        exact = posed.exact() if self.exact else posed
        if inversion and exact is posed:
            return start, inversion
        precise = start.precision
        if precise is None:
            precise = roughly(problem, start.latent)
        passes, problem = problem.passes, exact.problem(*frame)[0]
        search = refinement(start.latent, precise)
        refined = invert(problem, search, rng, progress=lambda done: progress(0.5 + 0.5 * done))
        fit = Fit(exact, refined.latent, precise)
        return fit, replace(refined, passes=passes + refined.passes)


def _explained(
    posed: Pose, frame: tuple[Micrograph, NoiseModel, float], rng: np.random.Generator
) -> float:
    """Return the log-posterior of one window after a first search from its pose [nats].

    Without the prior's constant, which is only for latent vectors of one length.
    """
    assert posed.start is not None
    problem = posed.problem(*frame)[0]
    value = float(invert(problem, first(posed.start), rng).value[0])
    free = posed.generator.latent_dim
    return -value * problem.pixels + free / 2 * math.log(2 * math.pi)
