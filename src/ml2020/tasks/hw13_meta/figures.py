"""Figures of homework 13: numbers in, a matplotlib Figure out."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

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
