r"""Whether the denoised image would fit better displaced, scaled, turned or sheared as a whole.

A displacement u(r) that is linear in the place changes an image by :math:`-u\cdot\nabla\hat x`:
six images, one for each number in u. Their products with the residual, T, are normal with the
covariance C that the noise gives them, so that :math:`T^\top C^{-1} T` is :math:`\chi^2` with six
degrees of freedom. A lattice of slightly wrong spacing fails everywhere a little, which no local
test sees.
"""

from __future__ import annotations

import numpy as np
from scipy import stats

from emprior.trust.findings import Finding
from emprior.trust.residual import Residual

_NOTHING = 1e-9  # share of the image's level that counts as no contrast


def geometry(residual: Residual, pixel_size: float | None) -> Finding:
    """Test it.

    Notes
    -----
    Exact for displacements that are small beside the distance of columns; larger ones leave still
    more behind, but not all of it along the six images.
    """
    image = residual.expectation
    H, W = image.shape
    if not image.std() > _NOTHING * np.abs(image).max():
        return Finding("geometry", None, "0", 1.0, "a constant has no geometry")
    # From -1/2 to 1/2, so that all six numbers are displacements in pixels between the edges.
    y, x = np.meshgrid(*((np.arange(n) + 0.5) / n - 0.5 for n in (H, W)), indexing="ij")
    changes = np.stack([-g * u for g in np.gradient(image) for u in (np.ones_like(y), y, x)])
    changes = changes.reshape(6, -1)
    products = changes @ residual.deviation.ravel()
    covariance = (changes * residual.variance.ravel()) @ changes.T * (1 + 2 * residual.slack)
    statistic = float(products @ np.linalg.pinv(covariance) @ products)
    p = float(stats.chi2.sf(statistic, 6))
    down, down_y, _, right, _, right_x = np.linalg.pinv(changes @ changes.T) @ products
    scale = 1 + (down_y / H + right_x / W) / 2
    unit = "pixels" if pixel_size is None else "Å"
    down, right = (step * (pixel_size or 1.0) for step in (down, right))
    says = (
        f"the image would fit best displaced by {down:.2g} and {right:.2g} {unit} and scaled by "
        f"{scale:.3f}: {statistic:.1f} for six numbers"
    )
    return Finding("geometry", statistic, "6 ± 3.5", p, says)
