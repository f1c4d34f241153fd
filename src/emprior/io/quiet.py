"""Keep the libraries that read and write files from speaking to users in their own words."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

from emprior.errors import EmpriorWarning

_LOGGERS = ("rsciio", "tifffile", "h5py", "PIL")


@contextlib.contextmanager
def quiet(path: Path) -> Iterator[None]:
    """Silence log lines within; pass warnings meant for users on as EmpriorWarnings about a file.

    What is warned of before an exception is dropped: the exception says it.
    """
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL + 1)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
    for message in dict.fromkeys(str(w.message) for w in caught if w.category is UserWarning):
        warnings.warn(f"{path.name}: the library says: {message}", EmpriorWarning, stacklevel=4)
