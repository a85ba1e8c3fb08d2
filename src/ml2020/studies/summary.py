"""What the jobs of a sweep or study showed, read from their folders alone: sweep.csv and sweep.json."""

from __future__ import annotations

import csv
import json
import math
import os
from pathlib import Path
from typing import Any

from ml2020.core import report, terminal
from ml2020.core.errors import TypedError, UserError
from ml2020.core.folder import RunFolder


def rows(folder: Path) -> list[dict[str, Any]]:
    """A row a job, best first by the main metric, then those without one: folder, label, overrides, seed, status, error, seconds, main
    and every metric as split/name."""
    found = [_row(path.parent) for path in folder.glob("*/run.json")]
    found.sort(key=lambda row: row["folder"])
    goal = next((row.pop("_goal") for row in found if "_goal" in row), "max")
    for row in found:
        row.pop("_goal", None)
    sign = 1 if goal == "min" else -1
    return sorted(found, key=lambda row: sign * row["main"] if row["main"] is not None else math.inf)


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
            row |= {"main": metrics["main"]["value"], "_goal": metrics["main"]["goal"]} | report.flat(metrics)
    except (UserError, KeyError, OSError) as error:
        row["error"] = str(error)
    return row


def write(folder: Path) -> list[dict[str, Any]]:
    """sweep.csv and sweep.json beside the jobs' folders; gives their rows."""
    found = rows(folder)
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
    half.write_text(json.dumps({"jobs": found}, indent=1, ensure_ascii=False) + "\n", encoding="utf8")
    os.replace(half, folder / "sweep.json")
    return found


def close(folder: Path) -> list[dict[str, Any]]:
    """Write the summary, say what failed, and give the rows. Raises UserError if a job did not finish."""
    found = write(folder)
    finished = [row for row in found if row["status"] == "finished"]
    terminal.say(f"{folder}: {len(finished)} of {len(found)} jobs finished; sweep.csv, sweep.json")
    for row in found:
        if row["status"] != "finished":
            terminal.say(f"  {row['status']}: {row['folder']}: {row['error'] or 'not begun'}")
    if len(finished) < len(found):
        raise UserError(
            f"{len(found) - len(finished)} of {len(found)} jobs did not finish; to try them again: python train.py resume={folder}"
        )
    return found


def summarize(folder: Path) -> list[dict[str, Any]]:
    """`ml2020 summary FOLDER`: write the summary anew and say it."""
    if not folder.is_dir():
        raise TypedError(f"there is no folder {folder}")
    if not any((folder / file).is_file() for file in ("study.json", "multirun.yaml", "sweep.json")):
        raise TypedError(f"{folder} is not the folder of a sweep or study (it holds no study.json and no multirun.yaml)")
    found = write(folder)
    shown = [(row["folder"], "" if row["main"] is None else f"{row['main']:.4f}", row["status"]) for row in found]
    terminal.table(shown)
    terminal.say(f"{folder}: sweep.csv, sweep.json")
    return found
