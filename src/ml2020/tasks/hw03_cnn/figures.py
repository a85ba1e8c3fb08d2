"""Figures of homework 3: numbers in, a matplotlib Figure out."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

Series = tuple[list[int], list[float]]


def curves(train_loss: Series, val_loss: Series, val_acc: Series) -> Figure:
    """Loss and accuracy against training steps."""
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(*train_loss, label="training (augmented, smoothed labels)", color="tab:gray", lw=1)
    left.plot(*val_loss, label="validation", color="tab:blue", marker=".")
    left.set(xlabel="step", ylabel="cross-entropy")
    left.legend(fontsize=8)
    right.plot(*val_acc, color="tab:blue", marker=".")
    right.set(xlabel="step", ylabel="validation accuracy", ylim=(0, 1))
    for axes in (left, right):
        axes.grid(alpha=0.3)
    return figure


def confusion(counts: np.ndarray, classes: list[str], split: str) -> Figure:
    """Rows: the true class; columns: what the network says; each row in per cent of its pictures."""
    shares = 100 * counts / np.maximum(counts.sum(1, keepdims=True), 1)
    figure = Figure(figsize=(6.4, 5.8), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    ticks = range(len(classes))
    axes.set_xticks(ticks, classes, rotation=45, ha="right", fontsize=8)
    axes.set_yticks(ticks, classes, fontsize=8)
    axes.set(
        xlabel="named",
        ylabel="true",
        title=f"{split}: {100 * np.trace(counts) / max(counts.sum(), 1):.1f} % right; each row in per cent",
    )
    for i in ticks:
        for j in ticks:
            if shares[i, j] >= 0.5:
                axes.text(
                    j,
                    i,
                    f"{shares[i, j]:.0f}",
                    ha="center",
                    va="center",
                    fontsize=7,
                    color="white" if shares[i, j] > 55 else "black",
                )
    return figure


def mistakes(pictures: np.ndarray, probabilities: np.ndarray, labels: np.ndarray, classes: list[str], count: int = 24) -> Figure:
    """The wrong answers that the network was surest of. `pictures` (n, 3, s, s) uint8, `probabilities` (n, classes), `labels` (n,)."""
    named, sure = probabilities.argmax(1), probabilities.max(1)
    wrong = np.flatnonzero(named != labels)
    wrong = wrong[np.argsort(-sure[wrong])][:count]
    figure = Figure(figsize=(9, 4.6), layout="constrained")
    grid = figure.subplots(3, 8)
    for axes in grid.flat:
        axes.axis("off")
    for axes, i in zip(grid.flat, wrong, strict=False):
        axes.imshow(pictures[i].transpose(1, 2, 0))
        axes.set_title(f"{classes[labels[i]]}\nnot {classes[named[i]]} ({sure[i]:.2f})", fontsize=7)
    return figure


def gap(rows: list[dict], table: list[str]) -> Figure:
    """A bar an arm of a study: accuracy on training pictures (pale) and on the judging split (full), each seed a dot.

    `rows`: a dict a run with its label and metrics as split/name; `table`: the metrics named by the study.
    """
    judged = next(name for name in ("test/acc", "val/acc") if any(row.get(name) is not None for row in rows))
    labels = list(dict.fromkeys(row["label"] for row in rows))
    figure = Figure(figsize=(8, 0.36 * len(labels) + 1), layout="constrained")
    axes = figure.subplots()
    words = {"train/acc": "training", "val/acc": "validation", "test/acc": "test"}
    ends = [0.0] * len(labels)  # where the number of the judging split stands, so that the other keeps clear of it
    for name, colour, height in ((judged, "#1f5fa8", 0.45), ("train/acc", "#c9d6e8", 0.8)):
        values = [[100 * row[name] for row in rows if row["label"] == label and row.get(name) is not None] for label in labels]
        means = [sum(v) / max(len(v), 1) for v in values]
        axes.barh(labels, means, height, color=colour, label=f"{words[name]} pictures", zorder=2 if name == judged else 1)
        for i, (mean, seeds) in enumerate(zip(means, values, strict=True)):
            axes.plot(seeds, [i] * len(seeds), ".", color="black", ms=3, zorder=3)
            x = max(mean + 1, ends[i])
            axes.text(x, i, f"{mean:.1f}", va="center", fontsize=7, color="black" if name == judged else "#7a8ba3", zorder=4)
            ends[i] = x + 5.5
    axes.invert_yaxis()
    axes.set(xlabel="accuracy, per cent (dots: seeds)", xlim=(0, 107))
    axes.grid(axis="x", alpha=0.3)
    axes.legend(fontsize=8, loc="lower right")
    return figure


def samples(pictures: np.ndarray, views: np.ndarray) -> Figure:
    """Training pictures (n, 3, s, s) uint8 and, beneath each, how it looks in some epochs: (epochs, n, 3, s, s) in [0, 1]."""
    figure = Figure(figsize=(9, 0.9 * (len(views) + 1) + 0.3), layout="constrained")
    grid = figure.subplots(len(views) + 1, len(pictures), squeeze=False)
    for axes in grid.flat:
        axes.set_xticks([]), axes.set_yticks([])
    for column, picture in enumerate(pictures):
        grid[0, column].imshow(picture.transpose(1, 2, 0))
        for row, epoch in enumerate(views, start=1):
            grid[row, column].imshow(epoch[column].transpose(1, 2, 0).clip(0, 1))
    for row, axes in enumerate(grid[:, 0]):
        axes.set_ylabel("as stored" if row == 0 else f"epoch {row}", fontsize=8)
    return figure
