"""Figures of homework 4: numbers in, a matplotlib Figure out."""

from __future__ import annotations

import re
import textwrap
from typing import Any

import numpy as np
from matplotlib.figure import Figure

Series = tuple[list[int], list[float]]
_BLUE, _GREY, _RED = "#1f5fa8", "0.6", "#c0392b"


def curves(train_loss: Series, val_loss: Series, val_acc: Series, starts: dict[str, int]) -> Figure:
    """Loss and accuracy against training steps; `starts`: the step before which each phase began."""
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(*train_loss, label="training", color=_GREY, lw=1)
    left.plot(*val_loss, label="validation", color=_BLUE, marker=".")
    left.set(xlabel="step", ylabel="log loss, nats")
    left.legend(fontsize=8)
    right.plot(*val_acc, color=_BLUE, marker=".")
    right.set(xlabel="step", ylabel="validation accuracy")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        for name, step in starts.items():
            axes.axvline(step, color="0.5", lw=0.8, ls=":")
            axes.annotate(name, (step, 1), xycoords=("data", "axes fraction"), rotation=90, fontsize=6, color="0.4", va="top")
    return figure


def probabilities(odds: np.ndarray, labels: np.ndarray, split: str) -> Figure:
    """How sure the network is of the texts of either class: log odds (n,), labels (n,)."""
    p = 1 / (1 + np.exp(-odds))
    figure = Figure(figsize=(6.4, 3.4), layout="constrained")
    axes = figure.subplots()
    bins = np.linspace(0, 1, 41)
    for label, word, colour in ((0, "negative", _RED), (1, "positive", _BLUE)):
        axes.hist(p[labels == label], bins, alpha=0.6, color=colour, label=f"truly {word}")
    axes.set(xlabel="probability of positive", ylabel=f"texts ({split})", yscale="log")
    axes.legend(fontsize=8)
    return figure


def pool(p: np.ndarray, truth: np.ndarray | None, threshold: float) -> Figure:
    """How sure the network is of texts that nobody has labelled: probabilities (n,), what is true of them where it is known."""
    figure = Figure(figsize=(6.4, 3.4), layout="constrained")
    axes = figure.subplots()
    bins = np.linspace(0, 1, 41)
    if truth is None:
        axes.hist(p, bins, color="0.6")
    else:
        right = (p > 0.5) == (truth == 1)
        axes.hist([p[right], p[~right]], bins, stacked=True, color=[_BLUE, _RED], label=["right", "wrong"])
        axes.legend(fontsize=8)
    for x in (threshold, 1 - threshold):
        axes.axvline(x, color="0.3", lw=0.8, ls="--")
    axes.set(xlabel="probability of positive; accepted outside of the dashed lines", ylabel="unlabelled texts", yscale="log")
    return figure


def mistakes(texts: list[str], odds: np.ndarray, labels: np.ndarray, split: str, count: int = 14) -> Figure:
    """The texts that the network was surest of and wrong about."""
    wrong = np.flatnonzero((odds > 0) != (labels == 1))
    wrong = wrong[np.argsort(-np.abs(odds[wrong]), kind="stable")][:count]
    figure = Figure(figsize=(9, 0.3 * len(wrong) + 0.6), layout="constrained")
    axes = figure.subplots()
    axes.axis("off")
    axes.set(xlim=(0, 1), ylim=(len(wrong), 0), title=f"surest mistakes ({split}): probability of positive, and what is true")
    axes.title.set_size(9)
    for row, i in enumerate(wrong):
        p = 1 / (1 + np.exp(-odds[i]))
        axes.text(0.0, row + 0.5, f"{p:.2f}", color=_BLUE if p > 0.5 else _RED, fontsize=8, va="center")
        axes.text(0.06, row + 0.5, "positive" if labels[i] else "negative", fontsize=8, va="center")
        axes.text(0.16, row + 0.5, textwrap.shorten(shown(texts[i]), 110), fontsize=8, va="center")
    return figure


def shown(text: str) -> str:
    """A text as a figure can show it: no formula between dollars, and a dot for what no font has a picture of."""
    return "".join(letter if letter.isprintable() else "\N{MIDDLE DOT}" for letter in text).replace("$", r"\$")


def rounds(told: list[dict[str, float]], history: list[dict[str, Any]]) -> Figure:
    """Left: texts accepted in each round, and the share of them that is right. Right: the best validation accuracy of each phase."""
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    numbers = np.arange(1, len(told) + 1)
    left.bar(numbers, [row["looked"] for row in told], color="0.9", label="looked at")
    left.bar(numbers, [row["accepted"] for row in told], color=_BLUE, alpha=0.7, label="accepted")
    left.set(xlabel="round", ylabel="texts of the pool", xticks=numbers)
    left.legend(fontsize=8, loc="lower left")
    if all("right" in row for row in told):
        shares = left.twinx()
        shares.plot(numbers, [100 * row["right"] for row in told], "o-", color=_RED)
        shares.set_ylabel("of the accepted labels right, %", color=_RED)
        shares.set_ylim(min(50, *(100 * row["right"] for row in told)) - 2, 101)
    names = list(dict.fromkeys(row["phase"] for row in history if "val/acc" in row))
    best = [max(row["val/acc"] for row in history if row["phase"] == name and "val/acc" in row) for name in names]
    right.plot(range(len(names)), [100 * value for value in best], "o-", color=_BLUE)
    right.set_xticks(range(len(names)), names, fontsize=8)
    right.set(ylabel="best validation accuracy, %")
    right.grid(alpha=0.3)
    return figure


def attention(words: list[list[str]], weights: list[np.ndarray]) -> Figure:
    """Texts, each word shaded by how much it counts in its text; a long text goes on in the next line."""
    size, width = 8, 9 * 72  # points
    placed, line = [], 0
    for text, weight in zip(words, weights, strict=True):
        x = 0.0
        for word, share in zip(text, weight / weight.max(), strict=True):
            wide = 0.602 * size * len(word)  # the letters of this font are all as wide
            if x + wide > width - 12:
                x, line = 24.0, line + 1
            placed.append((x, line, shown(word), float(share)))
            x += wide + size
        line += 1
    figure = Figure(figsize=(9, 0.27 * line + 0.2))
    axes = figure.add_axes((0.01, 0, 0.99, 1))
    axes.axis("off")
    axes.set(xlim=(0, width), ylim=(line, 0))
    for x, row, word, share in placed:
        box = {"color": _BLUE, "alpha": 0.65 * share, "pad": 1.5, "lw": 0}
        axes.text(x, row + 0.5, word, fontsize=size, family="DejaVu Sans Mono", va="center", bbox=box)
    return figure


def threshold(rows: list[dict[str, Any]], table: list[str]) -> Figure:
    """Test accuracy of self-training less that of the supervised phase, against the threshold: a line a number of labels.

    Rows of the study are labelled "500 labels" (supervised) and "500 labels, threshold 0.8".
    """
    figure = Figure(figsize=(6.4, 4), layout="constrained")
    axes = figure.subplots()
    score = {(row["label"], row["seed"]): 100 * row["test/acc"] for row in rows if row.get("test/acc") is not None}
    gains: dict[str, dict[float, list[float]]] = {}
    for (label, seed), value in score.items():
        arm, comma, t = label.partition(", threshold ")
        if comma and (arm, seed) in score:
            gains.setdefault(arm, {}).setdefault(float(t), []).append(value - score[arm, seed])
    for arm, by_threshold in gains.items():
        x = sorted(by_threshold)
        spread = [np.std(by_threshold[t], ddof=1) if len(by_threshold[t]) > 1 else 0 for t in x]
        axes.errorbar(x, [np.mean(by_threshold[t]) for t in x], spread, fmt="o-", capsize=3, label=arm)
    axes.axhline(0, color="0.4", lw=0.8)
    axes.set(xlabel="threshold", ylabel="test accuracy: self-training less supervised, points")
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)
    return figure


def arms(rows: list[dict[str, Any]], table: list[str]) -> Figure:
    """A bar an arm of a study: test accuracy (validation where there is no test), each seed a dot."""
    judged = next(name for name in ("test/acc", "val/acc") if any(row.get(name) is not None for row in rows))
    labels = list(dict.fromkeys(row["label"] for row in rows))
    figure = Figure(figsize=(7.5, 0.4 * len(labels) + 1), layout="constrained")
    axes = figure.subplots()
    values = [[100 * row[judged] for row in rows if row["label"] == label and row.get(judged) is not None] for label in labels]
    axes.barh(labels, [np.mean(v) if v else 0 for v in values], 0.55, color=_BLUE)
    for i, seeds in enumerate(values):
        axes.plot(seeds, [i] * len(seeds), ".", color="black", ms=4)
        axes.text(max(seeds, default=0) + 0.4, i, f"{np.mean(seeds):.1f}" if seeds else "", va="center", fontsize=8)
    found = [v for seeds in values for v in seeds]
    axes.set(xlabel=f"{judged}, % (dots: seeds)", xlim=(min(found) - 3, max(found) + 3))
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    return figure


def by_threshold(rows: list[dict[str, Any]]) -> Figure | None:
    """Of a sweep over model.threshold: accuracy; how many labels the pool was given, and how many of these are right."""
    found: dict[float, list[dict[str, Any]]] = {}
    for row in rows:
        typed = re.search(r"model\.threshold=([0-9.]+)", row["overrides"])
        if typed and row.get("train/pool_accepted") is not None:
            found.setdefault(float(typed[1]), []).append(row)
    if len(found) < 2:
        return None
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    x = sorted(found)
    for name, colour in (("val/acc", _GREY), ("test/acc", _BLUE)):
        if all(row.get(name) is not None for t in x for row in found[t]):
            left.errorbar(x, *_means(found, x, name, 100), fmt="o-", capsize=3, color=colour, label=name)
    left.set(xlabel="threshold", ylabel="accuracy, %")
    left.legend(fontsize=8)
    left.grid(alpha=0.3)
    right.bar(x, _means(found, x, "train/pool_accepted")[0], 0.4 * min(np.diff(x)), color=_BLUE, alpha=0.7)
    right.set(xlabel="threshold", ylabel="labels given to the pool, all rounds")
    if all(row.get("train/pool_right") is not None for t in x for row in found[t]):
        shares = right.twinx()
        shares.errorbar(x, *_means(found, x, "train/pool_right", 100), fmt="o-", capsize=3, color=_RED)
        shares.set_ylabel("of these right, %", color=_RED)
    return figure


def _means(found: dict[float, list[dict[str, Any]]], x: list[float], name: str, scale: float = 1) -> tuple[list[float], list[float]]:
    """Means and standard deviations over the jobs at each place."""
    values = [[scale * row[name] for row in found[t]] for t in x]
    return [float(np.mean(v)) for v in values], [float(np.std(v, ddof=1)) if len(v) > 1 else 0.0 for v in values]


def two_sentences(rows: list[dict[str, Any]], table: list[str]) -> Figure:
    """How likely positive each of the course's two sentences is to each arm; a dot a seed."""
    arms = list(dict.fromkeys(row["label"] for row in rows))
    figure = Figure(figsize=(6.4, 0.7 * len(arms) + 1.2), layout="constrained")
    axes = figure.subplots()
    for shift, (name, text, colour) in enumerate(
        (("good_but_hot", "a good day, but it is hot", _RED), ("hot_but_good", "hot, but it is a good day", _BLUE))
    ):
        values = [[row[f"test/{name}"] for row in rows if row["label"] == arm and row.get(f"test/{name}") is not None] for arm in arms]
        places = np.arange(len(arms)) + 0.36 * shift - 0.18
        axes.barh(places, [np.mean(v) if v else 0 for v in values], 0.34, color=colour, alpha=0.6, label=f"today is {text}")
        for place, seeds in zip(places, values, strict=True):
            axes.plot(seeds, [place] * len(seeds), ".", color="black", ms=4)
    axes.set_yticks(range(len(arms)), arms)
    axes.set(xlabel="probability of positive (dots: seeds)", xlim=(0, 1))
    axes.axvline(0.5, color="0.4", lw=0.8)
    axes.invert_yaxis()
    axes.legend(fontsize=7, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    return figure
