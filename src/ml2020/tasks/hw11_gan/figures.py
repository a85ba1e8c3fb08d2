"""Figures of homework 11: numbers in, a matplotlib Figure out; pictures are uint8 (n, 3, s, s)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imread

Series = tuple[Sequence[float], Sequence[float]]
WORDS = {
    "frechet": "Frechet distance",
    "kid": "kernel distance",
    "precision": "precision",
    "recall": "recall",
    "copies": "copies of training pictures",
    "twins": "generated pictures that have a twin",
    "variety": "variety, of real pictures' (Vendi score)",
    "modes": "modes covered",
    "good": "good points",
    "overlap": "overlap with the ring",
}
SHARES = ("precision", "recall", "copies", "twins", "good", "overlap")  # lie in [0, 1]
_REAL, _FAKE = "#9aa5b1", "#c0392b"


def tiled(pictures: np.ndarray, columns: int | None = None, scale: int = 1, gap: int = 1) -> np.ndarray:
    """Pictures row by row in one, (h, w, 3) uint8, with white lines of `gap` pixels between them; each pixel `scale` wide.

    `columns`: as many as make a square, unless given. The same shape for the same number of pictures: a frame of an animation.
    """
    count, _, high, wide = pictures.shape
    columns = columns or math.ceil(math.sqrt(count))
    lines = math.ceil(count / columns)
    sheet = np.full((lines * (high + gap) - gap, columns * (wide + gap) - gap, 3), 255, np.uint8)
    for place, picture in enumerate(pictures):
        top, left = place // columns * (high + gap), place % columns * (wide + gap)
        sheet[top : top + high, left : left + wide] = picture.transpose(1, 2, 0)
    return sheet.repeat(scale, 0).repeat(scale, 1)


def grid(pictures: np.ndarray, columns: int | None = None, title: str = "") -> Figure:
    """Pictures row by row; of interpolations (rows of `columns` steps) too."""
    sheet = tiled(pictures, columns)
    figure, axes = _sheet(sheet, title)
    axes.set_axis_off()
    return figure


def rows(pictures: dict[str, np.ndarray], notes: Sequence[str] = (), title: str = "") -> Figure:
    """Labelled rows of as many pictures each, such as the same noises through three ways of sampling; `notes`: one over each column."""
    together = np.concatenate(list(pictures.values()))
    columns, (high, wide) = len(together) // len(pictures), together.shape[-2:]
    figure, axes = _sheet(tiled(together, columns), title, left=1.3)
    axes.set_yticks([(high + 1) * i + high / 2 for i in range(len(pictures))], list(pictures), fontsize=8)
    axes.set_xticks([(wide + 1) * i + wide / 2 for i in range(len(notes))], notes, fontsize=7)
    axes.tick_params(length=0, labeltop=True, labelbottom=False)
    axes.spines[:].set_visible(False)
    return figure


def beside_real(fake: np.ndarray, real: np.ndarray, likeness: Sequence[float], copy: float) -> Figure:
    """Generated pictures and, beneath each, the training picture that is most like it; a likeness of `copy` or more is a copy's."""
    notes = [f"{value:.2f}{' copy' if value >= copy else ''}" for value in likeness]
    title = f"likeness to the nearest training picture; from {copy:.2f} on it counts as a copy"
    return rows({"generated": fake, "nearest real": real}, notes, title)


def over_epochs(curves: dict[str, Series], counts: tuple[int, int], floor: dict[str, float] | None = None) -> Figure:
    """Distances against epochs: a panel for the Frechet and for the kernel distance, one for all shares.

    `curves`: {name as in WORDS: (epochs, values)}. `counts`: real and generated pictures that were compared. `floor`: the values
    of real pictures against other real ones of the same counts, which no generator need fall below.
    """
    panels = [[name] for name in ("frechet", "kid") if name in curves]
    panels += [shares] if (shares := [name for name in curves if name in SHARES]) else []
    figure = Figure(figsize=(4.0 * len(panels), 3.4), layout="constrained")
    for axes, names in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        for name in names:
            (line,) = axes.plot(*curves[name], marker=".", label=WORDS[name])
            if floor and name in floor:
                axes.axhline(floor[name], color=line.get_color(), lw=0.9, ls=":", label=f"{WORDS[name]}, real against real")
        axes.set(xlabel="epoch", ylim=(0, 1.02) if names[0] in SHARES else (min(0, axes.get_ylim()[0]), None))
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7)
    figure.suptitle(f"{counts[0]:,} real against {counts[1]:,} generated pictures", fontsize=9)
    return figure


def collapse(curves: dict[str, dict[str, list[Series]]]) -> Figure:
    """A panel a metric, a color an arm: {name as in WORDS: {arm: [(epochs or steps, values) of each seed]}}.

    Each seed is thin; where an arm has several of one length their mean is thick.
    """
    figure = Figure(figsize=(4.2 * len(curves), 3.9), layout="constrained")
    colors: dict[str, str] = {}
    panels = figure.subplots(1, len(curves), squeeze=False)[0]
    for axes, (name, arms) in zip(panels, curves.items(), strict=True):
        for arm, seeds in arms.items():
            color = colors.setdefault(arm, f"C{len(colors) % 10}")
            whole = len({len(x) for x, _ in seeds}) == 1
            for x, y in seeds:
                axes.plot(
                    x, y, color=color, lw=0.8 if whole and len(seeds) > 1 else 1.6, alpha=0.5 if whole and len(seeds) > 1 else 1.0
                )
            if whole and len(seeds) > 1:
                axes.plot(seeds[0][0], np.mean([y for _, y in seeds], 0), color=color, lw=2)
        axes.set(xlabel="epoch", title=WORDS.get(name, name), ylim=(0, 1.02) if name in SHARES else (min(0, axes.get_ylim()[0]), None))
        axes.title.set_fontsize(9)
        axes.grid(alpha=0.3)
    handles = [panels[0].plot([], [], color=color, lw=2, label=arm)[0] for arm, color in colors.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=8)
    return figure


def study(rows: list[dict[str, Any]], table: list[str]) -> Figure:
    """A study's arms: the pictures of each, and distance, precision and recall over the training."""
    return _arms(rows, ("frechet", "precision", "recall"))


def collapsed(rows: list[dict[str, Any]], table: list[str]) -> Figure:
    """A study of mode collapse: the pictures of each arm, how various they are, how many real ones are covered, and distance."""
    return _arms(rows, ("variety", "recall", "frechet"))


def _arms(rows: list[dict[str, Any]], names: Sequence[str], columns: int = 4) -> Figure:
    """The pictures of each arm's first seed, with the last values of names[0] of all its seeds; beneath, `names` over the epochs."""
    labels = list(dict.fromkeys(row["label"] for row in rows))
    columns = min(columns, len(labels))
    lines = math.ceil(len(labels) / columns)
    figure = Figure(figsize=(max(7.0, 3 * columns), 3.2 * lines + 3.4), layout="constrained")
    upper, lower = figure.subfigures(2, 1, height_ratios=[3.2 * lines, 3.4])
    grid = upper.subplots(lines, columns, squeeze=False).ravel()
    for axes in grid:
        axes.set_axis_off()
    for axes, label in zip(grid, labels, strict=False):
        own = [row for row in rows if row["label"] == label]
        if (file := Path(own[0]["path"], "figures", "grid.png")).is_file():
            axes.imshow(imread(file))
        values = [f"{row[f'val/{names[0]}']:.4g}" for row in own if row.get(f"val/{names[0]}") is not None]
        axes.set_title(f"{label}: {', '.join(values)}", fontsize=9)
    for axes, name in zip(lower.subplots(1, len(names)), names, strict=True):
        for number, label in enumerate(labels):
            for seed, row in enumerate(row for row in rows if row["label"] == label):
                points = [(line["epoch"] + 1, line[f"val/{name}"]) for line in row["history"] if f"val/{name}" in line]
                axes.plot(*zip(*points, strict=True), color=f"C{number}", lw=1, label=None if seed else label) if points else None
        axes.set(xlabel="epoch", title=WORDS[name], ylim=(0, 1.02) if name in SHARES else (0, None))
        axes.title.set_fontsize(9)
        axes.grid(alpha=0.3)
    lower.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8)
    return figure


def ring(fake: np.ndarray, real: np.ndarray, radius: float, title: str = "") -> Figure:
    """Points of a generator (n, 2) over real ones (m, 2); the frame is the same for the same radius, as an animation needs."""
    figure = Figure(figsize=(3.6, 3.8), layout="constrained")
    axes = figure.subplots()
    axes.scatter(*real.T, s=14, color=_REAL, lw=0, label="real")
    axes.scatter(*fake.T, s=4, color=_FAKE, alpha=0.5, lw=0, label="generated")
    edge = 1.5 * radius
    axes.set(xlim=(-edge, edge), ylim=(-edge, edge), aspect="equal", title=title)
    axes.title.set_fontsize(9)
    axes.set_xticks([]), axes.set_yticks([])
    axes.legend(fontsize=7, loc="upper right", markerscale=2)
    return figure


def frame(figure: Figure, dpi: int = 80) -> np.ndarray:
    """A figure as a frame of an animation, (h, w, 3) uint8."""
    canvas = FigureCanvasAgg(figure)
    figure.set_dpi(dpi)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _sheet(sheet: np.ndarray, title: str, left: float = 0.1) -> tuple[Figure, Axes]:
    """One picture shown with its own pixels, at a size between 3 and 10 inches; `left`: room for labels."""
    high, wide = sheet.shape[:2]
    width = min(10.0, max(3.0, wide / 40))
    figure = Figure(figsize=(width + left, width * high / wide + 0.7), layout="constrained")
    axes = figure.subplots()
    axes.imshow(sheet, interpolation="nearest")
    axes.set_title(title, fontsize=9)
    return figure, axes
