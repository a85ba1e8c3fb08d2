"""SIGINT and SIGTERM, handed to whoever is responsible at the moment."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def heeded(heed: Callable[[int, Any], None]) -> Iterator[None]:
    """`heed(number, frame)` gets SIGINT and SIGTERM; afterwards they go where they did before (main thread only)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, heed) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
