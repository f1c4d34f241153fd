"""A prior on disk: one safetensors file that says what it is, how it was made and what it is for.

The metadata of the file hold a format version and a card (JSON); the tensors are the weights of
the architecture that the card describes, no more and no less. Nothing in a file is ever executed,
and every size in it is checked before memory is taken.
"""

from __future__ import annotations

import dataclasses
import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from emprior import __version__
from emprior.errors import EmpriorError, WeightsError
from emprior.files import replacing
from emprior.weights.library import locate

if TYPE_CHECKING:
    from torch import Tensor

    from emprior.stored import Stored
    from emprior.weights.fingerprint import Fingerprint

FORMAT = "emprior-prior"
FORMAT_VERSION = 1
FINGERPRINT = "fingerprint"

_LARGEST_HEADER = 4 * 2**20  # bytes
_LARGEST_FILE = 2 * 2**30
_DTYPES = {"F16": 2, "F32": 4, "I64": 8}


@dataclass(frozen=True)
class Card:
    """What a prior is, how it was made, and what it must not be used for.

    Parameters
    ----------
    architecture : dict
        `Stored.to_dict` of the network; `save` fills it in.
    text : str
        For people: what it was trained on, what it can do, what it must not be used for.
    data : str
        Content hash of the training data.
    recipe : dict
        The recipe of the training.
    seed : int
        Its seed.
    images : int
        Images seen in training.
    measured : dict
        Figures of merit, name to number; names carry units and ranges.
    version : str
        Version of emprior that wrote the file.
    """

    architecture: dict[str, Any] = field(default_factory=dict)
    text: str = ""
    data: str = ""
    recipe: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    images: int = 0
    measured: dict[str, float] = field(default_factory=dict)
    version: str = __version__


def save(
    path: str | Path,
    generator: Stored,
    card: Card,
    *,
    precision: Literal["float32", "float16"] = "float32",
) -> None:
    """Write a generator, its card, and the fingerprint by which `verify` knows them again.

    Parameters
    ----------
    path : path
        File to write, by convention ending in ``.safetensors``.
    generator : Stored
        Its weights and architecture are stored.
    card : Card
        Its architecture and version are replaced by those of the generator and of emprior.
    precision : {"float32", "float16"}
        How to store kernels; float16 halves the file and changes images by about 1e-3 at most.
        Vectors, such as the statistics of batch normalisation, are always kept in float32.

    Raises
    ------
    WeightsError
        If a weight is NaN, infinite, or too large for float16.
    OutputError
        If the file cannot be written.
    """
    import torch

    from emprior.weights.fingerprint import Fingerprint

    tensors = {}
    for name, tensor in generator.state_dict().items():
        value = tensor.detach().cpu()
        if value.is_floating_point():
            half = precision == "float16" and value.ndim > 1
            value = value.to(torch.float16 if half else torch.float32)
            if not bool(torch.isfinite(value).all()):
                raise WeightsError(
                    f"weights {name} that are not finite as {value.dtype}",
                    expected="finite weights",
                    why="a prior with them draws no images",
                    fix="save an earlier checkpoint, or store in float32",
                )
        tensors[name] = value.contiguous()
    card = dataclasses.replace(card, architecture=generator.to_dict(), version=__version__)
    metadata = {
        "format": FORMAT,
        "format_version": str(FORMAT_VERSION),
        "card": json.dumps(dataclasses.asdict(card)),
    }
    network = _filled(_shapes(card), tensors)  # as it will be read, also where numbers were rounded
    known = Fingerprint.of(network, metadata["card"], tensors)
    content = encode(tensors, {**metadata, FINGERPRINT: known.to_json()})
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def encode(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """Return the content of a file, the same bytes for the same content."""
    from safetensors.torch import save as to_bytes

    content = to_bytes(dict(tensors), dict(metadata))
    # What it writes of the metadata is in another order each time.
    start = 8 + struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8:start])
    header["__metadata__"] = dict(sorted(header.get("__metadata__", {}).items()))
    ordered = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    ordered += b" " * (-len(ordered) % 8)  # tensors begin at multiples of eight
    return struct.pack("<Q", len(ordered)) + ordered + content[start:]


def read_card(name_or_path: str | Path) -> Card:
    """Return the card of a prior without loading its weights (or PyTorch).

    Raises
    ------
    WeightsError
        As `load`.
    """
    path = locate(name_or_path)
    return _parse(path, _read(path))[0]


def describe(name_or_path: str | Path) -> str:
    """Return what the card of a prior says, as a few lines for people."""
    card = read_card(name_or_path)
    architecture = dict(card.architecture)
    kind = architecture.pop("type", "unknown")
    settings = ", ".join(f"{key} {value}" for key, value in architecture.items())
    measured = ", ".join(f"{key} {value:g}" for key, value in card.measured.items())
    lines = [
        f"{name_or_path}: {kind} ({settings})",
        *card.text.strip().splitlines(),
        f"measured: {measured or 'nothing yet'}",
        f"trained on data {card.data[:12] or 'unknown'}, {card.images} images seen, "
        f"seed {card.seed}, emprior {card.version}",
    ]
    return "\n  ".join(lines)


def load(name_or_path: str | Path = "default") -> tuple[Stored, Card]:
    """Return a generator, frozen and in eval mode on the CPU, and its card.

    Parameters
    ----------
    name_or_path : str or path
        A name that `names` lists, ``"default"``, or a file.

    Raises
    ------
    WeightsError
        If there is no such prior, or the file is truncated, of another kind, of a newer format,
        of absurd size, or does not hold exactly the weights that its card describes.
    """
    opened = open_prior(name_or_path)
    return opened.network, opened.card


@dataclass(frozen=True, eq=False)
class Opened:
    """A file whose every size, shape and number was checked.

    Parameters
    ----------
    path : Path
    card : Card
    network : Stored
        Frozen, in eval mode, on the CPU.
    tensors : mapping of str to Tensor
        Its weights as they are stored.
    metadata : mapping of str to str
        Of the file.
    """

    path: Path
    card: Card
    network: Stored
    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str]

    def fingerprint(self) -> Fingerprint:
        """Take the fingerprint of what is here, whatever is recorded."""
        from emprior.weights.fingerprint import Fingerprint

        return Fingerprint.of(self.network, self.metadata["card"], self.tensors)


def open_prior(name_or_path: str | Path) -> Opened:
    """Read all of a file; errors as `load`."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load as from_bytes

    path = locate(name_or_path)
    content = _read(path)
    card, metadata, header = _parse(path, content)
    try:
        network = _shapes(card)
    except EmpriorError as error:
        raise WeightsError(
            f"{path}: {error.got}", expected=error.expected, why=error.why, fix=error.fix
        ) from error
    wanted = {
        name: (list(tensor.shape), tensor.is_floating_point())
        for name, tensor in network.state_dict().items()
    }
    found = {name: (entry["shape"], entry["dtype"] != "I64") for name, entry in header.items()}
    if differing := sorted(
        name for name in wanted.keys() | found if wanted.get(name) != found.get(name)
    ):
        raise _unfit(
            path,
            f"{len(differing)} of its tensors do not fit the architecture on its card, the first "
            f"is {differing[0]}",
        )
    try:
        tensors = from_bytes(content)
    except SafetensorError as error:
        raise _unfit(path, str(error)) from error
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise _unfit(path, f"tensor {name} holds NaN or infinite values")
    return Opened(path, card, _filled(network, tensors), tensors, metadata)


def _shapes(card: Card) -> Stored:
    """Return the network on a card without memory for its weights."""
    import torch

    import emprior.features
    import emprior.generators
    import emprior.regressors  # noqa: F401 - all enter their architectures
    from emprior.stored import Stored

    with torch.device("meta"):
        return Stored.from_dict(card.architecture)


def _filled(network: Stored, tensors: Mapping[str, Tensor]) -> Stored:
    """Give such a network its weights; freeze it."""
    network.to_empty(device="cpu")
    network.load_state_dict(tensors)
    return network.eval().requires_grad_(False)


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise _unfit(path, f"{path.stat().st_size / 2**30:.1f} GiB, more than any prior")
        return path.read_bytes()
    except OSError as error:
        raise _unfit(path, error.strerror or str(error)) from error


def _parse(path: Path, content: bytes) -> tuple[Card, dict[str, str], dict[str, Any]]:
    """Return card, metadata and the tensors' entries, all sizes checked against the file."""
    length = struct.unpack("<Q", content[:8])[0] if len(content) >= 8 else 0
    if not 2 <= length <= _LARGEST_HEADER:
        # Only now: the length of a header may begin with these bytes too.
        if content[:2] == b"PK" or content[:1] == b"\x80":
            raise WeightsError(
                f"{path}: a PyTorch or pickle file",
                expected="a prior written by emprior (safetensors)",
                why="such files can carry code that runs on loading, so they are never opened",
                fix="ask its author for the safetensors file, or train again with `emprior train`",
            )
        raise _unfit(path, "not a safetensors file")
    if len(content) < 8 + length:
        raise _unfit(path, f"truncated within its header, {len(content)} bytes")
    try:
        header = json.loads(content[8 : 8 + length])
        metadata = header.pop("__metadata__", {})
        if not isinstance(metadata, dict):
            raise TypeError(f"its metadata is {metadata!r:.40}")
        end = 0
        for entry in sorted(header.values(), key=lambda entry: entry["data_offsets"]):
            start, stop = entry["data_offsets"]
            size = math.prod(entry["shape"]) * _DTYPES[entry["dtype"]]
            if start != end or stop - start != size or min([*entry["shape"], 1]) < 0:
                raise ValueError("its tensors overlap or leave gaps")
            end = stop
    except KeyError as error:
        raise _unfit(path, f"unknown or missing {error} in its header") from error
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise _unfit(path, f"a header that cannot be read ({error})") from error
    if len(content) != 8 + length + end:
        wrong = "truncated" if len(content) < 8 + length + end else "followed by foreign bytes"
        raise _unfit(path, f"{wrong}: {len(content)} bytes for {8 + length + end}")
    return _card(path, metadata), metadata, header


def _card(path: Path, metadata: dict[str, str]) -> Card:
    """Return the card in a file's metadata."""
    if metadata.get("format") != FORMAT:
        raise _unfit(path, "a safetensors file of another program, without a card")
    if metadata.get("format_version") != str(FORMAT_VERSION):
        raise WeightsError(
            f"{path}: format version {metadata.get('format_version')}",
            expected=f"version {FORMAT_VERSION}, which emprior {__version__} reads",
            why="a later format may mean something else by the same words",
            fix="update emprior",
        )
    try:
        values = json.loads(metadata["card"])
        card = Card(**values)
        for item in dataclasses.fields(Card):
            if type(values[item.name]) is not _PLAIN[str(item.type)]:
                raise TypeError(f"{item.name} is {values[item.name]!r}")
        if not all(type(value) in (int, float) for value in card.measured.values()):
            raise TypeError("measured holds more than numbers")
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise _unfit(path, f"a card that cannot be read ({error})") from error
    return card


_PLAIN = {"str": str, "int": int, "dict[str, Any]": dict, "dict[str, float]": dict}


def _unfit(path: Path, got: str) -> WeightsError:
    return WeightsError(
        f"{path}: {got}",
        expected="a whole prior written by emprior (safetensors with a card)",
        why="weights that do not match their description would draw wrong images unnoticed",
        fix="copy or download the file again, or train a prior with `emprior train`",
    )
