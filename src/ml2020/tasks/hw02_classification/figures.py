"""Figures of homework 2: numbers in, a matplotlib Figure out."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, ScalarFormatter

Series = tuple[list[int], list[float]]


def roc(odds: np.ndarray, labels: np.ndarray, split: str) -> Figure:
    """Share of the rich that are found against share of the others that are taken for rich, over all thresholds; (n,) each."""
    order = np.argsort(-odds, kind="stable")
    hits = np.concatenate([[0], np.cumsum(labels[order] == 1)]) / max(1, (labels == 1).sum())
    false = np.concatenate([[0], np.cumsum(labels[order] == 0)]) / max(1, (labels == 0).sum())
    figure = Figure(figsize=(4.6, 4.4), layout="constrained")
    axes = figure.subplots()
    axes.plot(false, hits, color="tab:blue", label=f"area {np.trapezoid(hits, false):.4f}")
    axes.plot([0, 1], [0, 1], color="0.7", lw=0.8, label="by chance: 0.5")
    at = (odds > 0).sum()
    axes.plot(false[at], hits[at], "o", color="tab:red", label="log odds 0: the answers given")
    axes.set(xlabel="of those at most 50,000, taken for above", ylabel="of those above 50,000, found", title=split)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="lower right")
    return figure


def calibration(odds: np.ndarray, labels: np.ndarray, split: str, bins: int = 20) -> Figure:
    """What share of the rows that are given a probability is above 50,000: bins of as many rows, with binomial standard errors."""
    p = 1 / (1 + np.exp(-np.clip(odds, -500, 500)))
    parts = [part for part in np.array_split(np.argsort(p), bins) if len(part)]
    said, found = (np.array([values[part].mean() for part in parts]) for values in (p, labels == 1))
    errors = np.sqrt(found * (1 - found) / np.array([len(part) for part in parts]))
    figure = Figure(figsize=(4.6, 4.4), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="0.7", lw=0.8, label="calibrated")
    axes.errorbar(said, found, errors, color="tab:blue", marker="o", ms=4, lw=1, capsize=2, label=f"{bins} bins of as many rows")
    axes.set(xlabel="probability given", ylabel="share above 50,000", title=split, xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="upper left")
    return figure


def curves(train_loss: Series, val_loss: Series, val_error: Series) -> Figure:
    """Log loss and error against training steps."""
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(*train_loss, label="training", color="tab:gray", lw=1)
    left.plot(*val_loss, label="validation", color="tab:blue", marker=".")
    left.set(xlabel="step", ylabel="log loss")
    left.legend(fontsize=8)
    right.plot(val_error[0], 100 * np.asarray(val_error[1]), color="tab:blue", marker=".")
    right.set(xlabel="step", ylabel="validation error, %")
    for axes in (left, right):
        axes.grid(alpha=0.3)
    return figure


def weights(values: np.ndarray, columns: list[str], most: int = 25) -> Figure:
    """The largest weights of standardised columns, with their names: red speaks for more than 50,000 dollars."""
    order = np.argsort(-np.abs(values))[:most][::-1]
    figure = Figure(figsize=(6.8, 0.9 + 0.2 * len(order)), layout="constrained")
    axes = figure.subplots()
    axes.barh(range(len(order)), values[order], color=["tab:red" if values[i] > 0 else "tab:blue" for i in order])
    axes.set_yticks(range(len(order)), [columns[i].strip()[:44] for i in order], fontsize=7)
    axes.set(xlabel="log odds for one standard deviation", title=f"the {len(order)} largest of {len(values)} weights")
    axes.grid(alpha=0.3, axis="x")
    return figure


def arms(rows: list[dict[str, Any]], table: list[str]) -> Figure:
    """A study: a dot a run, an arm a line, by the errors in `table` in per cent. `rows`: a dict a run with its label and metrics."""
    labels = list(dict.fromkeys(row["label"] for row in rows))
    names = [name for name in table if name.endswith("error") and any(row.get(name) is not None for row in rows)]
    figure = Figure(figsize=(7, 1.2 + 0.36 * len(labels)), layout="constrained")
    axes = figure.subplots()
    for k, name in enumerate(names):
        shift = 0.16 * (k - (len(names) - 1) / 2)
        points = [(100 * row[name], labels.index(row["label"]) + shift) for row in rows if row.get(name) is not None]
        axes.scatter(*zip(*points, strict=True), s=22, label=name, color=f"C{k}")
    axes.set_yticks(range(len(labels)), labels, fontsize=8)
    axes.invert_yaxis()
    axes.set(xlabel="error, %")
    axes.grid(alpha=0.3, axis="x")
    axes.legend(fontsize=8)
    return figure


def by_rows(rows: list[dict[str, Any]], table: list[str]) -> Figure:
    """A study over the number of training rows: error of each arm, mean and standard deviation over the draws."""
    figure = Figure(figsize=(7, 4.4), layout="constrained")
    axes = figure.subplots()
    points: dict[str, dict[int, list[float]]] = {}
    for row in rows:
        arm, _, size = row["label"].rpartition(", train_size ")
        if row.get("test/error") is not None:
            points.setdefault(arm, {}).setdefault(int(size), []).append(100 * row["test/error"])
    for k, (arm, sizes) in enumerate(points.items()):
        x = sorted(sizes)
        mean, spread = (np.array([function(sizes[size]) for size in x]) for function in (np.mean, np.std))
        axes.plot(x, mean, color=f"C{k}", marker=".", label=arm)
        axes.fill_between(x, mean - spread, mean + spread, color=f"C{k}", alpha=0.15, lw=0)
    axes.set(xscale="log", yscale="log", xlabel="training rows", ylabel="test error, %")
    axes.yaxis.set_major_formatter(ScalarFormatter()), axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_yticks([12, 15, 20, 25, 30, 35], ["12", "15", "20", "25", "30", "35"])
    axes.grid(alpha=0.3, which="both")
    axes.legend(fontsize=8)
    return figure
