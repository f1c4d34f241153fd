r"""
Add a solver
============

A solver moves all candidates of a search by one step. Where they start and how many survive are
other choices, so a solver is two methods. This one is gradient descent with the step of Barzilai
and Borwein (1988),

.. math:: z \leftarrow z - \frac{s \cdot s}{s \cdot g}\,\nabla f, \qquad
    s = z - z_{\mathrm{before}}, \quad g = \nabla f - \nabla f_{\mathrm{before}}.
"""

from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import torch

from emprior import weights
from emprior.inversion import (
    FirstOrder,
    GaussNewton,
    LatentProblem,
    PriorStart,
    Search,
    Solver,
    Stage,
    Status,
    invert,
)
from emprior.inversion.solvers import State
from emprior.noise import Gaussian


@dataclass(frozen=True)
class BarzilaiBorwein(Solver):
    """Gradient descent whose step is the inverse of the curvature along the last one.

    Parameters
    ----------
    first : float
        Length of the first step.
    longest : float
        Of any step, since an objective may bend the other way.
    """

    first: float = 0.1
    longest: float = 1.0

    def init(self, problem, z, rng):
        """Start from latents (T, K, D)."""
        value, gradient = problem.gradient(z)
        running = torch.full(value.shape, Status.RUNNING)
        step = self.first * gradient / gradient.norm(dim=-1, keepdim=True)
        return State(z, value, running, memory=(z, gradient, step))

    def step(self, problem, state):
        """Move every candidate once; keep each one's best."""
        z, before, step = state.memory
        z = z - step
        value, gradient = problem.gradient(z)
        bend = (-step * (gradient - before)).sum(-1, keepdim=True)
        rate = (step**2).sum(-1, keepdim=True) / bend
        length = gradient.norm(dim=-1, keepdim=True)
        most = self.longest / length
        step = torch.where((rate > 0) & (rate < most), rate, most) * gradient
        better = value < state.value
        best = torch.where(better[..., None], z, state.z)
        status = torch.where(value.isfinite(), Status.RUNNING, Status.NON_FINITE)
        return State(best, torch.where(better, value, state.value), status, (z, gradient, step))


# %%
# The frame is one that the shipped GAN can draw, in noise. All solvers begin at the same three
# draws from the prior; ``passes`` counts evaluations of the generator, so that they compare at
# equal cost.

generator, _ = weights.load("gan")
with torch.no_grad():
    clean = generator(generator.sample_latent(1, np.random.default_rng(7)))[:, 0]
noise = Gaussian(0.05)
noisy = torch.from_numpy(noise.sample(clean.numpy(), np.random.default_rng(8)))

solvers = {
    "Barzilai–Borwein": (BarzilaiBorwein(), 60),
    "Adam, the paper's": (FirstOrder("adam", lr=1e-2), 60),
    "Adam, faster": (FirstOrder("adam", lr=0.1), 60),
    "Gauss–Newton": (GaussNewton(), 6),
}
figure, axis = plt.subplots(figsize=(6, 3.5), layout="constrained")
for name, (solver, steps) in solvers.items():
    problem = LatentProblem(generator, noise, noisy)
    search = Search(PriorStart(3), (Stage(solver, steps),))
    found = invert(problem, search, np.random.default_rng(9), record_every=1)
    best = [min(entry["value"][0]) for entry in found.trace]
    axis.plot([entry["passes"] / 3 for entry in found.trace], best, label=name)
    error = float(((found.image - clean) ** 2).mean().sqrt())
    print(f"{name:<20}{found.value[0]:8.4f} nats a pixel, rms error {error:.4f}")
axis.set(xlabel="passes of the generator for each candidate", ylabel="objective [nats per pixel]")
axis.legend()
