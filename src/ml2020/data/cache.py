"""Arrays that take long to make are made once and kept: decoded pictures, rendered drawings."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml2020.core.errors import UserError

if TYPE_CHECKING:
    import numpy as np


def folder(cache_dir: str | None) -> Path:
    """The cache: `cache_dir`, or `ml2020` in the user's cache folder."""
    if cache_dir:
        return Path(cache_dir).expanduser()
    home = Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache")
    return Path(os.environ.get("XDG_CACHE_HOME") or home) / "ml2020"


def fingerprint(key: dict[str, Any]) -> str:
    """Sixteen hex digits that change with anything in `key` (plain data)."""
    return hashlib.sha256(json.dumps(key, sort_keys=True, default=str).encode()).hexdigest()[:16]


def cached(cache_dir: str | None, name: str, key: dict[str, Any], make: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The arrays that `make()` returns, from disk where they were made before under the same `key`.

    Two processes at once make them once: the second waits for the first. What is half written or damaged never counts: it is made
    again. Raises UserError where the cache cannot be written.
    """
    import numpy as np

    place = folder(cache_dir) / f"{name}-{fingerprint(key)}"
    with _locked(place.with_suffix(".lock")):
        arrays = _read(place)
        if arrays is None:
            # The same layout in memory as from disk: convolutions of other strides round otherwise.
            arrays = {name: np.ascontiguousarray(array) for name, array in make().items()}
            _write(place, key, arrays)
        return arrays


def _read(place: Path) -> dict[str, np.ndarray] | None:
    """The arrays in a folder of the cache, or None where one of them is missing, damaged or no array (nothing in it is unpickled)."""
    import numpy as np

    try:
        names = json.loads((place / "key.json").read_text())["arrays"]
        return {name: np.load(place / f"{name}.npy", allow_pickle=False) for name in names}
    except (OSError, ValueError, EOFError, KeyError, TypeError):
        return None


def _write(place: Path, key: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    import numpy as np

    half = place.with_suffix(".half")
    shutil.rmtree(half, ignore_errors=True)
    shutil.rmtree(place, ignore_errors=True)
    with _worded(place.parent):
        half.mkdir(parents=True)
        for name, array in arrays.items():
            np.save(half / f"{name}.npy", array, allow_pickle=False)
        (half / "key.json").write_text(json.dumps({"key": key, "arrays": list(arrays)}, indent=1, sort_keys=True, default=str))
        half.rename(place)


@contextlib.contextmanager
def _locked(file: Path) -> Iterator[None]:
    with _worded(file.parent):
        file.parent.mkdir(parents=True, exist_ok=True)
        handle = file.open("w")
    with handle:
        fcntl.flock(handle, fcntl.LOCK_EX)  # the system lets go of it when the process ends, however it ends
        yield


@contextlib.contextmanager
def _worded(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"the cache {place} cannot be written: {error.strerror or error}; cache_dir= chooses another folder") from error
