"""Training: from a data set and a recipe to a prior that describes itself."""

from emprior.training.folder import run_directory
from emprior.training.recipe import AdversarialRecipe
from emprior.training.run import Outcome, train

__all__ = ["AdversarialRecipe", "Outcome", "run_directory", "train"]
