"""How candidates move: gradient descent of four kinds, and Gauss–Newton."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from emprior.errors import OptionError
from emprior.inversion.problem import LatentProblem

_POOR, _GOOD = 0.25, 0.75  # shares of the promised decrease


class Status(IntEnum):
    """Where a candidate stands."""

    RUNNING = 0
    CONVERGED = 1
    STALLED = 2
    NON_FINITE = 3

    @property
    def sentence(self) -> str:
        """Say it in words."""
        return {
            Status.RUNNING: "the steps ran out while the objective was still falling",
            Status.CONVERGED: "the objective changes by less than the tolerance",
            Status.STALLED: "no step lowers the objective any further",
            Status.NON_FINITE: "the objective is not a finite number",
        }[self]


@dataclass(frozen=True, eq=False)
class State:
    """Candidates on their way.

    Attributes
    ----------
    z : (T, K, D) Tensor
    value : (T, K) Tensor
        Objective at `z`.
    status : (T, K) Tensor of int
        `Status` values.
    memory : object
        The solver's own.
    """

    z: Tensor
    value: Tensor
    status: Tensor
    memory: Any = None

    def select(self, index: Tensor) -> Tensor:
        """Return the latents at candidate indices (T, k)."""
        return torch.gather(self.z, 1, index[..., None].expand(-1, -1, self.z.shape[-1]))


class Solver(ABC):
    """Moves all candidates of a problem by one step; keeps each candidate's best."""

    @abstractmethod
    def init(self, problem: LatentProblem, z: Tensor, rng: np.random.Generator) -> State:
        """Start from latents (T, K, D).

        Parameters
        ----------
        problem : LatentProblem
        z : (T, K, D) Tensor
        rng : numpy.random.Generator
            Kept in the state by solvers whose steps are random.
        """

    @abstractmethod
    def step(self, problem: LatentProblem, state: State) -> State:
        """Move every running candidate once."""


@dataclass(frozen=True)
class FirstOrder(Solver):
    """A stochastic-gradient family optimiser of PyTorch on the latents.

    Parameters
    ----------
    optimiser : {"adam", "adamw", "sgd", "asgd"}
        The four that Chen & Stanley compare (figure 12a).
    lr : float
        Learning rate; 0.01 is the paper's for Adam.
    limit : float, optional
        Bound on every latent number; the paper's notebooks clamp to [-5, 5].
    clipping : {"clamp", "redraw"}
        What becomes of a number that leaves the bound: it is set to the bound, or drawn anew,
        uniform within it (stochastic clipping, Lipton and Tripathi 2017), so that no number is
        caught at the bound.

    Raises
    ------
    OptionError
        If numbers are to be drawn anew without a bound.
    """

    optimiser: Literal["adam", "adamw", "sgd", "asgd"] = "adam"
    lr: float = 1e-2
    limit: float | None = 5.0
    clipping: Literal["clamp", "redraw"] = "clamp"

    def __post_init__(self) -> None:
        if self.clipping not in ("clamp", "redraw") or (
            self.clipping == "redraw" and self.limit is None
        ):
            raise OptionError(
                f"clipping {self.clipping!r} with the limit {self.limit}",
                expected="'clamp', or 'redraw' with a limit",
                why="latents are drawn anew within the limit",
                fix="give a limit, 5.0 say",
            )

    def init(self, problem: LatentProblem, z: Tensor, rng: np.random.Generator) -> State:
        """Start from latents (T, K, D)."""
        variable = z.detach().clone().requires_grad_()
        kind = {
            "adam": torch.optim.Adam,
            "adamw": torch.optim.AdamW,
            "sgd": torch.optim.SGD,
            "asgd": torch.optim.ASGD,
        }[self.optimiser]
        memory = (variable, kind([variable], lr=self.lr), rng)
        unknown = torch.full(z.shape[:2], torch.inf).to(z)
        return State(variable.detach().clone(), unknown, torch.zeros_like(unknown).int(), memory)

    def step(self, problem: LatentProblem, state: State) -> State:
        """Take one step of the optimiser; the state keeps the best point seen."""
        variable, optimiser, rng = state.memory
        value, variable.grad = problem.gradient(variable)
        better = value < state.value
        z = torch.where(better[..., None], variable.detach(), state.z)
        finite = torch.isfinite(value) & torch.isfinite(variable.grad).all(-1)
        variable.grad[~finite] = 0.0
        optimiser.step()
        if self.limit is not None:
            with torch.no_grad():
                if self.clipping == "redraw":
                    outside = variable.abs() > self.limit
                    drawn = rng.uniform(-self.limit, self.limit, int(outside.sum()))
                    variable[outside] = torch.from_numpy(drawn).to(variable)
                variable.clamp_(-self.limit, self.limit)
        status = torch.where(finite, Status.RUNNING, Status.NON_FINITE).int()
        return State(z, torch.where(better, value, state.value), status, state.memory)


@dataclass(frozen=True, eq=False)
class GaussNewton(Solver):
    """Damped Gauss–Newton (Levenberg–Marquardt) with the noise model's Fisher information.

    Each step solves ``(Jᵀ·F·J + w·I + damping·I)·d = −gradient`` by conjugate gradients, all
    candidates at once, and accepts ``z + d``, or ``z + d/2`` where the whole step falls far short
    of its promise and half of it does better, if it lowers the objective. The damping follows how
    much of the promised decrease comes true (Marquardt, J. SIAM 11, 431 (1963); Nocedal and
    Wright, Numerical Optimization, algorithm 4.1).

    Parameters
    ----------
    iterations : int
        Conjugate-gradient iterations a step.
    damping : float
        First damping, relative to the prior's own curvature 1/N.
    tolerance : float
        Converged when a step neither promises nor lowers the objective by as many nats over all
        pixels.
    precision : (T, D, D) Tensor, optional
        Roughly the curvature of the objective over all pixels (`emprior.inversion.precision`), for
        all candidates of a frame. Conjugate gradients that are given it need two or three
        iterations; the diagonal alone, which tells nothing of numbers that do nearly the same,
        leaves some of the way to each of many steps.
    """

    iterations: int = 10
    damping: float = 1.0
    tolerance: float = 1e-2
    precision: Tensor | None = None

    def init(self, problem: LatentProblem, z: Tensor, rng: np.random.Generator) -> State:
        """Start from latents (T, K, D)."""
        unknown = torch.full(z.shape[:2], torch.inf).to(z)
        running = torch.full_like(unknown, Status.RUNNING).int()
        return State(z.detach().clone(), unknown, running, torch.full_like(unknown, self.damping))

    def step(self, problem: LatentProblem, state: State) -> State:
        """Take one damped step, accepted candidate by candidate."""
        damping = state.memory
        value, gradient, curvature, diagonal = problem.linearise(state.z)
        shift = (damping / problem.pixels)[..., None]
        roughly = self._inverse(diagonal + shift, damping, problem.pixels)
        move, left = conjugate_gradients(
            lambda v: curvature(v) + shift * v, -gradient, self.iterations, roughly
        )
        running = (state.status == Status.RUNNING) & torch.isfinite(value)
        move = torch.where(running[..., None], torch.nan_to_num(move), 0.0)
        promised = (move * (left - gradient)).sum(-1) / 2 * problem.pixels
        moved = problem.value(state.z + move)
        poor = running & ~((value - moved) * problem.pixels > _POOR * promised)
        if bool(poor.any()):
            half = problem.value(state.z + move / 2)
            shorter = poor & ~(moved <= half)
            move = torch.where(shorter[..., None], move / 2, move)
            moved = torch.where(shorter, half, moved)
        accepted = running & (moved < value)
        gain = torch.where(accepted, value - moved, 0.0) * problem.pixels
        converged = running & accepted & (torch.maximum(gain, promised) < self.tolerance)
        stalled = running & ~accepted & (damping > 1e8 * self.damping)
        status = torch.where(converged, Status.CONVERGED, state.status)
        status = torch.where(stalled, Status.STALLED, status)
        status = torch.where(torch.isfinite(value), status, Status.NON_FINITE).int()
        looser = torch.where(gain > _GOOD * promised, damping / 5, damping)
        tighter = torch.where(gain < _POOR * promised, damping * 5, looser)
        return replace(
            state,
            z=torch.where(accepted[..., None], state.z + move, state.z),
            value=torch.where(accepted, moved, value),
            status=status,
            memory=torch.where(accepted, tighter, damping * 10),
        )

    def _inverse(
        self, diagonal: Tensor, damping: Tensor, pixels: int
    ) -> Callable[[Tensor], Tensor]:
        """Return roughly the inverse of the damped curvature, (T, K, D) to (T, K, D)."""
        if self.precision is None:
            return lambda v: v / diagonal
        damped = self.precision[:, None].repeat(1, damping.shape[1], 1, 1)
        damped.diagonal(dim1=2, dim2=3).add_(damping[..., None])
        root, failed = torch.linalg.cholesky_ex(damped / pixels)
        none = failed[..., None] > 0  # by rounding, or of what is not finite
        return lambda v: torch.where(
            none, v / diagonal, torch.cholesky_solve(v[..., None].to(root), root)[..., 0].to(v)
        )


def conjugate_gradients(
    matrix: Callable[[Tensor], Tensor],
    right: Tensor,
    iterations: int,
    inverse: Callable[[Tensor], Tensor],
) -> tuple[Tensor, Tensor]:
    """Solve ``matrix(x) = right`` for a batch of symmetric positive definite systems.

    Returns x and what is left of the right-hand side, ``right − matrix(x)``.

    Parameters
    ----------
    matrix : callable
        From (..., D) to (..., D), acting on each system alone.
    right : (..., D) Tensor
    iterations : int
    inverse : callable
        Likewise, symmetric and positive definite; the nearer to the inverse of the matrix, the
        fewer iterations are needed.
    """
    x, residual = torch.zeros_like(right), right
    direction = inverse(residual)
    square = (residual * direction).sum(-1, keepdim=True)
    first = square
    for _ in range(iterations):
        if bool((square <= 1e-10 * first).all()):
            break
        product = matrix(direction)
        step = square / (direction * product).sum(-1, keepdim=True).clamp(min=1e-38)
        x, residual = x + step * direction, residual - step * product
        scaled = inverse(residual)
        square, previous = (residual * scaled).sum(-1, keepdim=True), square
        direction = scaled + square / previous.clamp(min=1e-38) * direction
    return x, residual
