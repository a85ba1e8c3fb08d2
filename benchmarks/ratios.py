"""Tables of ratios, printed and kept in docs/performance.md between two marks."""

from __future__ import annotations

import re
from pathlib import Path


def table(head: tuple[str, ...], rows: list[tuple]) -> str:
    """A Markdown table; floats with two digits."""
    cells = [head, *[tuple(f"{c:.2f}" if isinstance(c, float) else str(c) for c in row) for row in rows]]
    lines = ["| " + " | ".join(row) + " |" for row in cells]
    return "\n".join([lines[0], "|" + " --- |" * len(head), *lines[1:]])


def record(page: Path, name: str, text: str) -> None:
    """Replace what stands between <!-- name --> and <!-- /name --> in a page."""
    marked = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.S)
    content = page.read_text()
    if not marked.search(content):
        raise SystemExit(f"{page} has no place for {name}")
    page.write_text(marked.sub(lambda m: f"{m[1]}{text}\n{m[2]}", content))
