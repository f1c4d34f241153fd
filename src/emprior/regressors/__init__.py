"""Regressors: supervised networks that map noisy images to clean ones. One architecture a file."""

from emprior.regressors.base import LEVEL, Regressor
from emprior.regressors.dncnn import DnCNN
from emprior.regressors.unet import UNet
from emprior.stored import ARCHITECTURES

ARCHITECTURES.update(unet=UNet, dncnn=DnCNN)

__all__ = ["LEVEL", "DnCNN", "Regressor", "UNet"]
