"""Whether a row reaches what a recipe wants of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeGuard

from emprior.denoisers import LEARNED
from emprior.evaluate.recipe import EvaluationRecipe, Targets
from emprior.report.grids import Grid
from emprior.report.standing import NOISE_FREE, lead, own_parts, signed, span
from emprior.tables import HEADLINE, METRICS, Metric, Records, Summary, tabulate

_BY_KEY = {metric.key: metric for metric in METRICS}
F1, SECONDS = _BY_KEY["column_f1"], _BY_KEY["seconds"]
RIVAL = 1.0
"""dB above the best row that learns nothing, from which a supervised one counts as a rival."""
_SUPERVISED = ("supervised", "supervised-mixed")  # misused it is none


class Verdict(NamedTuple):
    """One cell: what is wanted, under which noise, whether it is met, and the figures."""

    line: str
    noise: str
    met: bool
    figures: str


def verdicts(
    records: Records, elsewhere: Mapping[str, Records], recipe: EvaluationRecipe
) -> list[Verdict]:
    """Compare records with the targets of their recipe; what was not measured is left out.

    Parameters
    ----------
    records : sequence of mapping
        Of the images that targets are about.
    elsewhere : mapping
        Records of other images, by their label.
    recipe : EvaluationRecipe
        With targets.
    """
    aim = recipe.targets
    if aim is None:
        return []
    return [
        *_levels(records, elsewhere, recipe, aim),
        *_comparisons(records, recipe, aim),
        *_times(records, recipe, aim),
    ]


def grid(found: Iterable[Verdict]) -> Grid:
    """Lay verdicts out, lines by noises."""
    found = list(found)
    return Grid(
        tuple(dict.fromkeys(verdict.line for verdict in found)),
        tuple(dict.fromkeys(verdict.noise for verdict in found)),
        {(v.line, v.noise): f"{'✓' if v.met else '✗'} {v.figures}" for v in found},
    )


def _levels(
    records: Records, elsewhere: Mapping[str, Records], recipe: EvaluationRecipe, aim: Targets
) -> Iterator[Verdict]:
    """Judge PSNR: its median, its tail, and its median on other images."""
    cells = tabulate(records, HEADLINE).cells
    plain = own_parts(recipe.denoisers, aim.row).get("inversion", "")
    for name, wanted in (("must", aim.must), ("goal", aim.goal)):
        for noise, least in wanted.items():
            cell = cells.get((plain if noise == NOISE_FREE else aim.row, noise))
            if _known(cell):
                yield _at_least(f"PSNR, {name} [dB]", noise, cell.median, least)
    for (row, noise), cell in cells.items():
        if row == aim.row and noise != NOISE_FREE and _known(cell):
            line = f"5 % quantile below the median, at most {aim.tail:g} dB"
            yield _at_most(line, noise, cell.median - cell.tail, aim.tail)
    for label, found in elsewhere.items():
        there = tabulate(found, HEADLINE).cells
        for noise in aim.elsewhere:
            cell, other = (of.get((aim.row, noise)) for of in (cells, there))
            if _known(cell) and _known(other):
                line = f"{label}: below the median, at most {aim.distance:g} dB"
                yield _at_most(line, noise, cell.median - other.median, aim.distance)


def _comparisons(records: Records, recipe: EvaluationRecipe, aim: Targets) -> Iterator[Verdict]:
    """Judge differences from other rows, image by image."""
    rows = recipe.denoisers
    parts = own_parts(rows, aim.row)
    own = {aim.row, *parts.values()}
    others = [row.name for row in rows if row.name not in own]
    supervised = [row.name for row in rows if row.method in _SUPERVISED]
    for noise in dict.fromkeys(record["noise"] for record in records):
        if noise == NOISE_FREE:
            continue
        if found := _least(records, aim.row, others, noise):
            yield Verdict("ahead of the next best row, or level with it [dB]", noise, *found)
    for noise in aim.columns:
        if found := _least(records, aim.row, supervised, noise, F1, strictly=True):
            yield Verdict("F1 of columns above a supervised row's", noise, *found)
    first, second = parts.get("inversion", ""), parts.get("encoder", "")
    for noise in aim.gain:
        if found := _least(records, first, [second], noise, strictly=True):
            yield Verdict("gain of the inversion on first sight [dB]", noise, *found)


def rivals(records: Records, recipe: EvaluationRecipe, noise: str) -> str:
    """Say which supervised rows count as rivals: those well above all that have learnt nothing."""
    cells = tabulate(records, HEADLINE).cells
    medians = {
        row.name: (row.method, cell.median)
        for row in recipe.denoisers
        if _known(cell := cells.get((row.name, noise)))
    }
    plain = [psnr for method, psnr in medians.values() if method not in LEARNED]
    if not plain:
        return ""
    return " ".join(
        f"{name} {'counts' if psnr >= max(plain) + RIVAL else 'does not count'} as a rival: "
        f"{psnr:.2f} dB under {noise}, where the best row that has learnt nothing has "
        f"{max(plain):.2f}."
        for name, (method, psnr) in medians.items()
        if method in _SUPERVISED
    )


def _times(records: Records, recipe: EvaluationRecipe, aim: Targets) -> Iterator[Verdict]:
    """Judge wall times."""
    cells = tabulate(records, SECONDS).cells
    sight = own_parts(recipe.denoisers, aim.row).get("encoder", "")
    for row, most, what in (
        (aim.row, aim.seconds, "an image"),
        (sight, aim.first_sight_seconds, "of the first sight"),
    ):
        for (name, noise), cell in cells.items():
            if name == row and _known(cell):
                yield _at_most(f"seconds {what}, at most {most:g}", noise, cell.median, most)


def _known(cell: Summary | None) -> TypeGuard[Summary]:
    return cell is not None and cell.images > 0


def _at_least(line: str, noise: str, value: float, least: float) -> Verdict:
    met = value >= least
    return Verdict(line, noise, met, f"{value:.2f} {'≥' if met else '<'} {least:.4g}")


def _at_most(line: str, noise: str, value: float, most: float) -> Verdict:
    return Verdict(line, noise, value <= most, f"{value:.2f}")


def _least(
    records: Records,
    first: str,
    others: Sequence[str],
    noise: str,
    metric: Metric = HEADLINE,
    *,
    strictly: bool = False,
) -> tuple[bool, str] | None:
    """Return whether a row is ahead of all others, and its least lead with the interval."""
    leads = {other: lead(records, first, other, noise, metric.key) for other in others}
    known = {other: found for other, found in leads.items() if found}
    if not known:
        return None
    closest, least = min(known.items(), key=lambda item: item[1].median)
    met = least.median > 0 or (least.median == 0 and not strictly)
    name = f"{closest}: " if len(others) > 1 else ""
    return met, f"{name}{signed(least.median, metric.digits)} ({span(least, metric.digits)})"
