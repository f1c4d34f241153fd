"""Simulate clean micrographs: abTEM multislice images of random Pt particles on CeO2.

*recipe* → *structures* and *optics* drawn from its ranges → *imaging* → *micrographs* of one
structure → *run* over all of them.
"""

from emprior.simulate.preview import Preview, preview
from emprior.simulate.recipe import Simulation
from emprior.simulate.run import Progress, simulate

__all__ = ["Preview", "Progress", "Simulation", "preview", "simulate"]
