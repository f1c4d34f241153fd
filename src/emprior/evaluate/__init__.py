"""Denoisers × images × noises → records, one line of JSON each."""

from emprior.evaluate.recipe import EvaluationRecipe, Row, Source
from emprior.evaluate.scoring import SCORINGS, run
from emprior.noise_names import noise_model
from emprior.records import RECORDS

__all__ = [
    "RECORDS",
    "SCORINGS",
    "EvaluationRecipe",
    "Row",
    "Source",
    "noise_model",
    "run",
]
