"""Denoise atomic-resolution electron micrographs with a generative prior.

*simulate* clean micrographs → corrupt them with a *noise* model → *train* *generators* → *invert*
them to *denoise* → *evaluate* → *report*; real micrographs enter through *io* at the noisy step.
"""

from __future__ import annotations

import importlib
from importlib.metadata import version
from typing import Any

__version__ = version("emprior")

_PUBLIC = {
    "Check": "emprior.trust",
    "Denoised": "emprior.api",
    "Micrograph": "emprior.micrograph",
    "References": "emprior.references",
    "check": "emprior.trust",
    "denoise": "emprior.api",
    "denoise_movie": "emprior.movie",
    "find_pixel_size": "emprior.api",
    "read": "emprior.io",
    "write": "emprior.io",
}
__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    # Lazy, so that `import emprior` costs no torch and no file readers.
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'emprior' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
