"""What can go wrong, said so that a microscopist can act on it.

::

    EmpriorError                     every error this package raises on purpose
    ├── InputError (ValueError)      what the user gave cannot be used
    │   ├── FileError                a file is missing, unreadable or of an unknown format
    │   ├── ImageError               the pixels cannot be denoised (shape, type, values)
    │   ├── OptionError              an option or argument has no sensible meaning
    │   ├── RecipeError              a recipe has an unknown or out-of-range key
    │   └── WeightsError             a weight file is truncated, foreign or unsafe
    ├── OutputError (OSError)        the result cannot be written there
    ├── TrainingError                a training that others build on diverged
    └── MissingExtraError (ImportError)   an optional part of emprior is not installed

    EmpriorWarning (UserWarning)     something was assumed; the message says what

Every message has four parts: what was got, what was expected, why, and what to do.
"""

from __future__ import annotations

import importlib
from types import ModuleType


class EmpriorError(Exception):
    """Base of all errors raised on purpose.

    Parameters
    ----------
    got : str
        What was found, with the offending value in it.
    expected, why, fix : str
        What would have been right, the reason for it, and what the user can do. Each is a phrase
        without a full stop.
    """

    def __init__(self, got: str, *, expected: str, why: str, fix: str) -> None:
        super().__init__(got, expected, why, fix)
        self.got, self.expected, self.why, self.fix = got, expected, why, fix

    def __str__(self) -> str:
        return f"{self.got}\n  expected: {self.expected}\n  why: {self.why}\n  do: {self.fix}"

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        # Keyword-only parameters need help to survive pickling between worker processes.
        return _rebuild, (type(self), self.got, self.expected, self.why, self.fix)


def _rebuild(kind: type[EmpriorError], got: str, expected: str, why: str, fix: str) -> EmpriorError:
    return kind(got, expected=expected, why=why, fix=fix)


class InputError(EmpriorError, ValueError):
    """What the user gave cannot be used."""

    def of(self, name: str) -> InputError:
        """Return the same error, said of a file or a frame of it."""
        return type(self)(f"{name}: {self.got}", expected=self.expected, why=self.why, fix=self.fix)


class FileError(InputError):
    """A file is missing, unreadable or of an unknown format."""


class ImageError(InputError):
    """The pixels cannot be denoised: wrong shape, type or values."""


class OptionError(InputError):
    """An option or argument has no sensible meaning."""


class RecipeError(InputError):
    """A recipe has an unknown key or a value out of range."""


class WeightsError(InputError):
    """A weight file is truncated, of another kind, or unsafe."""


class OutputError(EmpriorError, OSError):
    """The result cannot be written where it was asked for."""

    __str__ = EmpriorError.__str__


class TrainingError(EmpriorError):
    """A training that others build on diverged."""


class MissingExtraError(EmpriorError, ImportError):
    """An optional part of emprior is not installed."""

    __str__ = EmpriorError.__str__


class EmpriorWarning(UserWarning):
    """Something was assumed; the message says what and how to say otherwise."""


def import_extra(module: str, extra: str, purpose: str) -> ModuleType:
    """Import an optional dependency, or say which extra brings it.

    Parameters
    ----------
    module : str
        Dotted name, e.g. ``"abtem"``.
    extra : str
        The extra of this package that installs it, e.g. ``"simulate"``.
    purpose : str
        What it is needed for, as a gerund phrase, e.g. ``"simulating micrographs"``.

    Raises
    ------
    MissingExtraError
        If the module is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0]:
            raise
        raise MissingExtraError(
            f"the package {module!r} is not installed",
            expected=f"the optional part 'emprior[{extra}]'",
            why=f"it is needed for {purpose}, which a plain install leaves out to stay small",
            fix=f"run: pip install 'emprior[{extra}]'",
        ) from error
