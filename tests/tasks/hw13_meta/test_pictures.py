"""The figures of homework 13 that show data."""

from __future__ import annotations

import numpy as np

from ml2020.tasks.hw13_meta import figures


def plain(*shades: int) -> np.ndarray:
    """Pictures of one shade each, (n, 1, 4, 4) in [0, 1]."""
    return np.broadcast_to(np.array(shades, np.float32)[:, None, None, None] / 255, (len(shades), 1, 4, 4))


def test_an_episode_has_a_column_a_class_and_colours_what_was_told_right():
    # Two classes, two shots, two queries each; the queries do not come class by class, and the last is taken for class 0.
    figure = figures.episode(plain(10, 11, 20, 21), plain(12, 22, 13, 23), np.array([0, 1, 0, 1]), np.array([0, 1, 0, 0]))
    (axes,) = figure.axes
    image = axes.images[0].get_array()
    assert image.shape == (4 * 8, 2 * 8, 3)  # pictures of 4 in frames of 2
    assert image[4::8, 4::8, 0].tolist() == [[10, 20], [11, 21], [12, 22], [13, 23]]
    frames = image[::8, ::8].tolist()
    assert frames[0] == frames[1] == [list(figures._NEUTRAL)] * 2 and frames[2] == [list(figures._RIGHT)] * 2
    assert frames[3] == [list(figures._RIGHT), list(figures._WRONG)]
    assert [text.get_text() for text in axes.texts] == ["0"] and figure.get_suptitle() == "3 of 4 told right"


def test_an_episode_without_predictions_is_neutral():
    figure = figures.episode(plain(10, 20), plain(12, 22), np.array([0, 1]))
    frames = figure.axes[0].images[0].get_array()[::8, ::8].reshape(-1, 3)
    assert (frames == figures._NEUTRAL).all() and not figure.axes[0].texts and not figure.get_suptitle()


def test_a_sheet_has_a_row_a_character():
    pictures = np.arange(6, dtype=np.uint8).reshape(2, 3, 1, 1).repeat(4, 2).repeat(4, 3)
    image = figures.sheet(pictures).axes[0].images[0].get_array()
    assert image[4::8, 4::8, 0].tolist() == [[0, 1, 2], [3, 4, 5]]
