"""A data set made by hand: images that are given, not simulated."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from emprior.datasets import FORMAT, ROOT, structure_name, write_structure
from emprior.specimen import Optics, Structure, View


def write_dataset(
    directory: Path,
    structures: list[np.ndarray],
    pixel_size: float,
    scales: tuple[float, ...] = (),
) -> Path:
    """Write one structure for each (K, H, W) array of images, whose scale may be its own."""
    for number, images in enumerate(structures):
        folder = directory / structure_name(number)
        folder.mkdir(parents=True)
        column = [[1.0, 1.0, 1.0], [1.0, 1.0, 2.0 + number]]  # tells structures apart
        specimen = Structure(column, [78, 78], [20.0, 20.0, 30.0])
        scale = scales[number] if scales else 1.0
        view = View(images.shape[1:], pixel_size * scale, (0.0, 0.0))
        exposure = {
            "regime": "any",
            "optics": Optics(60.0).to_dict(),
            "view": view.to_dict(),
        }
        attributes = {"group": "all", "fingerprint": specimen.fingerprint()}
        write_structure(folder, images, specimen, attributes, [exposure] * len(images))
    groups = [{"name": "all", "structures": len(structures), "images": len(structures[0])}]
    manifest = {
        "format": FORMAT,
        "complete": True,
        "hash": "0123456789abcdef",
        "recipe": {
            "group": groups,
            "view": {"shape": list(structures[0].shape[1:]), "pixel_size": pixel_size},
            "dtype": str(structures[0].dtype),
        },
    }
    root = {"zarr_format": 3, "node_type": "group", "attributes": {"emprior": manifest}}
    (directory / ROOT).write_text(json.dumps(root))
    return directory
