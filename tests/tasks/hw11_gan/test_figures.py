"""The figures of homework 11: what stands where, and frames that an animation can be made of."""

from __future__ import annotations

import numpy as np
import pytest

from ml2020.core.animation import gif
from ml2020.tasks.hw11_gan import figures


def plain(*shades: int, size: int = 4) -> np.ndarray:
    """Pictures of one color each, (n, 3, size, size) uint8: the shade, 0 and 255 minus the shade."""
    colors = np.array([[shade, 0, 255 - shade] for shade in shades], np.uint8)
    return np.broadcast_to(colors[:, :, None, None], (len(shades), 3, size, size))


def test_pictures_are_tiled_row_by_row():
    sheet = figures.tiled(plain(10, 20, 30, 40, 50), columns=3, scale=2)
    assert sheet.shape == (2 * (4 + 1 + 4), 2 * (3 * 5 - 1), 3) and sheet.dtype == np.uint8
    assert sheet[0, 0].tolist() == [10, 0, 245] and sheet[7, 27].tolist() == [30, 0, 225]  # the corners of the first row
    assert sheet[10, 0].tolist() == [40, 0, 215] and sheet[10, 10].tolist() == [50, 0, 205]
    assert (sheet[8:10] == 255).all() and (sheet[:, 8:10] == 255).all() and (sheet[10:, 20:] == 255).all()  # lines, and the sixth place


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (9, 3), (10, 4), (64, 8)])
def test_a_grid_is_as_square_as_it_can_be(count: int, columns: int):
    assert figures.tiled(plain(*range(count)), gap=0).shape[1] == 4 * columns


def test_rows_are_labelled_where_they_stand():
    figure = figures.rows({"raw": plain(1, 2, 3), "averaged": plain(4, 5, 6)}, notes=["a", "b", "c"])
    (axes,) = figure.axes
    shown = axes.images[0].get_array()
    for label, y, shades in zip(axes.get_yticklabels(), axes.get_yticks(), ((1, 2, 3), (4, 5, 6)), strict=True):
        assert label.get_text() == ("raw" if shades[0] == 1 else "averaged")
        assert [int(shown[int(y), int(x), 0]) for x in axes.get_xticks()] == list(shades)


def test_a_copy_is_marked_beside_its_original():
    figure = figures.beside_real(plain(1, 2, 3), plain(1, 2, 3), [0.5, 0.9, 0.97], copy=0.9)
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["0.50", "0.90 copy", "0.97 copy"]


def test_distances_have_panels_counts_and_the_value_of_real_against_real():
    epochs = [1, 2, 3]
    curves = {"frechet": (epochs, [90, 50, 40]), "precision": (epochs, [0.1, 0.5, 0.6]), "recall": (epochs, [0, 0.2, 0.3])}
    figure = figures.over_epochs(curves, (500, 1_000), {"frechet": 12.0})
    left, right = figure.axes  # without curves of its own a panel is left out
    assert [list(line.get_ydata()) for line in left.lines] == [[90, 50, 40], [12, 12]] and len(right.lines) == 2
    assert left.get_ylim()[0] == 0 and right.get_ylim() == (0, 1.02)
    assert figure.get_suptitle() == "500 real against 1,000 generated pictures"


def test_an_arm_has_one_color_in_all_panels_and_a_mean_over_its_seeds():
    x = [1, 2]
    curves = {
        "recall": {"dcgan": [(x, [0.6, 0.0]), (x, [0.4, 0.2])], "hinge": [(x, [0.5, 0.7])]},
        "frechet": {"hinge": [(x, [90, 50])], "dcgan": [([1], [80]), (x, [90, 99])]},  # one seed was broken off
    }
    figure = figures.collapse(curves)
    left, right = figure.axes
    lines = [(line.get_color(), list(line.get_ydata())) for line in left.lines if len(line.get_xdata())]
    assert lines == [("C0", [0.6, 0.0]), ("C0", [0.4, 0.2]), ("C0", [0.5, 0.1]), ("C1", [0.5, 0.7])]
    assert [line.get_color() for line in right.lines] == ["C1", "C0", "C0"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["dcgan", "hinge"]


def test_rings_of_different_points_are_frames_of_one_animation():
    rng = np.random.default_rng(0)
    shown = [figures.frame(figures.ring(rng.normal(0, s, (50, 2)), rng.normal(0, 1, (50, 2)), 2, f"step {s}")) for s in (1, 10)]
    assert shown[0].shape == shown[1].shape and shown[0].dtype == np.uint8 and (shown[0] != shown[1]).any()
    assert gif(np.stack(shown), 5)[:3] == b"GIF"
