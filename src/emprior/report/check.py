"""A check on one page: pictures under a slider, what was tested, and each column."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emprior.api import Denoised
from emprior.faults import Fault
from emprior.files import replacing
from emprior.report.grids import Grid
from emprior.report.page import Section, html_page
from emprior.report.viewer import SCRIPT, STYLE, Pixels, grey, improbable, plot, signed, viewer
from emprior.trust import Check, CheckedFiles, Maps
from emprior.trust.columns import ColumnEvidence
from emprior.trust.findings import any_of

_LISTED = 60  # columns in a table
_BRIGHT = 4.0  # standard errors shown in full colour
_SURE = 20.0  # nats shown in full colour


@dataclass(frozen=True, eq=False)
class Judged:
    """A denoised file with its check.

    Parameters
    ----------
    check : CheckedFiles
        With the maps of the frames that are to be drawn.
    answers : sequence of Denoised
        What else the denoiser says of each frame; empty where it is not at hand.
    """

    check: CheckedFiles
    answers: Sequence[Denoised] = ()


def write_check(judged: Sequence[Judged], path: Path) -> None:
    """Write one HTML file that needs no other.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    names = [f"{one.check.denoised.name} against {one.check.noisy.name}" for one in judged]
    sections = [
        section for one, name in zip(judged, names, strict=True) for section in _sections(one, name)
    ]
    sections[0] = Section(**{**vars(sections[0]), "widget": STYLE + sections[0].widget})
    sections[-1] = Section(**{**vars(sections[-1]), "widget": sections[-1].widget + SCRIPT})
    with replacing(path) as made:
        made.write_text(html_page(", ".join(names), sections), encoding="utf-8")


def _sections(judged: Judged, name: str) -> Iterator[Section]:
    found = judged.check
    lines = "".join(f"<li>{html.escape(line.strip())}</li>" for line in found.lines())
    yield Section(name, widget=f"<ul>{lines}</ul>")
    drawn = 0
    for number, frame in enumerate(found.frames):
        if frame.check.maps is None:
            continue
        drawn += 1
        title = f"Frame {', '.join(map(str, frame.index))}: " if frame.index else ""
        answer = judged.answers[number] if judged.answers else None
        yield from _frame(frame.check, frame.check.maps, title, answer)
    if (left := len(found.frames) - drawn) > 0:
        yield Section("Further frames", f"{left} are not drawn.", level=2)


def _frame(check: Check, maps: Maps, title: str, answer: Denoised | None) -> Iterator[Section]:
    text = (
        "Any two of the pictures, divided by the slider. Grey pictures between two quantiles of "
        "their own. Residuals in standard deviations: red where the data are brighter than the "
        "denoised image, blue where they are darker. Local p: black for one in a million, red for "
        "5 %, corrected for all places and scales. Circles: places that the data contradict."
    )
    shape = maps.noisy.shape[0], maps.noisy.shape[1]
    pictures = _pictures(check, maps, answer)
    yield Section(f"{title}pictures", text, level=2, widget=viewer(pictures, check.regions, shape))
    if left_out := list(check.left_out):
        yield Section(f"{title}left out", _left_out(left_out), level=2)
    evidence = "; ".join(check.evidence)
    yield Section(f"{title}noise", f"{check.noise}: {evidence}.", level=2)
    yield Section(
        f"{title}tests",
        "What the true image would give, and the probability that it gives anything so far off, in "
        f"this or any other test; below {check.false_alarm:.2g} the image is not supported.",
        level=2,
        table=_tests(check),
    )
    if check.columns is not None and len(check.columns):
        yield from _columns(check.columns, title)
    yield _held_out(check, title)
    if check.family is not None:
        text = f"{check.family.kind.capitalize()}: {'; '.join(check.family.reasons)}."
        if check.other_pixel_size is not None:
            text += f" At pixels of {check.other_pixel_size:.4f} Å the prior knows it."
        yield Section(f"{title}is it what the prior knows?", text, level=2)
    if answer is not None:
        yield Section(f"{title}denoiser", _said(answer), level=2)


def _pictures(check: Check, maps: Maps, answer: Denoised | None) -> dict[str, Pixels]:
    pictures = {
        "noisy": grey(maps.noisy),
        "denoised": grey(maps.denoised, 0.0),
        "residual": signed(np.where(check.left_out.all, 0.0, maps.residual.standardised), _BRIGHT),
    }
    smallest = np.ones(maps.noisy.shape)
    for scale in maps.scales:
        here = np.kron(scale.exceeded(), np.ones((scale.factor, scale.factor)))
        H, W = here.shape  # what is left of the last rows and columns belongs to no window
        smallest[:H, :W] = np.minimum(smallest[:H, :W], here)
        name = f"residual, window of {scale.width:.2g} pixels"
        pictures[name] = signed(scale.z, _BRIGHT)
    pictures["local p"] = improbable(any_of(smallest, len(maps.scales)))
    if check.columns is not None:
        pictures["column against vacuum"] = signed(check.columns.vacuum_map, _SURE)
    if answer is not None and answer.deviation is not None:
        pictures["standard deviation of the estimate"] = grey(answer.deviation)
    return pictures


def _left_out(faults: Sequence[Fault]) -> str:
    more = f"; and {left} more" if (left := len(faults) - _LISTED) > 0 else ""
    return (
        f"{'; '.join(map(str, faults[:_LISTED]))}{more}. They tell nothing of the denoised image, "
        "and have no part in the tests: in the residuals seen through windows, drawn noise stands "
        "for them."
    )


def _tests(check: Check) -> Grid:
    cells = {}
    for one in check.findings:
        cells[one.name, "measured"] = "–" if one.value is None else f"{one.value:.4g}"
        cells[one.name, "expected"] = one.expected
        cells[one.name, "p"] = f"{one.p:.2g}"
        cells[one.name, "in words"] = one.says
    names = tuple(one.name for one in check.findings)
    return Grid(names, ("measured", "expected", "p", "in words"), cells)


def _columns(found: ColumnEvidence, title: str) -> Iterator[Section]:
    headings = (
        "row",
        "column",
        "with against without [nats]",
        "d′",
        "height",
        "shift [pixels]",
        "against vacuum [nats]",
        "p",
    )
    order = np.argsort(found.p, kind="stable")[:_LISTED]
    cells: dict[tuple[str, str], str] = {}
    for rank, i in enumerate(order):
        texts = (
            f"{found.rows[i]:.1f}",
            f"{found.columns[i]:.1f}",
            f"{found.evidence[i]:.1f}",
            f"{found.discernible[i]:.1f}",
            f"{found.occupancy[i]:.2f} ± {found.occupancy_error[i]:.2f}",
            f"{found.shifts[i, 0]:.1f}, {found.shifts[i, 1]:.1f}",
            f"{found.against_vacuum[i]:.1f}",
            f"{found.p[i]:.2g}",
        )
        cells |= {
            (str(rank + 1), heading): text for heading, text in zip(headings, texts, strict=True)
        }
    text = (
        f"{len(found)} columns, the {len(order)} least likely first. Log-likelihood of the data "
        "with against without each column; d′, how far apart the two would lie in standard "
        "deviations (below 3 the data cannot tell); its height over the drawn one; where the data "
        "would rather have it; the same against an empty beam (Mohan et al. 2020). p among these "
        "columns alone."
    )
    names = tuple(str(rank + 1) for rank in range(len(order)))
    yield Section(f"{title}columns", text, level=2, table=Grid(names, headings, cells))


def _held_out(check: Check, title: str) -> Section:
    heading = f"{title}held-out data"
    found = check.held_out
    if found is None:
        told = check.to_dict()["held_out"]
        return Section(heading, f"{told['way'].capitalize()}: {told['why']}.", level=2)
    if found.rings is None:
        return Section(heading, f"{found}.", level=2)
    rings, size = found.rings, check.pixel_size
    text = (
        f"{found}. Below, the correlation in rings of the Fourier plane of what the denoiser makes "
        "of one part with the raw other part, and what the true image would reach at this dose: "
        "where the first falls short of the second, the image is not that of the data."
    )
    lines = {
        "measured": rings.measured,
        "expected at this dose": rings.expected,
        "measured without Bragg peaks": rings.rest,
        "expected without Bragg peaks": rings.rest_expected,
    }
    unit = "cycles a pixel" if size is None else "1/Å"
    widget = plot(rings.frequency / (size or 1.0), lines, unit)
    return Section(heading, text, level=2, widget=widget)


def _said(answer: Denoised) -> str:
    said = f"Answered by {answer.method} in {answer.seconds:.1f} s."
    if (columns := answer.columns) is not None and len(columns):
        sure = int(np.count_nonzero(columns.probability > 0.95))
        said += (
            f" It tells {len(columns)} columns, {sure} of them with a probability above 95 %, the "
            f"least of {columns.probability.min():.2f}; {answer.optics}."
        )
    for key in ("doubt", "unchecked"):
        if key in answer.trace:
            said += f" {answer.trace[key]}."
    if "family" in answer.trace:
        said += (
            f" The frame is {answer.trace['family']} what the prior knows: "
            f"{'; '.join(answer.trace['reasons'])} (held out: {answer.trace['held_out']})."
        )
    return said
