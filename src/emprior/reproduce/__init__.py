"""The experiments of Chen & Stanley: data, trainings, measurements, records.

Each experiment is a `Description` with views and a function; `run` calls them in the order of the
paper, each with a `Book` for its records and a `Workshop` of what they share.
"""

from emprior.reproduce.run import EXPERIMENTS, choose, run
from emprior.reproduce.scale import SCALES, Scale, load_scale

__all__ = ["EXPERIMENTS", "SCALES", "Scale", "choose", "load_scale", "run"]
