"""Figures of homework 14: numbers in, a matplotlib Figure out."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

Series = tuple[list[int], list[float]]
_BLUE, _RED = "#1f5fa8", "#c0392b"


def over_training(curves: dict[str, Series], ends: list[int]) -> Figure:
    """Validation accuracy of every task over all training; the last step of each task is a line (the course's plot)."""
    figure = Figure(figsize=(7.5, 3.8), layout="constrained")
    axes = figure.subplots()
    for name, (steps, values) in curves.items():
        axes.plot(steps, [100 * value for value in values], marker=".", label=name)
    for end in ends[:-1]:
        axes.axvline(end, color="0.5", lw=0.8, ls=":")
    for start, end, name in zip([0, *ends], ends, curves, strict=False):
        axes.text((start + end) / 2, 101, f"learns {name}", ha="center", va="bottom", fontsize=8, color="0.35")
    axes.set(xlabel="step", ylabel="validation accuracy, %", ylim=(0, 106))
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="best", ncols=2 if len(curves) > 5 else 1)
    return figure


def matrix(accuracies: np.ndarray, tasks: list[str]) -> Figure:
    """Accuracy on the test of each task (columns) before any training and after each task (rows)."""
    count = len(tasks)
    figure = Figure(figsize=(2.4 + 0.75 * count, 1.8 + 0.42 * count), layout="constrained")
    axes = figure.subplots()
    axes.imshow(100 * accuracies, cmap="viridis", vmin=0, vmax=100, aspect="auto")
    for (row, column), value in np.ndenumerate(accuracies):
        axes.text(column, row, f"{100 * value:.1f}", ha="center", va="center", fontsize=8, color="white" if value < 0.6 else "black")
    axes.set_xticks(range(count), tasks)
    axes.set_yticks(range(count + 1), ["at the start", *(f"after {task}" for task in tasks)])
    axes.set(title="test accuracy, %")
    return figure


def importance(pixels: np.ndarray, tasks: list[str]) -> Figure:
    """How firmly the first layer's weights of each pixel (h, w) are held after `tasks`, as a share of the largest."""
    figure = Figure(figsize=(4.2, 3.6), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(pixels / max(pixels.max(), 1e-30), cmap="magma", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, label="importance, share of the largest")
    names = ", ".join(tasks) if len(tasks) < 4 else f"{len(tasks)} tasks"
    axes.set(title=f"pixels that matter to {names}", xticks=[], yticks=[])
    axes.title.set_size(9)
    return figure


def trade_off(rows: list[dict[str, Any]], table: list[str] | None = None) -> Figure | None:
    """Accuracy on the first and on the last task at the end, and their mean, against the strength of a method: lambda's trade-off.

    `rows`: a dict a job, with its typed words or the label of its arm, and metrics as split/name.
    """
    points: dict[float, list[dict[str, Any]]] = {}
    for row in rows:
        words = dict(word.partition("=")[::2] for word in row["overrides"].split(" ") if "=" in word)
        strength = next((float(value) for key, value in words.items() if key.endswith(("_lambda", "si_c"))), None)
        if strength is not None and row.get("test/acc") is not None:
            points.setdefault(strength, []).append(row)
    if len(points) < 2:
        return None
    tasks = [key.removeprefix("test/acc_") for key in next(iter(points.values()))[0] if key.startswith("test/acc_")]
    figure = Figure(figsize=(6.6, 4.2), layout="constrained")
    axes = figure.subplots()
    strengths = sorted(points)
    for key, label, colour, style in (
        (f"test/acc_{tasks[0]}", f"first task ({tasks[0]})", _RED, "o--"),
        (f"test/acc_{tasks[-1]}", f"last task ({tasks[-1]})", "#2e8b57", "s--"),
        ("test/acc", "mean over tasks", _BLUE, "D-"),
    ):
        values = [[100 * row[key] for row in points[s]] for s in strengths]
        spread = [np.std(v, ddof=1) if len(v) > 1 else 0.0 for v in values]
        axes.errorbar(strengths, [np.mean(v) for v in values], spread, fmt=style, color=colour, capsize=3, label=label)
    positive = [s for s in strengths if s > 0]
    axes.set_xscale("symlog", linthresh=min(positive)) if strengths[0] == 0 else axes.set_xscale("log")
    axes.set_xticks(strengths, [f"{s:g}" for s in strengths], fontsize=8)
    axes.minorticks_off()
    axes.set(xlabel="lambda", ylabel="test accuracy at the end, %")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
    return figure


def methods(rows: list[dict[str, Any]], table: list[str]) -> Figure:
    """A study's arms: accuracy on the first and on the last task at the end, and their mean; each seed a dot."""
    labels = list(dict.fromkeys(row["label"] for row in rows))
    done = [row for row in rows if row.get("test/acc") is not None]
    tasks = [key.removeprefix("test/acc_") for key in done[0] if key.startswith("test/acc_")]
    figure = Figure(figsize=(7.5, 0.62 * len(labels) + 1.2), layout="constrained")
    axes = figure.subplots()
    shown = {f"test/acc_{tasks[0]}": _RED, f"test/acc_{tasks[-1]}": "#2e8b57", "test/acc": _BLUE}
    for place, (key, colour) in enumerate(shown.items()):
        values = [[100 * row[key] for row in done if row["label"] == label] for label in labels]
        where = np.arange(len(labels)) + 0.27 * (place - 1)
        axes.barh(where, [np.mean(v) if v else 0.0 for v in values], 0.25, color=colour, label=key, alpha=0.85)
        for y, seeds in zip(where, values, strict=True):
            axes.plot(seeds, [y] * len(seeds), ".", color="black", ms=3)
    axes.set_yticks(range(len(labels)), labels)
    axes.set(xlabel="test accuracy at the end, % (dots: seeds)", xlim=(0, 100))
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    axes.legend(fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
    return figure


# The original's test cross-entropy on MNIST and on SVHN (rows: random start, after MNIST, after SVHN), by what its guard was.
ORIGINAL = {
    "no EWC": [[2.94, 2.51], [0.09, 11.89], [2.43, 0.69]],
    "EWC, 10": [[2.54, 2.64], [0.08, 14.82], [0.09, 4.24]],
    "EWC, 0.001": [[2.91, 2.65], [0.07, 15.12], [0.41, 0.93]],
}


def original_tables(rows: list[dict[str, Any]], table: list[str]) -> Figure:
    """The original's three tables, ours beside theirs; theirs are on MNIST and the real SVHN."""
    stages = ("start", "after_mnist", "after_house")
    blocks = {f"original: {name}": values for name, values in ORIGINAL.items()}
    for row in rows:
        if row.get("test/acc") is not None:
            blocks[row["label"]] = [[row[f"test/loss_{task}_{stage}"] for task in ("mnist", "house")] for stage in stages]
    figure = Figure(figsize=(10, 1.45 * -(-len(blocks) // 3)), layout="constrained")
    grid = figure.subplots(-(-len(blocks) // 3), 3, squeeze=False).ravel()
    for axes in grid:
        axes.axis("off")
    for axes, (name, values) in zip(grid, blocks.items(), strict=False):
        heads = ["MNIST", "SVHN" if name.startswith("original") else "house numbers"]
        cells = axes.table(
            [[f"{v:.2f}" for v in line] for line in values], rowLabels=["start", "after 1", "after 2"], colLabels=heads, loc="center"
        )
        cells.auto_set_font_size(False)
        cells.set_fontsize(8)
        axes.set_title(name, fontsize=9)
    return figure
