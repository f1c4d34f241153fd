"""The cell that every structure stands in: CeO2 below, vacuum above, repeating in x and y."""

from __future__ import annotations

import math

A_CEO2 = 5.411
"""Lattice constant of CeO2 [Å]."""
PERIOD = A_CEO2 / math.sqrt(2)
"""Of the support along the beam [Å]."""
ROW = A_CEO2 / math.sqrt(3)
"""Between Ce rows [Å]."""
WIDTH = 8 * A_CEO2 * math.sqrt(1.5)
"""Of the cell [Å]: 16 Ce columns, an even number, so that the support repeats."""
HEIGHT = 66.0
"""Of the cell [Å]."""
SURFACE = 32.0
"""Height of the support's top Ce row [Å]."""
BOTTOM = 1.0
"""Where the support begins [Å]."""
MARGIN = 4.0
"""Between an image and the support's lower end or the next cell [Å]."""
