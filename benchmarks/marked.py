"""Tables in documents that a command makes: what stands between two marks is replaced."""

from __future__ import annotations

from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"


def rewrite(document: str, name: str, text: str) -> None:
    """Put text between ``<!-- NAME: begin -->`` and ``<!-- NAME: end -->`` in a file of docs/."""
    path, begin, end = DOCS / document, f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, found, rest = path.read_text(encoding="utf-8").partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise SystemExit(f"{path} has no block {name!r}")
    path.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")
