"""Pictures of one frame over one another, under a slider, with marked places."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from emprior.grid import pool
from emprior.trust import Region

Pixels = NDArray[np.uint8]

_MOST = 1024  # pixels along the longer side that are shown

STYLE = """
<style>
.viewer { position: relative; max-width: 48rem }
.viewer img { display: block; width: 100%; image-rendering: pixelated }
.viewer .over { position: absolute; inset: 0 }
.viewer svg { position: absolute; inset: 0; width: 100%; height: 100% }
.viewer circle { fill: transparent; stroke: #d55e00; vector-effect: non-scaling-stroke;
  stroke-width: 2 }
.choice { max-width: 48rem; display: flex; gap: .6rem; align-items: center; margin: .4rem 0 }
td:last-child:nth-child(5) { text-align: left }
.choice input[type=range] { flex: 1 }
</style>
"""

SCRIPT = """
<script>
for (const box of document.querySelectorAll('.pictures')) {
  const [left, right] = box.querySelectorAll('select');
  const [under, over] = box.querySelectorAll('img.shown');
  const pictures = box.querySelector('template').content.children;
  const slider = box.querySelector('input[type=range]');
  const marks = box.querySelector('input[type=checkbox]');
  const show = () => {
    under.src = pictures[right.value].src;
    over.src = pictures[left.value].src;
    over.style.clipPath = `inset(0 ${100 - slider.value}% 0 0)`;
    box.querySelector('svg').style.display = marks.checked ? '' : 'none';
  };
  for (const part of [left, right, slider, marks]) part.addEventListener('input', show);
  show();
}
</script>
"""


def viewer(
    pictures: Mapping[str, Pixels], regions: Sequence[Region], shape: tuple[int, int]
) -> str:
    """Return HTML that shows any two pictures beside each other, divided by a slider.

    Parameters
    ----------
    pictures : mapping
        By name, each (h, w) grey or (h, w, 3) coloured; the first two are shown first.
    regions : sequence of Region
        Drawn as circles over them.
    shape : (H, W)
        Of the frame, in whose pixels the regions are.
    """
    H, W = shape
    sources = "".join(f'<img alt="{html.escape(n)}" src="{_url(p)}">' for n, p in pictures.items())

    def choice(chosen: int) -> str:
        options = "".join(
            f'<option value="{i}"{" selected" if i == chosen else ""}>{html.escape(name)}</option>'
            for i, name in enumerate(pictures)
        )
        return f"<select>{options}</select>"

    circles = "".join(
        f'<circle cx="{one.column + 0.5:.1f}" cy="{one.row + 0.5:.1f}" r="{one.radius:.1f}">'
        f"<title>{html.escape(str(one))}</title></circle>"
        for one in regions
    )
    return (
        f'<div class="pictures"><template>{sources}</template>'
        f'<div class="choice">{choice(0)}<input type="range" min="0" max="100" value="50" '
        f'aria-label="divide">{choice(1)}<label><input type="checkbox" checked> marks</label></div>'
        '<div class="viewer"><img class="shown" alt="right"><img class="shown over" alt="left">'
        f'<svg viewBox="0 0 {W} {H}" preserveAspectRatio="none">{circles}</svg></div></div>'
    )


def plot(x: NDArray[np.floating], lines: Mapping[str, NDArray[np.floating]], unit: str) -> str:
    """Return an SVG of named curves between 0 and 1 above x, which begins at 0."""
    width, height, last = 500, 220, float(x.max())
    parts = []
    for i, (name, y) in enumerate(lines.items()):
        colour = ("#0072B2", "#D55E00", "#56B4E9", "#E69F00")[i]
        places = zip(width * x / last, height * (1 - np.clip(y, 0, 1)), strict=True)
        path = " ".join(f"{right:.1f},{below:.1f}" for right, below in places)
        parts.append(
            f'<polyline fill="none" stroke="{colour}" points="{path}"/>'
            f'<text x="{width - 240}" y="{14 + 16 * i}" fill="{colour}">{html.escape(name)}</text>'
        )
    for level in (0.0, 0.5, 1.0):
        down = height * (1 - level)
        parts.append(
            f'<path d="M0 {down} H{width}" stroke="#ddd"/>'
            f'<text x="-28" y="{down + 4}">{level:g}</text>'
        )
    parts.append(f'<text x="0" y="{height + 18}">0 to {last:.3g} {html.escape(unit)}</text>')
    return (
        f'<svg viewBox="-30 -10 {width + 40} {height + 35}" width="{width + 40}" font-size="13">'
        f"{''.join(parts)}</svg>"
    )


def grey(image: NDArray[np.floating], share: float = 0.005) -> Pixels:
    """Return an image in grey between two of its quantiles, no larger than can be shown."""
    small = pool(image, max(1, -(-max(image.shape) // _MOST)))
    low, high = np.quantile(small, [share, 1 - share])
    return _bytes((small - low) / max(float(high - low), 1e-300))


def signed(image: NDArray[np.floating], most: float) -> Pixels:
    """Return a map in blue for -most or less, white for zero, and red for most or more."""
    small = pool(image, max(1, -(-max(image.shape) // _MOST)))
    share = np.clip(small / most, -1, 1)[..., None]
    ends = np.where(share > 0, (0.84, 0.15, 0.05), (0.05, 0.35, 0.75))
    return _bytes(1 - np.abs(share) * (1 - ends))


def improbable(p: NDArray[np.floating]) -> Pixels:
    """Return a map of probabilities: white for 1, red for 5 %, black for one in a million."""
    share = np.clip(np.log10(np.maximum(p, 1e-6)) / -6, 0, 1)
    stops = [0.0, -np.log10(0.05) / 6, 1.0]
    return _bytes(
        np.stack([np.interp(share, stops, c) for c in ((1, 0.84, 0), (1, 0.2, 0), (1, 0, 0))], -1)
    )


def _bytes(share: NDArray[np.floating]) -> Pixels:
    return np.round(255 * np.clip(share, 0, 1)).astype(np.uint8)


def _url(pixels: Pixels) -> str:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="png")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
