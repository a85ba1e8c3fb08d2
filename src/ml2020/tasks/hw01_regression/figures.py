"""Figures of homework 1: numbers in, a matplotlib Figure out."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, ScalarFormatter

Series = tuple[list[int], list[float]]


def curves(train_loss: Series, val_rmse: Series) -> Figure:
    """Root mean squared error against training steps, both axes logarithmic: descent slows down, it does not stop."""
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.subplots()
    axes.plot(
        train_loss[0], np.sqrt(train_loss[1]), label="training", color="tab:gray", lw=1, marker="." if len(train_loss[0]) < 30 else ""
    )
    axes.plot(*val_rmse, label="validation", color="tab:blue", marker="." if len(val_rmse[0]) < 60 else "")
    if len(train_loss[0]) > 30:
        axes.set(xscale="log", yscale="log")
        _plain_ticks(axes)
    axes.set(xlabel="step", ylabel="RMSE, ug/m3")
    axes.grid(alpha=0.3, which="both")
    axes.legend(fontsize=8)
    return figure


def answers(given: np.ndarray, targets: np.ndarray) -> Figure:
    """What the model says against what was measured, (n,) each, ug/m3."""
    figure = Figure(figsize=(4.8, 4.6), layout="constrained")
    axes = figure.subplots()
    top = float(max(given.max(), targets.max())) * 1.03
    low = min(0.0, float(given.min()), float(targets.min()))
    shades = axes.hexbin(targets, given, gridsize=45, bins="log", cmap="Blues", mincnt=1, extent=(low, top, low, top))
    axes.plot([low, top], [low, top], color="tab:red", lw=0.8, label="right")
    rmse = np.sqrt(np.mean((given - targets) ** 2))
    axes.set(xlabel="measured, ug/m3", ylabel="predicted, ug/m3", title=f"validation: RMSE {rmse:.2f} ug/m3, {len(given):,} windows")
    axes.legend(fontsize=8, loc="upper left")
    figure.colorbar(shades, label="windows", shrink=0.8)
    return figure


def weights(values: np.ndarray, names: list[tuple[str, int]]) -> Figure:
    """Weights of standardised columns: a row a measurement, a column an hour; the largest products beside them."""
    hourly = [(name, hour, value) for (name, hour), value in zip(names, values, strict=True) if " x " not in name]
    products = [(name, value) for (name, _), value in zip(names, values, strict=True) if " x " in name]
    rows = list(dict.fromkeys(name for name, _, _ in hourly))
    hours = sorted({hour for _, hour, _ in hourly})
    table = np.zeros((len(rows), len(hours)))
    for name, hour, value in hourly:
        table[rows.index(name), hours.index(hour)] = value
    figure = Figure(figsize=(9.6 if products else 5.8, 1.2 + 0.24 * max(len(rows), 6)), layout="constrained")
    panels = figure.subplots(1, 2 if products else 1, squeeze=False)[0]
    most = float(np.abs(table).max()) or 1.0
    shades = panels[0].imshow(np.sign(table) * np.sqrt(np.abs(table) / most), cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto")
    panels[0].set_yticks(range(len(rows)), rows, fontsize=7)
    panels[0].set_xticks(range(len(hours)), [f"{hour - 9}" for hour in hours], fontsize=7)
    panels[0].set(xlabel="hours before the one that is asked for", title=f"weights, largest {most:.1f} ug/m3")
    bar = figure.colorbar(shades, ax=panels[0], ticks=[-1, -0.5, 0, 0.5, 1])
    bar.ax.set_yticklabels(
        [f"{sign * share**2 * most:+.2g}" for sign, share in ((-1, 1), (-1, 0.5), (1, 0), (1, 0.5), (1, 1))], fontsize=7
    )
    if products:
        products.sort(key=lambda pair: abs(pair[1]))
        names_, sizes = zip(*products[-20:], strict=True)
        panels[1].barh(range(len(sizes)), sizes, color=["tab:red" if size > 0 else "tab:blue" for size in sizes])
        panels[1].set_yticks(range(len(sizes)), names_, fontsize=7)
        panels[1].set(title="largest products of the last hour", xlabel="weight, ug/m3")
    return figure


def residuals(errors: np.ndarray, hours: np.ndarray) -> Figure:
    """Predicted minus measured by hour of the day: median, the middle half, and the root mean square. (n,) each."""
    figure = Figure(figsize=(6.8, 3.6), layout="constrained")
    axes = figure.subplots()
    day = np.arange(24)
    groups = [errors[hours == hour] for hour in day]
    axes.boxplot(groups, positions=day, widths=0.6, showfliers=False, whis=(5, 95), medianprops={"color": "tab:blue"})
    axes.plot(
        day, [np.sqrt(np.mean(group**2)) if len(group) else np.nan for group in groups], color="tab:red", marker=".", label="RMSE"
    )
    axes.axhline(0, color="0.7", lw=0.8, zorder=0)
    axes.set(xlabel="hour of the day", ylabel="predicted - measured, ug/m3", title="validation; whiskers: 5 and 95 %")
    axes.set_xticks(day, [str(hour) for hour in day], fontsize=7)
    axes.legend(fontsize=8)
    return figure


def descents(rows: list[dict[str, Any]], table: list[str]) -> Figure:
    """Training curves of a study in one plot: a line an arm, of its first seed. `rows`: a dict a run, with its `history`."""
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    for label in dict.fromkeys(row["label"] for row in rows):
        history = next(row["history"] for row in rows if row["label"] == label)
        points = [(one["step"], one["train/loss"] ** 0.5) for one in history if "train/loss" in one]
        if len(points) == 1:  # a closed form takes no steps
            axes.axhline(points[0][1], label=label, color="black", lw=0.8, ls="--")
        elif points:
            axes.plot(*zip(*points, strict=True), label=label, lw=1.2)
    axes.set(xscale="log", yscale="log", xlabel="step", ylabel="training RMSE, ug/m3")
    _plain_ticks(axes)
    axes.grid(alpha=0.3, which="both")
    axes.legend(fontsize=8)
    return figure


def _plain_ticks(axes: Axes) -> None:
    """5, 6, 8, 10 instead of powers of ten on a logarithmic axis of RMSEs."""
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 4, 5, 6, 8)))
    axes.yaxis.set_major_formatter(ScalarFormatter())
    axes.yaxis.set_minor_locator(NullLocator())


def arms(rows: list[dict[str, Any]], table: list[str]) -> Figure:
    """A study: a dot a run, in the order of the study, by the metrics in `table` that are RMSEs."""
    labels = list(dict.fromkeys(row["label"] for row in rows))
    names = [name for name in table if name.endswith("rmse")]
    figure = Figure(figsize=(7, 1.2 + 0.34 * len(labels)), layout="constrained")
    axes = figure.subplots()
    for k, name in enumerate(names):
        points = [
            (row[name], labels.index(row["label"]) + 0.16 * (k - (len(names) - 1) / 2)) for row in rows if row.get(name) is not None
        ]
        axes.scatter(*zip(*points, strict=True), s=22, label=name, color=f"C{k}")
    axes.set_yticks(range(len(labels)), labels, fontsize=8)
    axes.invert_yaxis()
    axes.set(xlabel="RMSE, ug/m3")
    axes.grid(alpha=0.3, axis="x")
    axes.legend(fontsize=8)
    return figure
