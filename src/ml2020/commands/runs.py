"""`ml2020 runs`: every run under the output folder, newest first."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ml2020.core.conf import options
from ml2020.core.errors import TypedError, UserError, suggestion
from ml2020.core.folder import RunFolder

STATUSES = ("waiting", "running", "finished", "failed", "interrupted", "pruned", "unreadable")
_DEPTH = 4  # <output>/<task>/sweeps/<date>_<time>/<job>
_COLUMNS = ("started", "task", "model", "seed", "status", "metric", "value", "seconds", "folder")
_ALWAYS = ("status", "value", "folder")
_WISHED = ("model", "seed", "metric", "seconds", "task", "started")  # on a narrow terminal, what there is room for
_NUMBERS = ("seed", "value", "seconds")
_HEAD = {name: name for name in _COLUMNS}


@dataclass(frozen=True)
class Found:
    """A run as it lies on the disk. `facts` is empty where run.json cannot be read; `main` is (name, value) where it has metrics."""

    path: Path
    status: str
    facts: dict[str, Any]
    main: tuple[str, float | None] | None

    @property
    def moment(self) -> float:
        """When it began, in seconds; for a run that does not say, when its run.json was written."""
        try:
            return datetime.fromisoformat(self.facts["started"]).timestamp()
        except (KeyError, TypeError, ValueError):
            return (self.path / "run.json").stat().st_mtime

    def cells(self) -> dict[str, str]:
        """Its row of the table, as text."""
        name, value = self.main or ("-", None)
        seconds = self.facts.get("seconds")
        return {
            "started": str(self.facts.get("started", "-"))[:19].replace("T", " "),
            "task": str(self.facts.get("task", "-")),
            "model": str(self.facts.get("model", "-")),
            "seed": str(self.facts.get("seed", "-")),
            "status": self.status,
            "metric": name,
            "value": number(value),
            "seconds": f"{seconds:,.0f}" if isinstance(seconds, int | float) else "-",
            "folder": str(self.path),
        }


def number(value: float | None) -> str:
    """A metric in four digits behind the point, or in few digits where that says nothing; - for none."""
    if value is None:
        return "-"
    return f"{value:.4f}" if value == 0 or 1e-3 <= abs(value) < 1e6 else f"{value:.3g}"


def find(root: Path, links: bool = True, depth: int = _DEPTH) -> Iterator[Path]:
    """The folders of runs under `root`, jobs of sweeps too; `links` says whether symbolic links are followed."""
    try:
        if (root / "run.json").is_file():
            yield root
            return
        inside = sorted(entry for entry in root.iterdir() if not entry.name.startswith(".")) if depth and root.is_dir() else []
    except OSError:  # a folder that may not be read holds nothing for us
        return
    for entry in inside:
        if links or not entry.is_symlink():
            yield from find(entry, links, depth - 1)


def look(path: Path) -> Found:
    """What a run's folder says; never raises for a broken one."""
    try:
        folder = RunFolder.open(path)
    except (UserError, OSError):
        return Found(path, "unreadable", {}, None)
    return Found(path, str(folder.status), folder.facts, _main_metric(folder))


def _main_metric(folder: RunFolder) -> tuple[str, float | None] | None:
    try:
        main = folder.metrics()["main"]
        return str(main["name"]), None if main["value"] is None else float(main["value"])
    except (UserError, ValueError, KeyError, TypeError):
        return None


def show(root: Path, words: list[str]) -> None:
    """Print the table of the runs under `root` that fit `words`. Raises TypedError for a word that means nothing here."""
    every = sorted((look(path) for path in find(root)), key=lambda run: run.moment, reverse=True)
    if not every:
        print(f"there are no runs under {root} yet; begin with: python train.py task={options('task')[0]} quick=true")
        return
    kept = [run for run in every if _fits(run, words)]
    if not kept:
        _check_words(words, every, root)
        print(f"of {len(every)} run(s) under {root} none fits {' '.join(words)}")
        return
    print(table([run.cells() for run in kept], shutil.get_terminal_size().columns if sys.stdout.isatty() else None))


def _fits(run: Found, words: list[str]) -> bool:
    statuses = [word for word in words if word in STATUSES]
    own = {str(run.facts.get(key)) for key in ("task", "model", "data_option")} | {f"seed={run.facts.get('seed')}"}
    return (not statuses or run.status in statuses) and all(w in own or w in str(run.path) for w in words if w not in statuses)


def _check_words(words: list[str], every: list[Found], root: Path) -> None:
    """A word that fits no run, and is no task, model or status either, is a slip."""
    known = {*STATUSES, *options("task"), *options("model"), *options("data")}
    for word in words:
        if word not in known and not any(_fits(run, [word]) for run in every):
            raise TypedError(f"no run under {root} fits {word}{suggestion(word, [*known, 'output_dir='], 0)}")


def table(rows: list[dict[str, str]], width: int | None) -> str:
    """The rows in aligned columns: all of them for `width` None, else those with room in so many characters.

    Where a folder leaves no room for anything beside it, it stands whole in a line of its own.
    """
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in _COLUMNS}
    if width is None:
        return "\n".join(_line(row, widths, list(_COLUMNS)) for row in [_HEAD, *rows])
    beside = sum(widths[name] + 2 for name in _ALWAYS) - 2 <= width
    chosen = {name for name in _ALWAYS if beside or name != "folder"}
    for name in _WISHED:
        if sum(widths[one] + 2 for one in chosen | {name}) - 2 <= width:
            chosen.add(name)
    columns = [name for name in _COLUMNS if name in chosen]
    lines = [_line(_HEAD, widths, columns)]
    for row in rows:
        lines += [_line(row, widths, columns)] + ([] if beside else [f"  {row['folder']}"])
    if len(columns) + (not beside) < len(_COLUMNS):
        lines += ["", "narrow terminal: ml2020 runs | cat has every column"]
    return "\n".join(lines)


def _line(row: dict[str, str], widths: dict[str, int], columns: list[str]) -> str:
    cells = [row[name].rjust(widths[name]) if name in _NUMBERS else row[name].ljust(widths[name]) for name in columns]
    return "  ".join(cells).rstrip()
