"""Where candidates start, how they move, how many survive: three independent choices."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from emprior.inversion.problem import LatentProblem
from emprior.inversion.solvers import FirstOrder, GaussNewton, Solver, Status


class Start(ABC):
    """Where candidates start."""

    @abstractmethod
    def __call__(self, problem: LatentProblem, rng: np.random.Generator) -> Tensor:
        """Return latents (T, K, D)."""


@dataclass(frozen=True)
class PriorStart(Start):
    """Draws from the prior.

    Parameters
    ----------
    n : int
        Candidates for each frame.
    """

    n: int

    def __call__(self, problem: LatentProblem, rng: np.random.Generator) -> Tensor:
        """Draw latents (T, n, D)."""
        return problem.sample(self.n, rng)


@dataclass(frozen=True, eq=False)
class GivenStart(Start):
    """Latents found before, for example by an earlier search.

    Parameters
    ----------
    z : (T, K, D) Tensor
    """

    z: Tensor

    def __call__(self, problem: LatentProblem, rng: np.random.Generator) -> Tensor:
        """Return them in the problem's type."""
        return self.z.to(problem.noisy)


@dataclass(frozen=True, eq=False)
class Shortlist(Start):
    """Of the best few groups of latents the best of each.

    The objective at a start says little of where a search from it ends, and the best starts of all
    are often neighbours of each other; groups keep them apart. They are compared by the middle one
    of each.

    Parameters
    ----------
    z : (T, G, K, D) Tensor
        K latents in each of G groups.
    keep : int
        Groups that go on; the first always does.
    """

    z: Tensor
    keep: int

    def __call__(self, problem: LatentProblem, rng: np.random.Generator) -> Tensor:
        """Return latents (T, keep, D)."""
        z = self.z.to(problem.noisy)
        frames, middle = torch.arange(len(z))[:, None], z.shape[2] // 2

        def ranked(z: Tensor) -> Tensor:
            """Return the values of latents (T, K, D), of which one that is none comes last."""
            return torch.nan_to_num(problem.value(z), nan=torch.inf)

        value = ranked(z[:, :, middle])
        value[:, 0] = -torch.inf
        z = z[frames, value.argsort(dim=1)[:, : self.keep]]
        best = ranked(z.flatten(1, 2)).unflatten(1, z.shape[1:3]).argmin(dim=2)
        return z[frames, torch.arange(z.shape[1]), best]


@dataclass(frozen=True)
class Stage:
    """Some steps of one solver, after which the best candidates of each frame go on.

    Parameters
    ----------
    solver : Solver
    steps : int
        At most; a stage ends early when no candidate is running.
    keep : int
        Candidates that survive.
    """

    solver: Solver
    steps: int
    keep: int = 1


@dataclass(frozen=True)
class Search:
    """Starts, then stages.

    Parameters
    ----------
    start : Start
    stages : tuple of Stage
    """

    start: Start
    stages: tuple[Stage, ...]


@dataclass(frozen=True, eq=False)
class Inversion:
    """What a search found.

    Attributes
    ----------
    latent : (T, D) Tensor
        The best candidate for each frame.
    image : (T, h, w) Tensor
        Its image on the data's pixels.
    value : (T,) Tensor
        Its objective, nats per pixel.
    status : tuple of Status
        Of the winner, for each frame.
    trace : list of dict
        For each recorded step: stage, step, passes so far, and the values (T, K) as lists.
    passes : int
        Evaluations of the generator, summed over candidates.
    """

    latent: Tensor
    image: Tensor
    value: Tensor
    status: tuple[Status, ...]
    passes: int
    trace: list[dict[str, Any]] = field(default_factory=list)


def algorithm_2(starts: int = 10, first: int = 1_500, second: int = 10_000) -> Search:
    """Return the two-phase search of Chen & Stanley (Algorithm 2) with given counts."""
    adam = FirstOrder("adam", lr=1e-2)
    return Search(PriorStart(starts), (Stage(adam, first), Stage(adam, second)))


SEARCHES: dict[str, Search] = {
    "default": Search(
        PriorStart(24),
        (
            Stage(FirstOrder("adam", lr=0.1), 12, keep=6),
            Stage(FirstOrder("adam", lr=0.1), 30, keep=2),
            Stage(GaussNewton(), 8),
        ),
    ),
    "paper": algorithm_2(),
    "paper-cpu": algorithm_2(first=150, second=1_000),
}


def invert(
    problem: LatentProblem,
    search: Search,
    rng: np.random.Generator,
    *,
    record_every: int = 10,
    progress: Callable[[float], None] | None = None,
) -> Inversion:
    """Search the latent space.

    Parameters
    ----------
    problem : LatentProblem
    search : Search
    rng : numpy.random.Generator
        Draws the starts; solvers that are random draw from streams spawned from it.
    record_every : int
        Steps between entries of the trace.
    progress : callable, optional
        Called with the share of steps done, from 0 to 1.

    Returns
    -------
    Inversion
        Also when nothing converged: `status` says so.
    """
    z = search.start(problem, rng)
    trace: list[dict[str, Any]] = []
    total, done = sum(stage.steps for stage in search.stages), 0
    for number, stage in enumerate(search.stages):
        state = stage.solver.init(problem, z, rng.spawn(1)[0])
        for step in range(stage.steps):
            state = stage.solver.step(problem, state)
            if step % record_every == 0 or step == stage.steps - 1:
                trace.append(
                    {
                        "stage": number,
                        "step": step,
                        "passes": problem.passes,
                        "value": state.value.tolist(),
                    }
                )
            if progress:
                progress((done + step + 1) / total)
            if not bool((state.status == Status.RUNNING).any()):
                break
        done += stage.steps
        if progress:  # a stage may end early
            progress(done / total)
        # A NaN sorts as the largest value, so it never survives a finite candidate.
        best = state.value.argsort(dim=1)[:, : stage.keep]
        z = state.select(best)
    winner = z[:, 0]
    with torch.no_grad():
        image = problem.image(z[:, :1])[:, 0]
    chosen = torch.gather(state.status, 1, best[:, :1])[:, 0]
    return Inversion(
        latent=winner,
        image=image,
        value=torch.gather(state.value, 1, best[:, :1])[:, 0],
        status=tuple(Status(int(s)) for s in chosen),
        passes=problem.passes,
        trace=trace,
    )
