"""Denoise files: frame by frame, from what was read to what is written, with its provenance."""

from emprior.batch.file import denoise_file
from emprior.batch.inputs import expand
from emprior.batch.settings import Settings, untold

__all__ = ["Settings", "denoise_file", "expand", "untold"]
