"""Training: from a data set and a recipe to a prior that describes itself."""

from emprior.training.adversarial_recipe import AdversarialRecipe
from emprior.training.columns_recipe import ColumnsRecipe
from emprior.training.features_recipe import FeaturesRecipe
from emprior.training.folder import run_directory
from emprior.training.parallel import leads
from emprior.training.recipe import TrainingRecipe
from emprior.training.regression_recipe import RegressionRecipe
from emprior.training.run import Outcome, train

__all__ = [
    "AdversarialRecipe",
    "ColumnsRecipe",
    "FeaturesRecipe",
    "Outcome",
    "RegressionRecipe",
    "TrainingRecipe",
    "leads",
    "run_directory",
    "train",
]
