"""What the jobs of a sweep or study showed, read from their folders alone: sweep.csv, sweep.json, sweep.png and the ranked table."""

from __future__ import annotations

import contextlib
import csv
import json
import math
import os
import re
import shlex
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ml2020.core import report, terminal
from ml2020.core.errors import TypedError, UserError
from ml2020.core.folder import RunFolder

_SHOWN = 30  # lines of the table on the terminal
_PLACES = ("output_dir", "cache_dir", "data_dir", "data.path", "name")  # words that say where, not what
_LISTS = ("study.json", "sweep_jobs.json", "search.json", "multirun.yaml", "sweep.json")


def rows(folder: Path) -> list[dict[str, Any]]:
    """A row a job, best first by the main metric, then those without one: folder, label, overrides, seed, status, error, seconds, main
    and every metric as split/name."""
    return _ranked(folder)[0]


def _ranked(folder: Path) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """The rows, and {"name", "goal"} of the main metric."""
    found = [_row(path.parent) for path in folder.glob("*/run.json")]
    found.sort(key=lambda row: (_number(row["folder"]), row["folder"]))
    mains = [main for row in found if (main := row.pop("_main", None))]
    main = mains[0] if mains else {"name": "main", "goal": "max"}
    sign = 1 if main["goal"] == "min" else -1
    return sorted(found, key=lambda row: sign * row["main"] if row["main"] is not None else math.inf), main


def _number(name: str) -> int:
    digits = name.partition("_")[0]
    return int(digits) if digits.isdigit() else -1


def _row(path: Path) -> dict[str, Any]:
    row: dict[str, Any] = {"folder": path.name, "label": "", "overrides": "", "seed": None, "status": "unreadable", "error": None}
    row |= {"seconds": None, "main": None}
    try:
        run = RunFolder.open(path)
        facts = run.facts
        row |= {"label": facts.get("label") or "", "overrides": " ".join(facts["overrides"]), "seed": facts["seed"]}
        row |= {"status": run.status, "error": facts.get("error"), "seconds": facts.get("seconds")}
        if row["status"] == "finished":
            metrics = run.metrics()
            main = metrics["main"]
            row |= {"main": main["value"], "_main": {"name": main["name"], "goal": main["goal"]}} | report.flat(metrics)
    except (UserError, KeyError, OSError) as error:
        row["error"] = str(error)
    return row


def words_of(row: dict[str, Any]) -> dict[str, str]:
    """{key: value} of what was typed for a job."""
    return dict(word.partition("=")[::2] for word in row["overrides"].split(" ") if "=" in word)


def swept(found: list[dict[str, Any]]) -> list[str]:
    """The keys whose typed values differ between the jobs, without the seed, in the order in which they were typed."""
    typed = [words_of(row) for row in found]
    keys = list(dict.fromkeys(key for words in typed for key in words))
    return [key for key in keys if key not in ("seed", *_PLACES) and len({words.get(key) for words in typed}) > 1]


def groups(found: list[dict[str, Any]], main: dict[str, str]) -> list[dict[str, Any]]:
    """Jobs that differ in the seed alone, as one row each: words, seeds, mean and standard deviation of main and test; best first."""
    test = "test/" + main["name"].partition("/")[2]
    keys, by_words = swept(found), {}
    for row in found:
        words = words_of(row)
        by_words.setdefault(" ".join(f"{key}={words[key]}" for key in keys if key in words), []).append(row)
    made = []
    for words, members in by_words.items():
        one: dict[str, Any] = {"words": words, "jobs": len(members)}
        for name, key in (("main", "main"), ("test", test)):
            values = [row[key] for row in members if row.get(key) is not None]
            one[name] = statistics.mean(values) if values else None
            one[f"{name}_sd"] = statistics.stdev(values) if len(values) > 1 else None
            one["seeds"] = len(values) if name == "main" else one["seeds"]
        made.append(one)
    sign = 1 if main["goal"] == "min" else -1
    return sorted(made, key=lambda one: sign * one["main"] if one["main"] is not None else math.inf)


def write(folder: Path) -> list[dict[str, Any]]:
    """sweep.csv and sweep.json beside the jobs' folders; gives their rows."""
    return _written(folder)[0]


def _written(folder: Path) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """`write`; gives what `_ranked` gives: the folders are read once."""
    found, main = _ranked(folder)
    if not found:
        raise TypedError(f"{folder} holds no jobs (no folders with a run.json)")
    columns = list(dict.fromkeys(key for row in found for key in row))
    half = folder / "sweep.csv.tmp"
    with half.open("w", newline="", encoding="utf8") as stream:
        writer = csv.DictWriter(stream, columns)
        writer.writeheader()
        writer.writerows(found)
    os.replace(half, folder / "sweep.csv")
    half = folder / "sweep.json.tmp"
    content = {"main": main, "groups": groups(found, main), "jobs": found}
    half.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf8")
    os.replace(half, folder / "sweep.json")
    return found, main


def show(folder: Path, ranked_too: bool = True) -> list[dict[str, Any]]:
    """Write the summary, and say it: the ranked table (a study has its own), the picture, what failed, and how to repeat the best."""
    found, main = _written(folder)
    ranked = groups(found, main)
    best = [row for row in found if row["main"] is not None]
    if best:
        if ranked_too:
            terminal.table(table(ranked, main))
        draw(folder, found, main)
    counts = {status: sum(row["status"] == status for row in found) for status in dict.fromkeys(row["status"] for row in found)}
    terminal.say(f"{len(found)} jobs: " + ", ".join(f"{count} {status}" for status, count in counts.items()))
    for row in sorted(found, key=lambda row: _number(row["folder"])):
        if row["status"] not in ("finished", "pruned"):
            terminal.say(f"  {row['status']}: {row['folder']}: {row['error'] or 'not begun'}")
    terminal.say(f"{folder}: {', '.join(file for file in FILES if (folder / file).is_file())}")
    if best and (command := again(folder / best[0]["folder"])):
        terminal.say(f"the best again: {command}")
    return found


FILES = ("sweep.csv", "sweep.json", "sweep.png", "sweep_task.png", "pareto.png", "table.csv", "figure.png")


def table(ranked: list[dict[str, Any]], main: dict[str, str]) -> list[tuple[str, ...]]:
    """Header, then a line a combination: its words, the main metric, the same on the test split, and the seeds."""
    several = any(one["seeds"] > 1 for one in ranked)
    tested = any(one["test"] is not None for one in ranked)
    head = ("", main["name"], *(["test"] if tested else []), *(["seeds"] if several else []))
    lines = [head]
    shown = [one for one in ranked if one["main"] is not None]
    for one in shown[:_SHOWN]:
        cells = [_short(one["words"]) or "as it stands", _mean(one["main"], one["main_sd"])]
        cells += [_mean(one["test"], one["test_sd"])] if tested else []
        lines.append((*cells, *([str(one["seeds"])] if several else [])))
    return lines + ([(f"and {len(shown) - _SHOWN} more in sweep.csv", *[""] * (len(head) - 1))] if len(shown) > _SHOWN else [])


def _short(words: str) -> str:
    """Words with the long numbers of a search cut to four digits, for reading."""
    return re.sub(r"=(\d*\.\d{5,}(?:e-?\d+)?)(?=\s|$)", lambda found: f"={float(found[1]):.4g}", words)


def _mean(value: float | None, spread: float | None) -> str:
    return "-" if value is None else f"{value:.4g}" + ("" if spread is None else f" ± {spread:.2g}")


def draw(folder: Path, found: list[dict[str, Any]], main: dict[str, str]) -> None:
    """sweep.png, and what the task's `sweep_figure` draws."""
    from ml2020.studies.picture import of_task, sweep_picture

    sweep_picture(found, main, source(folder, found)).savefig(folder / "sweep.png", dpi=110)
    if figure := of_task(folder, found):
        figure.savefig(folder / "sweep_task.png", dpi=110)


def source(folder: Path, found: list[dict[str, Any]]) -> str:
    """What the data of the jobs is, for the edge of a picture."""
    facts = RunFolder.open(folder / found[0]["folder"]).facts
    return (facts.get("data") or {}).get("name", "")


def again(path: Path) -> str:
    """What to type for a job once more, by itself; nothing where its folder does not say it."""
    words = shlex.split(RunFolder.open(path).facts.get("command") or "")
    return shlex.join(word for word in words if not word.startswith(("name=", "output_dir=", "sweep=", "sweep.")))


def close(folder: Path, ranked_too: bool = True) -> list[dict[str, Any]]:
    """`show`, and the rows. Raises UserError if a job did not finish."""
    found = show(folder, ranked_too)
    lost = [row for row in found if row["status"] not in ("finished", "pruned")]
    if lost:
        raise UserError(f"{len(lost)} of {len(found)} jobs did not finish; to try them again: python train.py resume={folder}")
    return found


@contextlib.contextmanager
def on_stop(folder: Path) -> Iterator[None]:
    """Say how to go on where a signal ends what is inside."""
    try:
        yield
    except (SystemExit, KeyboardInterrupt):
        terminal.warn(f"stopped; to go on: python train.py resume={folder}")
        raise


def summarize(folder: Path) -> list[dict[str, Any]]:
    """`ml2020 summary FOLDER`: write the summary anew and say it."""
    if not folder.is_dir():
        raise TypedError(f"there is no folder {folder}")
    if not any((folder / file).is_file() for file in _LISTS):
        raise TypedError(f"{folder} is not the folder of a sweep or study (it holds no sweep_jobs.json and no study.json)")
    return show(folder)
