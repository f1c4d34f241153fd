"""A frame as it comes, made ready: its noise read, its faults filled, its row noise taken off."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from emprior.errors import EmpriorWarning
from emprior.faults import Faults, Mask, filled, find_outliers, find_patches
from emprior.identify import Identification
from emprior.micrograph import Micrograph
from emprior.noise import NoiseModel
from emprior.noise_spec import check_counts, resolve
from emprior.references import References, find_seams
from emprior.rownoise import find_row_noise

Floats = NDArray[np.floating]

_MOSTLY = 0.8  # share of a frame that is of one value: no label, nor saturation


def patches_of(micrograph: Micrograph, look: bool) -> Mask:
    """Return what a micrograph ignores, (H, W), with the patches of one value if they are wanted.

    Where these are nearly all of the frame they are the picture, and no label.
    """
    none = np.zeros(micrograph.shape, bool)
    named = none if micrograph.ignored is None else micrograph.ignored
    patches = named | (find_patches(micrograph.image) if look else none)
    return named if patches.mean() > _MOSTLY else patches


def read_frame(
    image: Floats,
    patches: Mask,
    noise: str | NoiseModel,
    look: bool,
    rng: np.random.Generator,
    dead: Mask | None = None,
) -> tuple[Floats, Faults, Identification]:
    """Find the noise and the faulty pixels of a frame, neither misled by the other.

    Parameters
    ----------
    image, patches : (H, W) ndarray
        Patches as `patches_of` finds them.
    noise : str or NoiseModel
        As for `emprior.denoise`.
    look : bool
        Whether hot and dead pixels are looked for.
    rng : numpy.random.Generator
        Draws what faults are filled with.
    dead : (H, W) bool ndarray, optional
        Pixels that are known to be dead.

    Returns
    -------
    (H, W) ndarray
        The frame with its faults filled.
    Faults
    Identification
    """
    dead = np.zeros(image.shape, bool) if dead is None else dead
    clear = filled(image, patches | dead, rng)
    found = _identified(noise, clear)
    outliers = (dead | find_outliers(clear, found.noise) if look else dead) & ~patches
    faults = Faults(patches, outliers)
    if outliers.any():
        clear = filled(image, faults.all, rng)
        found = _identified(noise, clear)
    return clear, faults, found


def prepared(
    micrograph: Micrograph,
    noise: str | NoiseModel,
    look: bool,
    rng: np.random.Generator,
    references: References | None = None,
) -> tuple[Micrograph, NDArray[np.float32] | None, Identification]:
    """Make a frame ready to be denoised.

    Returns
    -------
    micrograph
        Corrected, with the faults filled and ignored.
    kept
        What is to stay as it is, (H, W), elsewhere not a number; None where nothing is.
    identification

    Warns
    -----
    EmpriorWarning
        Where a patch that nobody named is to stay as it is, or halves of the frame do not fit
        together.
    """
    image, dead = micrograph.image, None
    patches = patches_of(micrograph, look)
    if references is not None:
        image, dead = references.corrected(image)
        micrograph = replace(micrograph, image=image)
    image, faults, found = read_frame(image, patches, noise, look, rng, dead)
    if references is not None:
        found = replace(found, evidence=(*found.evidence, references.said()))
    elif look and (seams := find_seams(image)):
        found = replace(found, evidence=(*found.evidence, *seams))
        warnings.warn(
            f"{'; '.join(seams)}; give the detector's dark and gain references, or denoise the "
            "parts apart",
            EmpriorWarning,
            stacklevel=3,
        )
    if look and (rows := find_row_noise(image, found.noise)) is not None:
        image = rows.removed(image)
        evidence = (*found.evidence, rows.said())
        found = replace(found, noise=rows.remaining(found.noise), evidence=evidence)
    if not faults.all.any():
        return replace(micrograph, image=image), None, found
    if (patches if micrograph.ignored is None else patches & ~micrograph.ignored).any():
        warnings.warn(
            f"{faults.said()[-1]}; crop the image, or give the raw data, if that is not so",
            EmpriorWarning,
            stacklevel=3,
        )
    kept = np.where(patches, micrograph.image, np.nan).astype(np.float32)
    found = replace(found, evidence=(*found.evidence, *faults.said()))
    micrograph = replace(micrograph, image=image, ignored=faults.all)
    return micrograph, kept if patches.any() else None, found


def _identified(noise: str | NoiseModel, image: Floats) -> Identification:
    if isinstance(noise, NoiseModel):
        check_counts(noise, image)
        return Identification(noise, ("given by the caller",))
    return resolve(noise, image)
