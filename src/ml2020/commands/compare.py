"""`ml2020 compare`: what differs between runs, from their folders alone."""

from __future__ import annotations

import json
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from ml2020.commands.runs import find, number
from ml2020.core import report
from ml2020.core.conf import dotted
from ml2020.core.errors import TypedError, UserError, suggestion
from ml2020.core.folder import RunFolder

# What a model brings along stands in the other keys already; the rest of a task's block is words for the terminal.
_SILENT = ("model.brings.", "data.brings.")
_OF_TASK = ("task.name", "task.main.name", "task.main.goal")
_FACTS = ("task", "model", "data_option", "seed", "status", "parameters", "seconds", "device", "threads", "git", "error")
_WORDS = {"data_option": "data", "git": "commit"}


@dataclass(frozen=True)
class One:
    """One of the runs that are compared. `config` and `metrics` are flat; `main` is {"name": ..., "goal": ...}."""

    path: Path
    facts: dict[str, Any]
    config: dict[str, Any]
    metrics: dict[str, float | None]
    main: dict[str, Any]


def show(words: list[str], root: Path) -> None:
    """Print how the runs in the folders `words` differ. Raises TypedError for what is no run."""
    if len(words) < 2:
        raise TypedError("type ml2020 compare RUN RUN [RUN ...], with the folders of at least two runs; ml2020 runs lists them")
    if len(words) > len(ascii_uppercase):
        raise TypedError(f"{len(words)} runs are too many side by side; ml2020 compare takes at most {len(ascii_uppercase)}")
    paths = [place(word, root) for word in words]
    for i, path in enumerate(paths):
        if path.resolve() in [other.resolve() for other in paths[:i]]:
            raise TypedError(f"{path} is given twice")
    runs = [read(path) for path in paths]
    letters = ascii_uppercase[: len(runs)]
    print("\n".join(f"{letter}  {run.path}" for letter, run in zip(letters, runs, strict=True)))
    for title, rows in (("run", facts(runs)), ("config", config(runs))):
        _print([(title, *letters), *rows])
    print("\n".join(["\ndata", *(f"  {line}" for line in data(runs))]))
    _print(metrics(runs, same_data(runs)), right=True)


def place(word: str, root: Path) -> Path:
    """The folder of a run: as typed, or beneath `root`. Raises TypedError with the nearest one, or what the folder is instead."""
    path = next((p for p in (Path(word).expanduser(), root / word) if p.is_dir()), None)
    if path is None:
        near = suggestion(word, [str(run) for run in find(root)], 0)
        raise TypedError(f"there is no folder {word}{near}")
    if not (path / "run.json").is_file() and (inside := next(find(path), None)):
        raise TypedError(f"{path} is not the folder of one run; name one of those in it, such as {inside}")
    return path


def read(path: Path) -> One:
    """A run's config, facts and metrics. Raises TypedError or UserError for what is no run or broken."""
    folder = RunFolder.open(path)
    config = folder.config()
    try:
        content = folder.metrics()
    except UserError:  # a run that did not end has none
        content = {}
    main = (config.get("task") or {}).get("main") or {}
    return One(path, folder.facts | {"status": folder.status}, dotted(config), report.flat(content), main)


def facts(runs: list[One]) -> list[tuple[str, ...]]:
    """(name, a cell a run) of what run.json says in one word."""
    rows = [(_WORDS.get(name, name), *(_fact(name, run.facts.get(name)) for run in runs)) for name in _FACTS]
    return [row for row in rows if set(row[1:]) != {"-"}]


def _fact(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if name == "git":
        return re.sub(r"^(\w{12})\w+", r"\1", str(value))
    return f"{value:,}" if type(value) is int else str(value)


def config(runs: list[One]) -> list[tuple[str, ...]]:
    """(dotted key, a cell a run) of the keys that differ."""
    rows = []
    for key in dict.fromkeys(key for run in runs for key in run.config):
        if key.startswith(_SILENT) or (key.startswith("task.") and key not in _OF_TASK):
            continue
        row = [_as_typed(run.config[key]) if key in run.config else "-" for run in runs]
        if len(set(row)) > 1:
            rows.append((key, *row))
    return rows or [("no key differs", *[""] * len(runs))]


def _as_typed(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


def data(runs: list[One]) -> list[str]:
    """What the runs were trained on, and whether their figures can be compared."""
    groups: dict[str, list[str]] = {}
    for letter, facts in zip(ascii_uppercase, _data_of(runs), strict=False):
        counts = ", ".join(f"{count:,} {words}" for words, count in (facts.get("counts") or {}).items())
        said = f"{facts.get('name')} ({facts.get('kind')}): {counts}" if facts else "not known: the run ended before it read its data"
        groups.setdefault(said, []).append(letter)
    lines = [f"{' '.join(letters)}  {said}" for said, letters in groups.items()]
    quick = [letter for letter, run in zip(ascii_uppercase, runs, strict=False) if run.config.get("quick") is True]
    return [*lines, verdict(runs)] + ([f"quick=true in {', '.join(quick)}: its figures mean nothing"] if quick else [])


def same_data(runs: list[One]) -> bool:
    """Whether all runs had the same data in the same splits."""
    marks = {(facts.get("fingerprint"), json.dumps(facts.get("counts"))) for facts in _data_of(runs)}
    return len(marks) == 1 and bool(next(iter(marks))[0])


def verdict(runs: list[One]) -> str:
    """One line on whether the figures stand for the same thing."""
    seen = _data_of(runs)
    prints = [facts.get("fingerprint") for facts in seen]
    if not all(prints):
        return "whether it is the same data is not known: figures cannot be compared"
    if same_data(runs):
        return f"the same data and splits (fingerprint {prints[0]})"
    if len({facts.get("name") for facts in seen}) > 1:
        return "different data: figures cannot be compared"
    how = "of other sizes" if len(set(prints)) == 1 else "drawn, split or decoded in another way"
    return f"different data (the same source, {how}): figures cannot be compared"


def _data_of(runs: list[One]) -> list[dict[str, Any]]:
    return [run.facts.get("data") or {} for run in runs]


def metrics(runs: list[One], comparable: bool) -> list[tuple[str, ...]]:
    """Head and rows of the metrics: the main one first, then the same measure on other splits, whose best is marked too.

    Two runs get the difference of the second to the first. Nothing is marked or subtracted where `comparable` is false.
    """
    mains = {json.dumps(run.main, sort_keys=True) for run in runs}
    main = runs[0].main if len(mains) == 1 else {}
    measure = str(main.get("name")).partition("/")[2]
    names = dict.fromkeys(name for run in runs for name in run.metrics)
    two = len(runs) == 2 and comparable
    rows: list[tuple[str, ...]] = [("metrics", *ascii_uppercase[: len(runs)], *(["B - A"] if two else []))]
    for name in sorted(names, key=lambda name: (name != main.get("name"), name.partition("/")[2] != measure)):
        values = [run.metrics.get(name) for run in runs]
        best = _best(values, main["goal"]) if comparable and name.partition("/")[2] == measure else None
        cells = [number(v) if v is not None or name not in run.metrics else "not finite" for v, run in zip(values, runs, strict=True)]
        cells = [cell + ("*" if v is not None and v == best else " ") for cell, v in zip(cells, values, strict=True)]
        rows.append((name, *cells, *([_difference(*values)] if two else [])))
    return rows if names else [*rows, ("no run has metrics.json", *[""] * (len(rows[0]) - 1))]


def _best(values: list[float | None], goal: str) -> float | None:
    known = [value for value in values if value is not None]
    if len(set(known)) < 2:
        return None
    return max(known) if goal == "max" else min(known)


def _difference(first: float | None, second: float | None) -> str:
    if first is None or second is None:
        return "-"
    return ("-" if second < first else "+") + number(abs(second - first))


def _print(rows: list[tuple[str, ...]], right: bool = False) -> None:
    """Rows under their head, after an empty line; on a terminal long cells are cut, so that a row stays one line."""
    rows = [rows[0], *(("  " + row[0], *row[1:]) for row in rows[1:])]
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    if sys.stdout.isatty():
        each = max(8, (shutil.get_terminal_size().columns - widths[0]) // (len(widths) - 1) - 2)
        widths = [widths[0], *(min(width, each) for width in widths[1:])]
    print()
    for name, *cells in rows:
        cut = [cell if len(cell) <= width else cell[: width - 1] + "…" for cell, width in zip(cells, widths[1:], strict=True)]
        rest = [cell.rjust(width) if right else cell.ljust(width) for cell, width in zip(cut, widths[1:], strict=True)]
        print("  ".join([name.ljust(widths[0]), *rest]).rstrip())
