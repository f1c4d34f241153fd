"""Networks for other programs: ONNX files, each compared with PyTorch before it is kept."""

from __future__ import annotations

import inspect
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emprior.errors import OptionError, WeightsError, import_extra
from emprior.files import expanded, replacing

if TYPE_CHECKING:
    from torch import Tensor

    from emprior.stored import Stored

TOLERANCE = 1e-4
"""Largest difference from PyTorch, in units of the largest number that an output holds."""


def write_onnx(name_or_path: str | Path, out: str | Path, *, overwrite: bool = False) -> float:
    """Write the network of a prior as ONNX, and return its largest relative difference.

    Inputs and outputs have the names, shapes and units of the network's ``forward``, which is
    written into the file with the card. The number of images is free, and so are the sides of
    frames. onnxruntime computes two examples of different sizes, which must agree with PyTorch.

    Parameters
    ----------
    name_or_path : str or path
        As for `emprior.weights.load`.
    out : path
        By convention ending in ``.onnx``.
    overwrite : bool
        Replace the file.

    Returns
    -------
    float
        The largest difference, in units of the largest number of the output.

    Raises
    ------
    WeightsError
        As `emprior.weights.load`; also if onnxruntime computes something else.
    OptionError
        If the network has an operation that ONNX lacks.
    OutputError
        If the file exists, or cannot be written.
    MissingExtraError
        Without ``emprior[onnx]``.

    Notes
    -----
    Of a prior of columns this is the encoder, which sees columns and optics in a frame. The
    multislice calculation that draws them is no network: it is built anew for the columns of each
    frame, and computes with complex numbers, which ONNX lacks.
    """
    from emprior.io import check_place
    from emprior.weights.file import load
    from emprior.weights.library import locate

    for module in ("onnx", "onnxscript", "onnxruntime"):
        import_extra(module, "onnx", "writing ONNX files and comparing them with PyTorch")
    source, out = locate(name_or_path), expanded(out)
    check_place(out, [source], overwrite=overwrite)
    network, card = load(source)
    model = _translated(network)
    model.doc_string = f"{card.text.strip()}\n\n{inspect.getdoc(type(network).forward)}"
    for key, value in (("card", json.dumps(asdict(card))), ("format", "emprior-onnx")):
        model.metadata_props.add(key=key, value=value)
    content = model.SerializeToString()
    difference = max(
        _difference(network, content, inputs)
        for inputs in (network.examples(), {k: _other(v) for k, v in network.examples().items()})
    )
    if not difference <= TOLERANCE:
        raise WeightsError(
            f"{name_or_path}: onnxruntime differs from PyTorch by {difference:.1g} of the largest "
            "number",
            expected=f"{TOLERANCE:g} or less",
            why="an ONNX file that draws something else is worse than none, so none is written",
            fix="use it from Python, by emprior.weights.load, or try other versions of onnxruntime",
        )
    with replacing(out) as temporary:
        temporary.write_bytes(content)
    return difference


def _translated(network: Stored) -> Any:
    """Return the network as an ONNX model."""
    import torch

    free = torch.export.Dim.DYNAMIC
    examples = network.examples()
    # Images and frames are free in number and size, all else in number.
    shapes = {
        k: {0: free, **({-1 % v.ndim: free, -2 % v.ndim: free} if v.ndim > 2 else {})}
        for k, v in examples.items()
    }
    try:
        with _quiet():
            program = torch.onnx.export(
                network,
                kwargs=examples,
                dynamic_shapes=shapes,
                input_names=list(examples),
                output_names=list(network.returns),
                dynamo=True,
                verbose=False,
            )
    except (torch.onnx.OnnxExporterError, torch._dynamo.exc.UserError) as error:
        kind = network.to_dict()["type"]
        raise OptionError(
            f"a {kind} as ONNX: {str(error).splitlines()[0]}",
            expected="a network all of whose operations ONNX has, for any size",
            why="the file would compute something else, or nothing",
            fix="use it from Python, by emprior.weights.load",
        ) from error
    assert program is not None
    return program.model_proto


def _difference(network: Stored, content: bytes, inputs: dict[str, Tensor]) -> float:
    """Return how far onnxruntime is from PyTorch, in units of the output's largest number."""
    import onnxruntime
    import torch

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    made = session.run(list(network.returns), {k: v.numpy() for k, v in inputs.items()})
    with torch.no_grad():
        wanted = network(**inputs)
    pairs = zip(made, wanted if isinstance(wanted, tuple) else (wanted,), strict=True)
    return max(
        float((torch.from_numpy(got) - right).abs().max() / right.abs().max())
        if got.shape == tuple(right.shape)
        else float("inf")
        for got, right in pairs
    )


def _other(example: Tensor) -> Tensor:
    """Return an example of three images, of other sides where it has sides."""
    import torch

    more = torch.cat([example, example[:1]])
    return torch.cat([more, more[..., :16, :]], dim=-2) if example.ndim > 2 else more


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's remarks about packages that are not needed, and its own future, away."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
