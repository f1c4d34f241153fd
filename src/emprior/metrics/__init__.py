"""How near an estimate is to the truth: its pixels, its atomic columns, its sharpness."""

from emprior.metrics.columns import ColumnScore, column_f1, columns, inside, match, polarity
from emprior.metrics.pixels import contrast_psnr, effective_parameters, peak_psnr, psnr, ssim
from emprior.metrics.sharpness import (
    ColumnSizes,
    column_sizes,
    spectrum_ratio,
    vacuum_contrast,
)

__all__ = [
    "ColumnScore",
    "ColumnSizes",
    "column_f1",
    "column_sizes",
    "columns",
    "contrast_psnr",
    "effective_parameters",
    "inside",
    "match",
    "peak_psnr",
    "polarity",
    "psnr",
    "spectrum_ratio",
    "ssim",
    "vacuum_contrast",
]
