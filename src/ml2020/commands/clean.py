"""`ml2020 clean`: what could be removed, and removing it. Only folders of runs, half-written files in them, and the cache."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ml2020.commands.runs import Found, find, look
from ml2020.core.errors import TypedError, UserError, suggestion
from ml2020.core.folder import in_use

KINDS = {
    "failed": "runs that failed",
    "interrupted": "runs that were stopped; python train.py resume=FOLDER goes on with one",
    "quick": "runs with quick=true",
    "tmp": "half-written files",
    "cache": "decoded and rendered data; made again when needed",
}


@dataclass(frozen=True)
class Item:
    """Something that could be removed: a run's folder, a file in one, or a folder of the cache. `lock` is held while it goes."""

    path: Path
    kinds: frozenset[str]
    size: int
    lock: Path


def clean(root: Path, words: list[str], named: dict[str, str]) -> None:
    """Say what could be removed under `root` and in the cache; with kinds among `words` list it, with yes remove it.

    `named` is what was typed as key=value (cache_dir, output_dir). Raises TypedError for a word that is no kind.
    """
    _check_words(words)
    kinds = [kind for kind in KINDS if kind in words]
    if words and not kinds:
        raise TypedError(f"say what to remove: ml2020 clean {' | '.join(KINDS)}, then yes")
    command = shlex.join(["ml2020", "clean", *(f"{key}={value}" for key, value in named.items())]) + " "
    items = [*_of_runs(root), *_of_cache(cache_folder(named.get("cache_dir")))]
    if not kinds:
        return _overview(items, command, root)
    chosen = [item for item in items if item.kinds & set(kinds)]
    # A half-written file in a run that goes as a whole needs no line of its own.
    folders = {item.path for item in chosen}
    chosen = [item for item in chosen if not folders & set(item.path.parents)]
    if not chosen:
        print(f"nothing to remove ({', '.join(kinds)})" + ("" if kinds == ["cache"] else f" under {root}"))
    elif "yes" in words:
        _remove(chosen)
    else:
        _list(chosen)
        print(f"{len(chosen)} in all, {_bytes(sum(item.size for item in chosen))}; nothing has been removed")
        print(f"to remove them: {command}{' '.join(kinds)} yes")


def _check_words(words: list[str]) -> None:
    for word in words:
        if word in KINDS or word == "yes":
            continue
        if Path(word).exists():
            one = (Path(word) / "run.json").is_file()
            how = f"to remove this one run: rm -r {word}" if one else f"for what is in it: ml2020 clean output_dir={word}"
            raise TypedError(f"ml2020 clean takes kinds ({', '.join(KINDS)}), not folders; {how}")
        raise TypedError(f"ml2020 clean knows no {word}{suggestion(word, [*KINDS, 'yes'])}")


def cache_folder(typed: str | None) -> Path:
    """Where decoded and rendered data is kept: cache_dir=, ML2020_CACHE_DIR, or the user's cache folder."""
    from ml2020.data.cache import folder

    path = folder(typed or os.environ.get("ML2020_CACHE_DIR"))
    if typed and not path.is_dir():
        raise TypedError(f"there is no folder {path}")
    return path


def _of_runs(root: Path) -> Iterator[Item]:
    """Folders of runs that failed, were stopped or were quick, and half-written files; nothing in which somebody works."""
    working: dict[Path, bool] = {}
    for path in find(root, links=False):
        run = look(path)
        if path.is_symlink() or "schema" not in run.facts or in_use(path):
            continue
        if path.parent not in working:  # a study or sweep that goes on reads its finished jobs at the end
            working[path.parent] = in_use(path.parent)
        if working[path.parent]:
            continue
        kinds = {run.status} & {"failed", "interrupted"} | ({"quick"} if _is_quick(run) else set())
        if kinds:
            yield Item(path, frozenset(kinds), _size(path), path / ".lock")
        for file in _files(path):
            if file.suffix == ".tmp":
                yield Item(file, frozenset({"tmp"}), file.lstat().st_size, path / ".lock")


def _is_quick(run: Found) -> bool:
    if "quick=true" in str(run.facts.get("command")).split():
        return True
    try:
        return bool(re.search(r"^quick: true\s*$", (run.path / "config.yaml").read_text(), re.M))
    except (OSError, ValueError):
        return False


def _of_cache(folder: Path) -> Iterator[Item]:
    """Whole arrays and half-made ones; anything else that lies there is not the cache's."""
    for place in sorted(folder.iterdir()) if folder.is_dir() else []:
        ours = (place / "key.json").is_file() or place.suffix == ".half"
        if ours and place.is_dir() and not place.is_symlink() and re.search(r"-[0-9a-f]{16}$", place.stem):
            yield Item(place, frozenset({"cache"}), _size(place), place.with_suffix(".lock"))


def _files(path: Path) -> Iterator[Path]:
    """The plain files in a folder, however deep; symbolic links are not followed and not among them."""
    for folder, _, names in os.walk(path):
        for name in sorted(names):
            file = Path(folder, name)
            if file.is_file() and not file.is_symlink():
                yield file


def _size(path: Path) -> int:
    return sum(file.lstat().st_size for file in _files(path))


def _bytes(size: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            return f"{size:.0f} {unit}" if unit == "bytes" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1000
    raise AssertionError


def _overview(items: list[Item], command: str, root: Path) -> None:
    rows = []
    for kind, words in KINDS.items():
        own = [item for item in items if kind in item.kinds]
        if own:
            rows.append((kind, str(len(own)), _bytes(sum(item.size for item in own)), words))
    if not rows:
        print(f"nothing to remove under {root}, and the cache is empty")
        return
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    for kind, count, size, words in rows:
        print(f"{kind.ljust(widths[0])}  {count.rjust(widths[1])}  {size.rjust(widths[2])}  {words}")
    print(f"nothing has been removed; to see which: {command}{rows[0][0]}; to remove them: {command}{rows[0][0]} yes")


def _list(items: list[Item]) -> None:
    for item in items:
        print(f"{', '.join(sorted(item.kinds)):<18}  {_bytes(item.size):>9}  {item.path}")


def _remove(items: list[Item]) -> None:
    """Remove each of them, under its lock. Raises UserError at the end if something had to stay."""
    gone = 0
    kept = []
    for item in items:
        try:
            with _held(item.lock):
                _remove_one(item.path)
        except OSError as error:
            kept.append(f"{item.path} ({'in use' if isinstance(error, BlockingIOError) else error.strerror})")
            continue
        gone += item.size
        print(f"removed {item.path}")
    print(f"{_bytes(gone)} freed")
    if kept:
        raise UserError(f"{len(kept)} of {len(items)} could not be removed: {', '.join(kept)}")


def _remove_one(path: Path) -> None:
    """A file, or a folder with what makes it a run last: half gone when this is killed, it is still found by the next call."""
    if path.is_file():
        path.unlink()
        return
    for entry in path.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry.name not in ("run.json", "config.yaml", ".lock"):
            entry.unlink()
    shutil.rmtree(path)


@contextlib.contextmanager
def _held(lock: Path) -> Iterator[None]:
    """The lock of a folder, if it has one. Raises BlockingIOError where another process has it."""
    if not lock.exists():
        yield
        return
    with lock.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
