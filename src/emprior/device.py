"""Where tensors live."""

from __future__ import annotations

import torch

from emprior.errors import OptionError


def choose_device(name: str = "auto") -> torch.device:
    """Return the named device; "auto" is the GPU where there is one.

    Raises
    ------
    OptionError
        If there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=name)
        return torch.device(name)
    except (RuntimeError, AssertionError) as error:
        raise OptionError(
            f"device {name!r}",
            expected="auto, cpu, or a GPU of this machine such as cuda",
            why=f"PyTorch cannot use it: {str(error).splitlines()[0]}",
            fix="leave the device out to take what there is",
        ) from error
