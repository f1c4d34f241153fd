"""Records summarised: one table for each metric, and differences between rows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import binom

from emprior.errors import OptionError

Records = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Metric:
    """A number of each record, and how to read it."""

    key: str
    title: str
    digits: int
    higher_is_better: bool = True

    @property
    def tail(self) -> float:
        """The quantile at the bad end."""
        return 0.05 if self.higher_is_better else 0.95


METRICS = (
    Metric("psnr_db", "PSNR (range 1) [dB]", 2),
    Metric("contrast_psnr_db", "Contrast-PSNR (range 1, means removed) [dB]", 2),
    Metric("ssim", "SSIM (range 1)", 3),
    Metric("column_f1", "F1 of atomic columns", 3),
    Metric("column_precision", "Precision of atomic columns", 3),
    Metric("column_recall", "Recall of atomic columns", 3),
    Metric("columns_added", "Columns added, per image", 1, higher_is_better=False),
    Metric("columns_removed", "Columns removed, per image", 1, higher_is_better=False),
    Metric("seconds", "Wall time per image [s]", 2, higher_is_better=False),
)
HEADLINE = METRICS[0]


@dataclass(frozen=True)
class Summary:
    """One cell: how a metric is distributed over images.

    Attributes
    ----------
    images : int
        How many have a value.
    median : float
    tail : float
        Quantile at the bad end: of n values the ⌈n/20⌉-th worst, so of 20 or fewer the worst.
    """

    images: int
    median: float
    tail: float


@dataclass(frozen=True)
class Table:
    """A metric of each denoiser (rows) under each noise (columns)."""

    metric: Metric
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: Mapping[tuple[str, str], Summary]

    def text(self, row: str, column: str) -> str:
        """Return a cell as text: median (tail), and the number of images where some lack."""
        cell = self.cells.get((row, column))
        if cell is None or not cell.images:
            return "–"
        median, tail = (_number(value, self.metric.digits) for value in (cell.median, cell.tail))
        lack = cell.images < max(other.images for other in self.cells.values())
        text = median if cell.images == 1 else f"{median} ({tail})"
        return text + (f" n={cell.images}" if lack else "")

    def best(self, column: str) -> str | None:
        """Return the row with the best median in a column."""
        sign = 1 if self.metric.higher_is_better else -1
        cells = {row: self.cells.get((row, column)) for row in self.rows}
        known = {row: sign * cell.median for row, cell in cells.items() if cell and cell.images}
        return max(known, key=lambda row: known[row]) if known else None


@dataclass(frozen=True)
class Difference:
    """How far one row is ahead of another on the same frames.

    Attributes
    ----------
    median, low, high : float
        Median difference and the ends of its interval; infinite where there are too few structures
        for one.
    images, structures : int
        How many frames, of how many structures.
    """

    median: float
    low: float
    high: float
    images: int
    structures: int


def summarise(values: Iterable[float], metric: Metric) -> Summary:
    """Return median and tail of the values that are numbers."""
    known = np.array([value for value in values if not math.isnan(value)])
    if not len(known):
        return Summary(0, math.nan, math.nan)
    # No interpolation: infinities (a perfect estimate) have none.
    tail = np.quantile(known, metric.tail, method="inverted_cdf")
    return Summary(len(known), float(np.median(known)), float(tail))


def tabulate(records: Records, metric: Metric) -> Table:
    """Summarise one metric over images; rows and columns come in the order of the records."""
    rows = tuple(dict.fromkeys(record["denoiser"] for record in records))
    columns = tuple(dict.fromkeys(record["noise"] for record in records))
    values: dict[tuple[str, str], list[float]] = {}
    for record in records:
        key = record["denoiser"], record["noise"]
        values.setdefault(key, []).append(float(record[metric.key]))
    return Table(
        metric, rows, columns, {key: summarise(found, metric) for key, found in values.items()}
    )


def paired_difference(
    records: Records,
    first: str,
    second: str,
    noise: str,
    *,
    metric: str = HEADLINE.key,
    level: float = 0.95,
) -> Difference:
    """Return the median of first − second over the structures that both rows have seen.

    Several images of one structure count once, by their median. The interval is that of
    `median_interval`.

    Parameters
    ----------
    records : sequence of mapping
    first, second : str
        Denoisers.
    noise : str
    metric : str
        Name of a number in the records.
    level : float
        Of the interval, between 0 and 1.

    Raises
    ------
    OptionError
        If the rows share no frame under this noise.
    """
    found: dict[str, dict[str, tuple[float, str]]] = {first: {}, second: {}}
    for record in records:
        if record["noise"] == noise and record["denoiser"] in found:
            value = float(record[metric]), record["structure"]
            found[record["denoiser"]][record["image"]] = value
    shared = [
        image
        for image in sorted(found[first].keys() & found[second].keys())
        if not math.isnan(found[first][image][0] - found[second][image][0])
    ]
    if not shared:
        raise OptionError(
            f"no frame under {noise} that both {first!r} and {second!r} have denoised",
            expected="two rows of one evaluation",
            why="differences are taken frame by frame",
            fix="choose rows and a noise of the table, or evaluate further",
        )
    groups: dict[str, list[float]] = {}
    for image in shared:
        (ahead, structure), (behind, _) = found[first][image], found[second][image]
        groups.setdefault(structure, []).append(ahead - behind)
    values = [float(np.median(group)) for group in groups.values()]
    return Difference(*median_interval(values, level), len(shared), len(values))


def median_interval(values: Iterable[float], level: float = 0.95) -> tuple[float, float, float]:
    r"""Return the median of some values, and an interval that holds that of their distribution.

    From the k-th smallest to the k-th largest of the n values, with the largest k for which

    .. math:: 2\,P(B < k) \le 1 - \mathrm{level}, \qquad B \sim \mathrm{Binomial}(n, 1/2).

    It holds the median at least as often as it says, whatever the distribution (Thompson, Ann.
    Math. Stat. 7, 122 (1936)); of five values or fewer there is none at 95 %: it is infinite.
    """
    ordered = np.sort(np.array(list(values)))
    n = len(ordered)
    k = int(binom.ppf((1 - level) / 2, n, 0.5))  # P(B ≤ k) reaches it, so P(B < k) does not
    low, high = (ordered[k - 1], ordered[n - k]) if k else (-math.inf, math.inf)
    return float(np.median(ordered)), float(low), float(high)


def _number(value: float, digits: int) -> str:
    return "∞" if value == math.inf else f"{value:.{digits}f}"
