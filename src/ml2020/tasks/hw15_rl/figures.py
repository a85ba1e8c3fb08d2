"""Figures of homework 15: numbers in, a matplotlib Figure out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter
from scipy.stats import trim_mean

from ml2020.tasks.hw15_rl.fleet import Episode
from ml2020.tasks.hw15_rl.returns import rewards_to_go

_BLUE, _RED, _GREY = "#1f5fa8", "#c0392b", "0.6"


def learning(rows: Sequence[Mapping[str, Any]], solved: float | None) -> Figure:
    """Return against environment steps, of training's episodes and of the greedy ones on validation seeds; below, the share cut."""
    figure = Figure(figsize=(7.2, 4.8), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    for split, colour, label in (("train", _GREY, "actions drawn, while training"), ("val", _BLUE, "greedy, on validation seeds")):
        found = [row for row in rows if f"{split}/return" in row]
        steps = [row[f"{split}/env_steps"] for row in found]
        upper.plot(steps, [row[f"{split}/return"] for row in found], color=colour, marker="." if split == "val" else "", label=label)
        lower.plot(steps, [100 * row[f"{split}/cut"] for row in found], color=colour)
    if solved is not None:
        upper.axhline(solved, color=_RED, lw=0.8, ls=":", label=f"solved, {solved:g}")
    upper.set(ylabel="return of an episode")
    lower.set(xlabel="environment steps", ylabel="cut at the limit, %", ylim=(-4, 104))
    lower.xaxis.set_major_formatter(EngFormatter())
    for axes in (upper, lower):
        axes.grid(alpha=0.3)
    upper.legend(fontsize=8, loc="lower right")
    return figure


def actions(played: Mapping[str, Sequence[Episode]], names: Sequence[str]) -> Figure:
    """How often each action was chosen in the measured episodes, greedily and by drawing."""
    count = 1 + max(int(episode.actions.max()) for episodes in played.values() for episode in episodes)
    count = max(count, len(names))
    figure = Figure(figsize=(5.6, 3.2), layout="constrained")
    axes = figure.subplots()
    width = 0.8 / len(played)
    for place, (kind, episodes) in enumerate(played.items()):
        shares = np.bincount(np.concatenate([episode.actions for episode in episodes]), minlength=count)
        where = np.arange(count) + width * (place - (len(played) - 1) / 2)
        bars = axes.bar(
            where, 100 * shares / shares.sum(), width, color=(_BLUE, _GREY)[place], label=f"{kind}, {len(episodes)} episodes"
        )
        axes.bar_label(bars, fmt="%.0f", fontsize=8)
    axes.set_xticks(range(count), names or [str(number) for number in range(count)])
    axes.set(ylabel="share of the steps, %")
    axes.legend(fontsize=8)
    return figure


def value(values: np.ndarray, episode: Episode, gamma: float) -> Figure:
    """What the critic expects along an episode, and what came: the discounted rewards to go, and the rewards summed up so far."""
    figure = Figure(figsize=(7.2, 3.4), layout="constrained")
    axes = figure.subplots()
    axes.plot(values, color=_BLUE, label="value: what the critic expects from here on")
    axes.plot(rewards_to_go(episode.rewards, gamma), color=_RED, lw=1, label="what came from here on")
    axes.plot(np.cumsum(episode.rewards), color=_GREY, lw=1, label="return so far")
    axes.set(xlabel="step of the episode", ylabel="sum of rewards", title=median(episode.total))
    axes.title.set_size(9)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return figure


def strip(pictures: np.ndarray, steps: np.ndarray, total: float, count: int = 8) -> Figure:
    """An episode in `count` of its pictures (k, h, w, 3), at `steps` (k,): evenly spaced, the first and the last among them."""
    shown = np.unique(np.linspace(0, len(pictures) - 1, min(count, len(pictures))).round().astype(int))
    columns = min(4, len(shown))
    lines = -(-len(shown) // columns)
    high, wide = pictures.shape[1:3]
    figure = Figure(figsize=(2.4 * columns, lines * (2.4 * high / wide + 0.25) + 0.3), layout="constrained")
    grid = np.atleast_1d(figure.subplots(lines, columns)).ravel()
    for axes in grid:
        axes.axis("off")
    for axes, place in zip(grid, shown, strict=False):
        axes.imshow(pictures[place])
        axes.set_title(f"step {steps[place]}", fontsize=8)
    figure.suptitle(median(total), fontsize=9)
    return figure


def median(total: float) -> str:
    """Which episode is shown."""
    return f"return {total:.0f}: the median of the measured episodes"


def iqm(values: Sequence[float]) -> float:
    """Interquartile mean: of the middle half of the values (Agarwal et al. 2021); of five, the middle three."""
    return float(trim_mean(values, 0.25))


def interval(values: Sequence[float], draws: int = 2_000) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the interquartile mean over seeds."""
    picked = np.random.default_rng(0).choice(np.asarray(values, float), (draws, len(values)))
    low, high = np.percentile(trim_mean(picked, 0.25, axis=1), [2.5, 97.5])
    return float(low), float(high)


def study(rows: list[dict[str, Any]], table: list[str]) -> Figure:
    """The arms of a study: greedy validation return over training (line: interquartile mean, band: least to most over the seeds, cut
    off below the lines), and the test's returns (dots: seeds; bar: interquartile mean with its bootstrap interval; diamond: that of
    drawn actions)."""
    rows = [row for row in rows if row.get("test/return") is not None]
    labels = list(dict.fromkeys(row["label"] for row in rows))
    figure = Figure(figsize=(11, max(4.0, 0.42 * len(labels) + 1.6)), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    lowest = math.inf
    for place, label in enumerate(labels):
        own = [row for row in rows if row["label"] == label]
        curves = [_curve(row["history"]) for row in own]
        steps = np.linspace(max(c[0][0] for c in curves), min(c[0][-1] for c in curves), 100)
        values = np.stack([np.interp(steps, *curve) for curve in curves])
        middles = [iqm(column) for column in values.T]
        lowest = min(lowest, *middles)
        (line,) = left.plot(steps, middles, label=label)
        left.fill_between(steps, values.min(0), values.max(0), color=line.get_color(), alpha=0.12, lw=0)
        returns = [row["test/return"] for row in own]
        middle, (low, high) = iqm(returns), interval(returns)
        right.barh(place, middle, 0.7, color=line.get_color(), alpha=0.5, xerr=[[middle - low], [high - middle]], capsize=3)
        right.plot(returns, [place] * len(returns), ".", color="black", ms=4)
        right.plot(iqm([row["test/sampled_return"] for row in own]), place, "D", color="black", mfc="white", ms=5)
    seeds = max(sum(row["label"] == label for row in rows) for label in labels)
    left.set(xlabel="environment steps", ylabel="greedy return on validation seeds")
    top = left.get_ylim()[1]
    left.set_ylim(lowest - 0.05 * (top - lowest), top)
    right.set(xlabel=f"return of the test\n(dots: greedy, {seeds} seeds; diamond: actions drawn)")
    right.set_yticks(range(len(labels)), labels, fontsize=8)
    right.invert_yaxis()
    left.xaxis.set_major_formatter(EngFormatter())
    left.legend(fontsize=8)
    for axes in (left, right):
        axes.grid(alpha=0.3)
    return figure


def _curve(history: Sequence[Mapping[str, Any]]) -> tuple[list[float], list[float]]:
    found = [row for row in history if "val/return" in row]
    return [row["val/env_steps"] for row in found], [row["val/return"] for row in found]
