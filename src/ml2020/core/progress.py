"""Progress of long work outside the fit, such as rendering or decoding."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from ml2020.core import terminal

T = TypeVar("T")


def progress(items: Iterable[T], label: str, total: int) -> Iterator[T]:
    """Pass `items` on, drawing a bar on a terminal, or saying `label` once where there is none."""
    if not terminal.live():
        terminal.say(f"{label} ({total:,})")
        yield from items
        return
    from rich.progress import track

    yield from track(items, label, total, console=terminal.console(), transient=True)
