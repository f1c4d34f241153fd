"""Search a generator's latent space for the image that best explains a noisy one.

`LatentProblem` says what is sought, a `Solver` how candidates move, a `Search` where they start
and how many survive; `invert` runs it, and `laplace` says how sure it can be.
"""

from emprior.inversion.posterior import Posterior, laplace, precision
from emprior.inversion.problem import Exposure, LatentProblem, View
from emprior.inversion.search import (
    SEARCHES,
    GivenStart,
    Inversion,
    PriorStart,
    Search,
    Shortlist,
    Stage,
    invert,
)
from emprior.inversion.solvers import FirstOrder, GaussNewton, Solver, Status

__all__ = [
    "SEARCHES",
    "Exposure",
    "FirstOrder",
    "GaussNewton",
    "GivenStart",
    "Inversion",
    "LatentProblem",
    "Posterior",
    "PriorStart",
    "Search",
    "Shortlist",
    "Solver",
    "Stage",
    "Status",
    "View",
    "invert",
    "laplace",
    "precision",
]
