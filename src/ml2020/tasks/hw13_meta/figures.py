"""Figures of homework 13: numbers in, a matplotlib Figure out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from ml2020.tasks.hw13_meta.episodes import Episodes

_FRAME = 2  # pixels around a picture
_NEUTRAL, _RIGHT, _WRONG = (110, 110, 110), (46, 160, 67), (207, 34, 46)


def sheet(pictures: np.ndarray) -> Figure:
    """Characters, (classes, drawings, h, w) uint8, a row each."""
    return _shown(_tiled(pictures, np.broadcast_to(_NEUTRAL, (*pictures.shape[:2], 3))))


def episode(support: np.ndarray, query: np.ndarray, targets: np.ndarray, predictions: np.ndarray | None = None) -> Figure:
    """One episode: a column for each class, above its support, below its queries; (n, 1, h, w) in [0, 1], the support class by class.

    `targets`, `predictions`: (m,) whole numbers. A query that was told right has a green frame, another a red one and the number of the
    class that it was taken for.
    """
    ways = int(targets.max()) + 1
    upper = _columns(support, np.arange(ways).repeat(len(support) // ways), ways)
    lower = _columns(query, targets, ways)
    told = None if predictions is None else _columns(predictions, targets, ways)
    colours = np.full((len(upper) + len(lower), ways, 3), _NEUTRAL)
    if told is not None:
        colours[len(upper) :] = np.where((told == np.arange(ways))[..., None], _RIGHT, _WRONG)
    pixels = np.concatenate([upper, lower])[:, :, 0] * 255
    figure = _shown(_tiled(pixels.round().astype(np.uint8), colours))
    (axes,) = figure.axes
    high, wide = (side + 2 * _FRAME for side in pixels.shape[2:])
    axes.axhline(len(upper) * high - 0.5, color="white", lw=3)
    axes.set_xticks(wide * (np.arange(ways) + 0.5), np.arange(ways))
    axes.set_yticks([high * len(upper) / 2, high * (len(upper) + len(lower) / 2)], ["support", "queries"], rotation=90, va="center")
    axes.tick_params(length=0, labeltop=True, labelbottom=False)
    axes.set_axis_on()
    axes.spines[:].set_visible(False)
    if told is not None:
        for row, column in np.argwhere(told != np.arange(ways)):
            place = (wide * column + _FRAME + 1, high * (len(upper) + row) + _FRAME + 1)
            axes.text(*place, str(told[row, column]), color="#ffd33d", fontsize=9, weight="bold", va="top")
        figure.suptitle(f"{int((told == np.arange(ways)).sum())} of {told.size} told right", fontsize=10)
    return figure


def _columns(items: np.ndarray, classes: np.ndarray, ways: int) -> np.ndarray:
    """(n, ...) -> (n / ways, ways, ...): the items of class c in column c; all classes have as many."""
    return np.stack([items[classes == kind] for kind in range(ways)], 1)


def _tiled(pictures: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """(rows, columns, h, w) uint8, each in a frame of its colour (rows, columns, 3): one picture, (h, w, 3) uint8."""
    rows, columns, high, wide = pictures.shape
    framed = np.empty((rows, columns, high + 2 * _FRAME, wide + 2 * _FRAME, 3), np.uint8)
    framed[:] = colours[:, :, None, None]
    framed[:, :, _FRAME:-_FRAME, _FRAME:-_FRAME] = pictures[..., None]
    return framed.transpose(0, 2, 1, 3, 4).reshape(rows * framed.shape[2], columns * framed.shape[3], 3)


def _shown(image: np.ndarray) -> Figure:
    figure = Figure(figsize=(max(3.0, image.shape[1] / 60 + 0.5), image.shape[0] / 60 + 0.7), layout="constrained")
    axes = figure.subplots()
    axes.imshow(image, interpolation="nearest")
    axes.set_axis_off()
    return figure


_LABELS = {"acc": "accuracy, %", "mse": "mean squared error"}
_BLUE, _GREY = "#1f5fa8", "0.6"


def training(history: Any, measure: str) -> Figure:
    """Queries of the training's episodes and of validation, over training steps."""
    figure = Figure(figsize=(6.6, 3.6), layout="constrained")
    axes = figure.subplots()
    for split, colour, words in (("train", _GREY, "training's episodes"), ("val", _BLUE, "validation's")):
        steps, values = history.series(f"{split}/{measure}")
        axes.plot(steps, _shown_as(values, measure), color=colour, marker="." if split == "val" else "", label=words)
    axes.set(xlabel="step", ylabel=_LABELS[measure])
    _scaled(axes, measure)
    axes.legend(fontsize=8)
    return figure


def steps(found: Mapping[int, tuple[float, float]], measure: str) -> Figure:
    """Mean score of the test's episodes against steps of adaptation, {step: (mean, half of the 95 % interval)}."""
    figure = Figure(figsize=(5.6, 3.6), layout="constrained")
    axes = figure.subplots()
    _against_steps(axes, list(found), list(found), *zip(*found.values(), strict=True), measure)
    return figure


def functions(drawn: Episodes, answers: Mapping[int, np.ndarray], most: int = 6) -> Figure:
    """Some functions: the truth, the points to learn from, and the answers (tasks, m, 1) after some numbers of steps."""
    count = min(most, len(drawn.query))
    figure = Figure(figsize=(8.4, 2.3 * -(-count // 3)), layout="constrained")
    grid = figure.subplots(-(-count // 3), 3, squeeze=False, sharex=True)
    for axes in grid.ravel()[count:]:
        axes.axis("off")
    for task, axes in enumerate(grid.ravel()[:count]):
        order = np.argsort(drawn.query[task, :, 0])
        x = drawn.query[task, order, 0]
        axes.plot(x, drawn.query_targets[task, order, 0], color="black", lw=1.2, label="truth")
        for place, (step, given) in enumerate(answers.items()):
            shade = str(0.75) if place == 0 else _SHADES[place % len(_SHADES)]
            axes.plot(x, given[task, order, 0], color=shade, lw=1.2, ls="--" if place == 0 else "-", label=_after(step))
        axes.plot(drawn.support[task, :, 0], drawn.support_targets[task, :, 0], "^", color="tab:red", ms=5, label="support")
        axes.grid(alpha=0.3)
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=6, fontsize=8)
    return figure


_SHADES = ("#9fc5e8", "#4a90d0", "#1f5fa8", "#0b2e59")


def _after(step: int) -> str:
    return "before" if step == 0 else f"after {step} step{'s' if step > 1 else ''}"


def study(rows: Sequence[Mapping[str, Any]], table: Sequence[str]) -> Figure:
    """A study's arms: the test's score, and how it changes with the steps of adaptation; each seed a dot, lines their means."""
    done = {measure: [row for row in rows if row.get(f"test/{measure}") is not None] for measure in _LABELS}
    done = {measure: own for measure, own in done.items() if own}
    labels = {measure: list(dict.fromkeys(row["label"] for row in own)) for measure, own in done.items()}
    heights = [0.4 * len(names) + 1.5 for names in labels.values()]
    figure = Figure(figsize=(9.5, max(3.4, sum(heights))), layout="constrained")
    grid = figure.subplots(len(done), 2, squeeze=False, width_ratios=(3, 2), height_ratios=heights)
    for (measure, own), (left, right) in zip(done.items(), grid, strict=True):
        colors = colormaps["tab20" if len(labels[measure]) > 10 else "tab10"].colors
        ticks = sorted({step for row in own for step in _steps(row, measure)})
        for place, label in enumerate(labels[measure]):
            _arm(left, right, ticks, place, colors[place % 20], [row for row in own if row["label"] == label], measure)
        left.set_yticks(range(len(labels[measure])), labels[measure], fontsize=8)
        left.set(xlabel=f"{_LABELS[measure]}, on new tasks (dots: seeds)", **({"xscale": "log"} if measure == "mse" else {}))
        left.invert_yaxis()
        left.grid(axis="x", alpha=0.3)
    return figure


def _steps(row: Mapping[str, Any], measure: str) -> set[int]:
    """The numbers of steps of adaptation after which a job's test looked."""
    start = f"test/{measure}_"
    return {int(key.removeprefix(start)) for key, value in row.items() if key.startswith(start) and value is not None}


def _arm(left: Any, right: Any, ticks: Sequence[int], place: int, color: Any, own: Sequence[Mapping[str, Any]], measure: str) -> None:
    """One arm of a study: a bar, and a line over steps where it has more than one."""
    values = _shown_as([row[f"test/{measure}"] for row in own], measure)
    left.barh(place, np.mean(values), 0.7, alpha=0.5, color=color)
    left.plot(values, [place] * len(values), ".", color="black", ms=4)
    found = sorted(set.intersection(*(_steps(row, measure) for row in own)))
    if len(found) > 1:
        means = [np.mean([row[f"test/{measure}_{step}"] for row in own]) for step in found]
        _against_steps(right, ticks, found, means, None, measure, color=color)


def _against_steps(
    axes: Any, ticks: Sequence[int], places: Sequence[int], means: Sequence[float], halves: Any, measure: str, **style: Any
) -> None:
    """One line over steps of adaptation, of which those in `ticks` stand at equal distances."""
    half = None if halves is None else _shown_as(halves, measure)
    at = [ticks.index(place) for place in places]
    axes.errorbar(at, _shown_as(means, measure), half, marker="o", ms=4, capsize=3, **({"color": _BLUE} | style))
    axes.set_xticks(range(len(ticks)), ticks)
    axes.set(xlabel="steps of adaptation", ylabel=f"{_LABELS[measure]}, on new tasks")
    _scaled(axes, measure)


def _shown_as(values: Sequence[float], measure: str) -> np.ndarray:
    return np.asarray(values) * (100 if measure == "acc" else 1)


def _scaled(axes: Any, measure: str) -> None:
    if measure == "mse":
        axes.set_yscale("log")
    axes.grid(alpha=0.3, which="both")
