"""How diverse and how good a set of generated images is, beside sets of real ones."""

from emprior.diversity.birthday import Birthday, birthday
from emprior.diversity.frechet import frechet_distance
from emprior.diversity.likelihood import log_likelihood
from emprior.diversity.measure import (
    Diversity,
    Inception,
    Marks,
    embed,
    inception_distance,
    measure,
)
from emprior.diversity.neighbours import Manifolds, Spread, manifolds, nearest_distance, repeated
from emprior.diversity.pairs import pair_similarity

__all__ = [
    "Birthday",
    "Diversity",
    "Inception",
    "Manifolds",
    "Marks",
    "Spread",
    "birthday",
    "embed",
    "frechet_distance",
    "inception_distance",
    "log_likelihood",
    "manifolds",
    "measure",
    "nearest_distance",
    "pair_similarity",
    "repeated",
]
