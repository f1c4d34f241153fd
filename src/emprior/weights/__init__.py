"""Priors: one file each that describes itself, and the places where they are found by name."""

from emprior.weights.file import Card, describe, load, read_card, save
from emprior.weights.library import (
    DEFAULT,
    export,
    imported_folder,
    install,
    locate,
    names,
    shipped,
    trained,
)
from emprior.weights.onnx import write_onnx
from emprior.weights.verify import Verified, verify

__all__ = [
    "DEFAULT",
    "Card",
    "Verified",
    "describe",
    "export",
    "imported_folder",
    "install",
    "load",
    "locate",
    "names",
    "read_card",
    "save",
    "shipped",
    "trained",
    "verify",
    "write_onnx",
]
