"""Denoisers × images × noises → records, one line of JSON each."""

from emprior.evaluate.recipe import RECIPE, EvaluationRecipe, Row, Source, Targets
from emprior.evaluate.scoring import SCORINGS, run
from emprior.noise_names import noise_model
from emprior.records import RECORDS

__all__ = [
    "RECIPE",
    "RECORDS",
    "SCORINGS",
    "EvaluationRecipe",
    "Row",
    "Source",
    "Targets",
    "noise_model",
    "run",
]
