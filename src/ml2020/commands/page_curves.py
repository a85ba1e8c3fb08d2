"""The curves of report.html: metrics.csv as drawings that stand inside the page and take its colours, by day and by night."""

from __future__ import annotations

import csv
import html
import io
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

# Stand-ins while matplotlib draws; page.css says what they are.
_INK, _LINE = "#010101", "#020202"
_SERIES = [f"#0300{i:02x}" for i in range(6)]
_COLOURS = {_INK: "currentColor", _LINE: "var(--line)"} | {colour: f"var(--s{i})" for i, colour in enumerate(_SERIES)}
_STYLE = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "ml2020",  # the same run gives the same page
    "text.parse_math": False,  # a name with a dollar is a name
    "font.size": 9,
    "axes.prop_cycle": mpl.cycler(color=_SERIES),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.linewidth": 0.7,
    "lines.linewidth": 1.5,
    "legend.frameon": False,
    "grid.color": _LINE,
    "axes.edgecolor": _LINE,
    "xtick.color": _LINE,
    "ytick.color": _LINE,
} | {key: _INK for key in ("text.color", "axes.labelcolor", "xtick.labelcolor", "ytick.labelcolor")}

Series = tuple[list[float], list[float]]


def curves(file: Path, board: dict[str, list[str]], main: dict[str, str]) -> Iterator[tuple[str, str, bool]]:
    """(title, svg, small) for each group of `board` that was logged ({title: names, as regular expressions}), then the learning rate.

    The best value of the main metric is marked, and where a new phase begins.
    """
    rows = _rows(file)
    columns = list(dict.fromkeys(name for row in rows for name in row))
    groups = {
        title: [name for name in columns if any(re.fullmatch(wanted, name) for wanted in names)] for title, names in board.items()
    }
    groups |= {"learning rate": [name for name in ("train/lr",) if name in columns]}
    starts = _phase_starts(rows)
    for number, (title, names) in enumerate(groups.items()):
        series = {name: _series(rows, name) for name in names}
        series = {name: pair for name, pair in series.items() if pair[0]}
        if series:
            small = title == "learning rate"
            yield title, _svg(series, main, starts, small, f"c{number}-"), small


def _rows(file: Path) -> list[dict[str, str]]:
    """The rows of metrics.csv without their empty cells; none where there is no file."""
    if not file.is_file():
        return []
    with file.open(newline="", encoding="utf8") as stream:
        return [{name: cell for name, cell in row.items() if name and cell} for row in csv.DictReader(stream)]


def _series(rows: list[dict[str, str]], name: str) -> Series:
    """(steps, values) of one column, as far as they are finite."""
    pairs = [(float(row["step"]), float(row[name])) for row in rows if name in row and "step" in row]
    pairs = [(step, value) for step, value in pairs if math.isfinite(value)]
    return [step for step, _ in pairs], [value for _, value in pairs]


def _phase_starts(rows: list[dict[str, str]]) -> dict[str, float]:
    """{phase: its first step}; empty where there is only one."""
    starts: dict[str, float] = {}
    for row in rows:
        if "phase" in row and "step" in row:
            starts.setdefault(row["phase"], float(row["step"]))
    return starts if len(starts) > 1 else {}


def _svg(series: dict[str, Series], main: dict[str, str], starts: dict[str, float], small: bool, prefix: str) -> str:
    """One panel, ready to stand in a page beside others: its ids begin with `prefix`, its colours are the page's."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(2.9 if small else 4.9, 2.9), layout="constrained")
        figure.patch.set_visible(False)
        axes = figure.subplots()
        axes.patch.set_visible(False)
        for name, (steps, values) in series.items():
            axes.plot(steps, values, label=name, marker="o" if len(steps) < 40 else "", markersize=2.5)
            if name == main["name"]:
                _mark_best(axes, steps, values, main["goal"])
        for phase, start in starts.items():
            axes.axvline(start, color=_INK, linewidth=0.6, linestyle=":", alpha=0.6)
            axes.annotate(
                phase, (start, 1), (2, -2), xycoords=("data", "axes fraction"), textcoords="offset points", va="top", fontsize=7
            )
        axes.set_xlabel("step")
        axes.xaxis.set_major_locator(MaxNLocator(4 if small else 7, integer=True))
        if small:
            axes.set_ylim(bottom=0)
        else:
            figure.legend(loc="outside upper left", ncols=3, fontsize=8.5, handlelength=1.4, borderpad=0)
        stream = io.StringIO()
        figure.savefig(stream, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    return _inline(stream.getvalue(), prefix, ", ".join(series))


def _mark_best(axes: Any, steps: list[float], values: list[float], goal: str) -> None:
    best = max(range(len(values)), key=lambda i: values[i] if goal == "max" else -values[i])
    axes.plot(steps[best], values[best], marker="o", markersize=7, markerfacecolor="none", color=axes.lines[-1].get_color(), label="_")
    axes.annotate(f"{values[best]:.3f}", (steps[best], values[best]), (0, 7), textcoords="offset points", ha="center", fontsize=8)


def _inline(drawing: str, prefix: str, words: str) -> str:
    """matplotlib's file as a part of a page: no prolog, ids of its own, colours from the style, a name for who cannot see it."""
    svg = drawing[drawing.index("<svg") :]
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{prefix}", svg)
    svg = re.sub("|".join(_COLOURS), lambda found: _COLOURS[found[0]], svg)
    return svg.replace("<svg ", f'<svg role="img" aria-label="Curves of {html.escape(words)}" ', 1)
