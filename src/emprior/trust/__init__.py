"""Can a denoised image be trusted? What the noisy data say of it, whoever made it.

If the denoised image were the truth, what is left of the noisy one would be noise: of known mean,
variance and skewness in each pixel, and independent between pixels. Each test looks for one way in
which it is not.
"""

from emprior.trust.check import FALSE_ALARM, Check, Maps, check
from emprior.trust.files import DRAWN, CheckedFiles, check_files
from emprior.trust.findings import Finding, Region

__all__ = [
    "DRAWN",
    "FALSE_ALARM",
    "Check",
    "CheckedFiles",
    "Finding",
    "Maps",
    "Region",
    "check",
    "check_files",
]
