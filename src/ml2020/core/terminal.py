"""What a run says: to the terminal and, with times, to train.log."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console

_console: Console | None = None
_log: TextIO | None = None


def console() -> Console:
    """The one rich console, on standard output."""
    global _console
    if _console is None or _console.file is not sys.stdout:
        from rich.console import Console

        _console = Console(file=sys.stdout, highlight=False)
    return _console


def live() -> bool:
    """Whether standard output is a terminal that can redraw a bar."""
    return console().is_terminal


def say(text: str = "", style: str | None = None) -> None:
    """One line of plain text."""
    console().print(text, style=style, markup=False, soft_wrap=not live())  # a file gets whole lines, a terminal whole words
    note(text)


def note(text: str) -> None:
    """A line for train.log alone."""
    if _log is not None and text:
        _log.write(f"{datetime.now():%Y-%m-%d %H:%M:%S}  {text}\n")
        _log.flush()


def warn(text: str) -> None:
    """One line on standard error, and in the log."""
    print(text, file=sys.stderr)
    note(text)


def table(rows: list[tuple[str, ...]]) -> None:
    """Rows of text in columns: a box on a terminal, aligned plain text elsewhere."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    plain = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    if live():
        from rich import box
        from rich.table import Table

        drawn = Table(box=box.SQUARE, show_header=False)
        for i in range(len(rows[0])):
            drawn.add_column(justify="right" if i else "left", overflow="fold")
        for row in rows:
            drawn.add_row(*row)
        console().print(drawn)
        for line in plain:
            note(line)
    else:
        for line in plain:
            say(line)


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Say nothing: one process of several speaks for all."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield


@contextlib.contextmanager
def log_to(file: Path) -> Iterator[None]:
    """Write what is said to `file` as well."""
    global _log
    before, _log = _log, file.open("a", encoding="utf8")
    try:
        yield
    finally:
        _log.close()
        _log = before
