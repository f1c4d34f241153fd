"""Whether a prior's file is whole, unchanged, and still draws what it drew when it was saved."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from emprior.errors import WeightsError
from emprior.weights.file import FINGERPRINT, Opened, encode, open_prior
from emprior.weights.fingerprint import TOLERANCE, Fingerprint
from emprior.weights.library import DEFAULT, shipped


@dataclass(frozen=True)
class Verified:
    """A prior that passed.

    Parameters
    ----------
    opened : Opened
        What the file holds.
    recorded : Fingerprint or None
        That was taken when it was saved, which it agrees with; None where none was.
    """

    opened: Opened
    recorded: Fingerprint | None

    @property
    def path(self) -> Path:
        """Its file."""
        return self.opened.path

    def lines(self) -> list[str]:
        """Return what was found, for people."""
        tensors = self.opened.tensors.values()
        said = [
            f"{len(tensors)} tensors of {sum(t.numel() for t in tensors):,} numbers, all finite, "
            f"and exactly those of the {self.opened.card.architecture['type']} on the card",
        ]
        if self.recorded is None:
            return [*said, "no fingerprint is recorded in it: whether it was changed is not known"]
        return [
            *said,
            f"card and weights are as they were saved (SHA-256 {self.recorded.sha256})",
            f"draws what it drew then, to {TOLERANCE:.1%} of the deviation: "
            + ", ".join(self.recorded.drawn),
        ]

    def content(self) -> bytes:
        """Return a file of the same prior that carries its fingerprint."""
        known = self.recorded or self.opened.fingerprint()
        return encode(self.opened.tensors, {**self.opened.metadata, FINGERPRINT: known.to_json()})


def verify(name_or_path: str | Path) -> Verified:
    """Check everything about a prior that its file can tell.

    Sizes and shapes against the architecture on its card, every number for being finite, the hash
    of card and weights and what the network draws against the fingerprint that was taken when it
    was saved.

    Raises
    ------
    WeightsError
        As `emprior.weights.load`; also if the fingerprint cannot be read or is not the prior's.

    Notes
    -----
    A fingerprint tells accidents, not forgery: whoever changes a file can take it anew.
    """
    opened = open_prior(name_or_path)
    try:
        recorded = _recorded(str(name_or_path), opened)
    except (ValueError, TypeError, RecursionError) as error:
        raise _changed(opened.path, "a fingerprint that cannot be read") from error
    if recorded is not None:
        found = opened.fingerprint()
        if found.sha256 != recorded.sha256:
            raise _changed(
                opened.path,
                f"the SHA-256 {found.sha256} of its card and weights, not {recorded.sha256}",
            )
        if not found.draws_like(recorded):
            raise WeightsError(
                f"{opened.path}: it draws something else than it did when it was saved",
                expected=f"the same within {TOLERANCE:.1%} of the deviation, since its weights "
                "are the same",
                why="another version of emprior or PyTorch makes something else of these weights, "
                "and what its card says was measured with the former",
                fix=f"use emprior {opened.card.version}, or measure it anew (emprior evaluate)",
            )
    return Verified(opened, recorded)


def _recorded(name: str, opened: Opened) -> Fingerprint | None:
    """Return the fingerprint in a file, or the one that is kept for a shipped prior."""
    if FINGERPRINT in opened.metadata:
        return Fingerprint.from_json(opened.metadata[FINGERPRINT])
    name = DEFAULT if name == "default" else name
    # The first shipped priors were saved before files carried their fingerprints.
    kept = json.loads((files("emprior") / "data" / "priors" / "fingerprints.json").read_text())
    if name in shipped() and name in kept:
        return Fingerprint.from_json(json.dumps(kept[name]))
    return None


def _changed(path: Path, got: str) -> WeightsError:
    return WeightsError(
        f"{path}: {got}",
        expected="what was recorded when it was saved",
        why="the file was changed or damaged since: it is not the prior that its card describes",
        fix="copy or download it again, or export it anew where it came from",
    )
