"""Checkpoints: the whole state of a training in one safetensors file, never a pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from emprior.errors import FileError
from emprior.files import replacing

Part = nn.Module | torch.optim.Optimizer
_KEPT = 2


def write(folder: Path, step: int, parts: Mapping[str, Part], facts: Mapping[str, Any]) -> bool:
    """Write a checkpoint, then remove all but the newest two.

    Parameters
    ----------
    folder : path
    step : int
        Updates done, which names the file.
    parts : mapping
        Networks and optimisers by name.
    facts : mapping
        Anything else, ready for JSON.

    Returns
    -------
    bool
        False, with nothing written, if a value is NaN or infinite.
    """
    tensors = {
        f"{name}/{key}": value.detach().cpu().contiguous()
        for name, part in parts.items()
        for key, value in _flatten(part).items()
    }
    if not all(bool(torch.isfinite(value).all()) for value in tensors.values()):
        return False
    with replacing(folder / f"{step:09d}.safetensors") as temporary:
        # Not its save_file, which writes beside `temporary` a file that a kill would leave there.
        temporary.write_bytes(to_bytes(tensors, {"facts": json.dumps({"step": step, **facts})}))
    for old in sorted(folder.glob("[0-9]*.safetensors"))[:-_KEPT]:
        old.unlink()
    return True


def newest(folder: Path) -> Path | None:
    """Return the newest checkpoint of a folder, if any."""
    return max(folder.glob("[0-9]*.safetensors"), default=None)


def read(path: Path, parts: Mapping[str, Part]) -> dict[str, Any]:
    """Restore networks and optimisers in place and return the facts.

    Raises
    ------
    FileError
        If the file is damaged or holds the state of other networks.
    """
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads(file.metadata()["facts"])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        for name, part in parts.items():
            prefix = f"{name}/"
            _restore(
                part,
                {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)},
            )
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise FileError(
            f"{path}: {str(error).splitlines()[0]}",
            expected="a whole checkpoint of this training",
            why="a training resumed from anything else would give another result",
            fix="remove that file to resume from the one before it",
        ) from error
    return facts


def _flatten(part: Part) -> dict[str, Tensor]:
    if isinstance(part, nn.Module):
        return part.state_dict()
    return {
        f"{index}/{key}": torch.as_tensor(value)
        for index, state in part.state_dict()["state"].items()
        for key, value in state.items()
    }


def _restore(part: Part, tensors: dict[str, Tensor]) -> None:
    if isinstance(part, nn.Module):
        part.load_state_dict(tensors)
        return
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        index, _, key = name.partition("/")
        state.setdefault(int(index), {})[key] = value
    part.load_state_dict({"state": state, "param_groups": part.state_dict()["param_groups"]})
