"""Figures, as PNG: points with whiskers, curves, histograms, pictures."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emprior.errors import FileError, import_extra
from emprior.found import SYMBOLS, FoundColumns
from emprior.tables import Table
from emprior.views import Curves, Histogram, Pictures

# Okabe and Ito's colours, told apart also by the colour-blind.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
WITHHELD = "withheld.txt"
"""Names the pictures that do not come along with the records: other people's, say."""
_PANELS = 3  # axes in a row

Records = Sequence[Mapping[str, Any]]


def _figure(width: float, height: float) -> Any:
    import_extra("matplotlib", "report", "drawing figures")
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _png(figure: Any, dpi: int = 150) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def curves(records: Records, view: Curves) -> bytes:
    """Draw a line for each record."""
    panels = list(dict.fromkeys(str(r[view.panel]) if view.panel else "" for r in records))
    columns = min(len(panels), _PANELS)
    rows = -(-len(panels) // columns)
    figure = _figure(max(6.0, 4.2 * columns), 3.4 * rows)
    axes = figure.subplots(rows, columns, squeeze=False)
    names = list(dict.fromkeys(str(record[view.by]) for record in records))
    styles = ("-", "--", ":", "-.")
    for record in records:
        rank = names.index(str(record[view.by]))
        panel = panels.index(str(record[view.panel]) if view.panel else "")
        x, y = (np.array(record[key], float) for key in (view.x, view.y))
        style = styles[rank // len(COLOURS) % len(styles)]
        colour = COLOURS[rank % len(COLOURS)]
        axes.flat[panel].plot(x, y, color=colour, ls=style, lw=1.2, label=names[rank])
    for panel, axis in enumerate(axes.flat):
        if panel >= len(panels):
            axis.set_visible(False)
            continue
        axis.set_title(panels[panel], fontsize="medium")
        axis.set_xlabel(view.x_label)
        axis.set_yscale("log" if view.log else "linear")
        axis.grid(color="0.9")
        axis.spines[["top", "right"]].set_visible(False)
    for row in axes:
        row[0].set_ylabel(view.y_label)
    _legend(figure, axes)
    return _png(figure)


def histogram(records: Records, view: Histogram) -> bytes:
    """Draw a histogram for each record, on common bins."""
    figure = _figure(6, 3.4)
    axis = figure.subplots()
    values = [np.array(record[view.values], float) for record in records]
    bins = np.histogram_bin_edges(np.concatenate(values), 40)
    for rank, (record, found) in enumerate(zip(records, values, strict=True)):
        colour = COLOURS[rank % len(COLOURS)]
        axis.hist(found, bins, density=True, histtype="step", color=colour, label=record[view.by])
    axis.set_xlabel(view.label)
    axis.set_ylabel("density")
    axis.spines[["top", "right"]].set_visible(False)
    _legend(figure, np.array([[axis]]))
    return _png(figure)


def pictures(records: Records, view: Pictures, folder: Path) -> bytes:
    """Lay recorded pictures out in rows and columns, each in the grey scale it was stored in.

    Of those that the folder's ``withheld.txt`` names, one a line, nothing is shown.
    """
    from PIL import Image

    listed = folder / WITHHELD
    withheld = listed.read_text(encoding="utf-8").split() if listed.exists() else []
    rows = list(dict.fromkeys(str(record[view.row]) for record in records))
    columns = list(dict.fromkeys(str(record[view.column]) for record in records))
    figure = _figure(1.9 * len(columns) + 1.2, 2.0 * len(rows) + 0.3)
    axes = figure.subplots(len(rows), len(columns), squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for record in records:
        row, column = rows.index(str(record[view.row])), columns.index(str(record[view.column]))
        if record["file"] in withheld:
            axes[row, column].text(
                0.5, 0.5, "not\npassed on", ha="center", va="center", color="gray"
            )
            continue
        try:
            with Image.open(folder / record["file"]) as picture:
                pixels = np.asarray(picture)
        except OSError as error:
            raise FileError(
                f"{folder / record['file']}: {error}",
                expected="the picture that a record names",
                why="figures show what was recorded",
                fix=f"copy the folder pictures/ along with the records, or name it in {WITHHELD}",
            ) from error
        axes[row, column].imshow(pixels, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    for name, axis in zip(columns, axes[0], strict=True):
        axis.set_title(name, fontsize="small")
    for name, row_axes in zip(rows, axes, strict=True):
        axis = row_axes[0]
        axis.text(
            -0.04, 0.5, name, transform=axis.transAxes, ha="right", va="center", fontsize="small"
        )
    return _png(figure, dpi=100)  # thrice the pixels of a picture of 64


def columns_on(image: NDArray[np.floating], found: FoundColumns) -> bytes:
    """Draw a circle about each column: a colour for each element, faint where it is improbable."""
    from matplotlib.colors import to_rgb

    H, W = image.shape
    figure = _figure(8, 8 * H / W)
    axis = figure.subplots()
    low, high = np.quantile(image, [0.005, 0.995])
    axis.imshow(image, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
    for rank, number in enumerate(sorted(set(found.numbers.tolist()), reverse=True)):
        some = found.numbers == number
        colour = COLOURS[rank % len(COLOURS)]
        edges = [(*to_rgb(colour), max(0.15, p)) for p in found.probability[some]]
        axis.scatter(found.columns[some], found.rows[some], 40, "none", edgecolors=edges)
        axis.scatter([], [], 40, "none", edgecolors=colour, label=SYMBOLS[number])
    axis.set_axis_off()
    _legend(figure, np.array([[axis]]))
    return _png(figure)


def _legend(figure: Any, axes: Any) -> None:
    """Draw one legend for all axes, each name once."""
    handles: dict[str, Any] = {}
    for axis in axes.flat:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    if len(handles) > 1:
        figure.legend(
            handles.values(), handles, loc="outside right upper", frameon=False, fontsize="small"
        )


def points(table: Table, limits: tuple[float, float] = (15.0, 50.0)) -> bytes:
    """Draw a table as a PNG: a point for each cell, with a whisker from the median to the tail.

    Cells beyond the limits of the axis are triangles at its ends.
    """
    figure = _figure(10, 5)
    axes = figure.add_subplot(ylim=limits)
    pitch = 0.8 / len(table.rows)
    for rank, row in enumerate(table.rows):
        colour = COLOURS[rank % len(COLOURS)]
        used = rank // len(COLOURS)  # how often the colours have run out
        shape, filled = "oosD"[min(used, 3)], used != 1
        style: dict[str, Any] = {
            "color": colour,
            "mfc": colour if filled else "white",
            "ls": "",
            "clip_on": False,
        }
        axes.plot([], [], marker=shape, label=row, **style)
        for x, column in enumerate(table.columns):
            cell = table.cells.get((row, column))
            if cell is None or not cell.images:
                continue
            at = x + pitch * (rank - (len(table.rows) - 1) / 2)
            median, tail = np.clip([cell.median, cell.tail], *limits)
            beyond = "^" if cell.median > limits[1] else "v" if cell.median < limits[0] else ""
            axes.vlines(at, min(median, tail), max(median, tail), color=colour, lw=1)
            axes.plot(at, median, marker=beyond or shape, markersize=5, **style)
    axes.set_xticks(range(len(table.columns)), table.columns)
    axes.set_xticks(np.arange(len(table.columns) - 1) + 0.5, minor=True)
    axes.tick_params(axis="x", which="both", length=0)
    axes.grid(axis="y", color="0.9")
    axes.grid(axis="x", which="minor", color="0.8")
    axes.set_xlim(-0.5, len(table.columns) - 0.5)
    axes.set_xlabel("noise")
    axes.set_ylabel(table.metric.title)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    return _png(figure)
