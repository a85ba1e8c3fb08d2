"""sweep.png: how the main metric depends on what was swept.

One number gives a line, two keys a heat map, words bars, more keys a panel each.
"""

from __future__ import annotations

import importlib
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from matplotlib.figure import Figure

from ml2020.core.conf import CONF
from ml2020.core.folder import RunFolder
from ml2020.studies.summary import swept, words_of

_BLUE, _GREY = "#1f5fa8", "0.55"


def sweep_picture(found: list[dict[str, Any]], main: dict[str, str], source: str = "") -> Figure:
    """The figure of the rows of a sweep; jobs without a main metric are left out. `source` says what the data is."""
    rows = [row for row in found if row["main"] is not None]
    keys = swept(rows)
    if len(keys) == 2 and len(rows) >= 0.7 * np.prod([len(_levels(rows, key)) for key in keys]):
        figure = _heat_map(rows, keys, main)
    elif len(keys) >= 2:
        figure = _panels(rows, keys, main)
    elif keys and _are_numbers(rows, keys[0]):
        figure = _line(rows, keys[0], main)
    else:
        figure = _bars(rows, keys[0] if keys else "seed", main)
    better = "less is better" if main["goal"] == "min" else "more is better"
    later = "; a point a job, darker: later" if len(keys) > 2 else ""
    figure.suptitle(f"{main['name']} ({better}{later})", fontsize=11)
    figure.get_layout_engine().set(rect=(0, 0.03, 1, 0.97))  # room for the line that says what the data is
    figure.text(0.995, 0.005, source, ha="right", va="bottom", fontsize=6, color="0.45")
    return figure


def of_task(folder: Path, found: list[dict[str, Any]]) -> Figure | None:
    """What the `sweep_figure` of the task's YAML draws of the rows, where there is one; None where it has nothing to draw."""
    task = RunFolder.open(folder / found[0]["folder"]).facts["task"]
    file = CONF / "task" / f"{task}.yaml"
    name = (yaml.safe_load(file.read_text())["task"] if file.is_file() else {}).get("sweep_figure")
    if not name or not str(name).startswith("ml2020.tasks."):
        return None
    module, _, function = name.rpartition(".")
    return getattr(importlib.import_module(module), function)(found)


def _value(row: dict[str, Any], key: str) -> str:
    return str(row["seed"]) if key == "seed" else words_of(row).get(key, "as it stands")


def _are_numbers(rows: list[dict[str, Any]], key: str) -> bool:
    try:
        return [float(_value(row, key)) for row in rows] != []
    except ValueError:
        return False


def _levels(rows: list[dict[str, Any]], key: str) -> list[str]:
    """The values of a key: numbers by size, words in the order of their jobs."""
    levels = list(dict.fromkeys(_value(row, key) for row in sorted(rows, key=lambda row: row["folder"])))
    return sorted(levels, key=float) if _are_numbers(rows, key) else levels


def _over_seeds(rows: list[dict[str, Any]], key: str, name: str) -> tuple[list[str], list[float], list[float]]:
    """(levels, means, standard deviations) of a metric over the jobs of each level; levels without one are left out."""
    found = [
        (level, [row[name] for row in rows if _value(row, key) == level and row.get(name) is not None]) for level in _levels(rows, key)
    ]
    found = [(level, values) for level, values in found if values]
    spreads = [statistics.stdev(values) if len(values) > 1 else 0.0 for _, values in found]
    return [level for level, _ in found], [statistics.mean(values) for _, values in found], spreads


def _new(width: float = 6.4, height: float = 4.2) -> Figure:
    return Figure(figsize=(width, height), layout="constrained")


def _line(rows: list[dict[str, Any]], key: str, main: dict[str, str]) -> Figure:
    figure = _new()
    axes = figure.subplots()
    test = "test/" + main["name"].partition("/")[2]
    for name, label, colour, style in ((test, test, _GREY, "--"), ("main", main["name"], _BLUE, "-")):
        levels, means, spreads = _over_seeds(rows, key, name)
        if levels:
            axes.errorbar([float(x) for x in levels], means, spreads, fmt=f"o{style}", color=colour, capsize=3, label=label)
    _scale(axes, [float(level) for level in _levels(rows, key)])
    axes.set(xlabel=key, ylabel=main["name"])
    axes.grid(alpha=0.25)
    axes.legend(title=_spread_words(rows, [key]), fontsize=8, title_fontsize=7)
    return figure


def _scale(axes: Any, values: list[float]) -> None:
    """A logarithmic axis for numbers of several sizes; linear near 0 where a 0 is among them."""
    positive = [value for value in values if value > 0]
    if not positive or min(values) < 0 or max(positive) < 10 * min(positive):
        return
    axes.set_xscale("symlog", linthresh=min(positive)) if min(values) == 0 else axes.set_xscale("log")
    axes.set_xticks(values, [f"{value:g}" for value in values]) if len(values) <= 10 else None
    axes.minorticks_off()


def _spread_words(rows: list[dict[str, Any]], keys: list[str]) -> str:
    most = max(sum(all(_value(a, key) == _value(b, key) for key in keys) for b in rows) for a in rows)
    return f"mean and standard deviation, {most} seeds" if most > 1 else "one seed"


def _bars(rows: list[dict[str, Any]], key: str, main: dict[str, str]) -> Figure:
    levels, means, spreads = _over_seeds(rows, key, "main")
    figure = _new(height=1.6 + 0.4 * len(levels))
    axes = figure.subplots()
    places = np.arange(len(levels))[::-1]
    axes.barh(places, means, xerr=spreads if any(spreads) else None, color=_BLUE, height=0.6, capsize=3)
    for place, mean in zip(places, means, strict=True):
        axes.annotate(f"{mean:.4g}", (0, place), xytext=(4, 0), textcoords="offset points", va="center", color="white", fontsize=8)
    axes.set_yticks(places, levels)
    axes.set(ylabel=key, xlabel=main["name"] + ("" if key == "seed" else f" ({_spread_words(rows, [key])})"))
    return figure


def _heat_map(rows: list[dict[str, Any]], keys: list[str], main: dict[str, str]) -> Figure:
    down, across = (_levels(rows, key) for key in keys)
    cells = np.full((len(down), len(across)), np.nan)
    for i, a in enumerate(down):
        for j, b in enumerate(across):
            values = [row["main"] for row in rows if _value(row, keys[0]) == a and _value(row, keys[1]) == b]
            cells[i, j] = statistics.mean(values) if values else np.nan
    figure = _new(2.2 + 0.9 * len(across), 1.8 + 0.55 * len(down))
    axes = figure.subplots()
    shown = axes.imshow(cells, cmap="viridis_r" if main["goal"] == "min" else "viridis", aspect="auto")
    middle = (np.nanmin(cells) + np.nanmax(cells)) / 2
    for (i, j), value in np.ndenumerate(cells):
        bright = (value > middle) == (main["goal"] == "max")
        axes.text(
            j, i, "-" if np.isnan(value) else f"{value:.4g}", ha="center", va="center", fontsize=8, color="black" if bright else "white"
        )
    axes.set_xticks(range(len(across)), across)
    axes.set_yticks(range(len(down)), down)
    axes.set(xlabel=f"{keys[1]}   ({_spread_words(rows, keys)})", ylabel=keys[0])
    figure.colorbar(shown, ax=axes)
    return figure


def _panels(rows: list[dict[str, Any]], keys: list[str], main: dict[str, str]) -> Figure:
    """A panel a key, a point a job: darker where it came later."""
    across = min(3, len(keys))
    down = -(-len(keys) // across)
    figure = _new(3.2 * across + 0.4, 2.7 * down + 0.4)
    order = {row["folder"]: number for number, row in enumerate(sorted(rows, key=lambda row: int(row["folder"].split("_")[0])))}
    for axes, key in zip(figure.subplots(down, across, sharey=True, squeeze=False).flat, keys, strict=False):
        numbers = _are_numbers(rows, key)
        x = [float(_value(row, key)) if numbers else _levels(rows, key).index(_value(row, key)) for row in rows]
        axes.scatter(
            x,
            [row["main"] for row in rows],
            c=[order[row["folder"]] for row in rows],
            cmap="Blues",
            edgecolor="0.3",
            vmin=-len(rows) / 2,
        )
        if numbers and min(x) > 0 and max(x) > 20 * min(x):
            axes.set_xscale("log")
        elif not numbers:
            axes.set_xticks(range(len(_levels(rows, key))), _levels(rows, key))
        axes.set_xlabel(key, fontsize=8)
        axes.grid(alpha=0.25)
    return figure


def pareto_picture(points: list[list[float]], best: list[list[float]], names: list[str]) -> Figure:
    """Two objectives against each other: every finished trial, and those that none beats in both."""
    figure = _new()
    axes = figure.subplots()
    axes.scatter(*zip(*(point[:2] for point in points), strict=True), color=_GREY, label="trials")
    front = sorted(point[:2] for point in best)
    axes.plot(*zip(*front, strict=True), "o-", color=_BLUE, label="not beaten in both")
    axes.set(xlabel=names[0], ylabel=names[1])
    axes.grid(alpha=0.25)
    axes.legend(fontsize=8)
    return figure
