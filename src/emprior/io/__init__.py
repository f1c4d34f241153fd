"""Micrographs in and out, with their axes, calibration and metadata.

``read`` takes whatever RosettaSciIO reads and returns a `Signal`; ``write`` saves one under a name
that `plan_outputs` has checked. What each format keeps is told in ``docs/files.md``.
"""

from emprior.io.columns import ColumnsOfFrame, check_columns_output, write_columns
from emprior.io.outputs import (
    FORMATS,
    check_holds,
    check_output,
    check_place,
    output_path,
    plan_outputs,
)
from emprior.io.reading import read
from emprior.io.sidecar import sidecar_path
from emprior.io.signal import Axis, Signal, angstroms, check_movie
from emprior.io.writing import write

__all__ = [
    "FORMATS",
    "Axis",
    "ColumnsOfFrame",
    "Signal",
    "angstroms",
    "check_columns_output",
    "check_holds",
    "check_movie",
    "check_output",
    "check_place",
    "output_path",
    "plan_outputs",
    "read",
    "sidecar_path",
    "write",
    "write_columns",
]
