"""The embedded characters: skeletons against the paper's rule pixel by pixel, drawings against areas, scripts on one side each."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage

from ml2020.tasks.hw13_meta import letters
from ml2020.tasks.hw13_meta.characters import Characters


@pytest.fixture(scope="module")
def written() -> tuple[np.ndarray, np.ndarray]:
    return letters.written()


def halved(glyphs: np.ndarray) -> np.ndarray:
    return glyphs.reshape(-1, 64, 2, 64, 2).mean((2, 4)) > 127


def thinned_by_the_paper(shape: np.ndarray) -> np.ndarray:
    """Zhang and Suen 1984, conditions (a) to (d) and (c'), (d'), one pixel after another."""
    picture = np.pad(shape, 1).astype(int)
    while True:
        removed = 0
        for step in (1, 2):
            marked = []
            for y, x in np.argwhere(picture):
                p2, p3, p4, p5, p6, p7, p8, p9 = (
                    picture[y + dy, x + dx] for dy, dx in ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))
                )
                ring = [p2, p3, p4, p5, p6, p7, p8, p9, p2]
                transitions = sum(ring[i] == 0 and ring[i + 1] == 1 for i in range(8))
                if not (2 <= sum(ring[:8]) <= 6 and transitions == 1):
                    continue
                if step == 1 and p2 * p4 * p6 == 0 and p4 * p6 * p8 == 0:
                    marked.append((y, x))
                if step == 2 and p2 * p4 * p8 == 0 and p2 * p6 * p8 == 0:
                    marked.append((y, x))
            for place in marked:
                picture[place] = 0
            removed += len(marked)
        if not removed:
            return picture[1:-1, 1:-1].astype(bool)


def test_thinning_does_what_the_paper_says_pixel_by_pixel(written: tuple[np.ndarray, np.ndarray]):
    shapes = halved(written[1][[0, 7, 200, 700, 1_000, 1_500]])
    noise = np.random.default_rng(0).random((4, 64, 64)) < 0.6
    for shape, found in zip([*shapes, *noise], letters.thin(np.concatenate([shapes, noise])), strict=True):
        np.testing.assert_array_equal(found, thinned_by_the_paper(shape))


def test_a_skeleton_has_the_parts_and_the_holes_of_its_letter(written: tuple[np.ndarray, np.ndarray]):
    codes, glyphs = written
    for letter, parts, holes in (("O", 1, 1), ("B", 1, 2), ("H", 1, 0), ("Ξ", 3, 0), ("Ф", 1, 2)):
        (skeleton,) = letters.thin(halved(glyphs[codes == ord(letter)]))
        assert ndimage.label(skeleton, np.ones((3, 3)))[1] == parts
        assert ndimage.label(~skeleton)[1] == holes + 1  # the ground around it is one
        blocks = skeleton[:-1, :-1] & skeleton[1:, :-1] & skeleton[:-1, 1:] & skeleton[1:, 1:]
        assert not blocks.any()  # one pixel wide


def test_a_path_goes_along_the_pixels_and_around_corners():
    #  . X X      one step to the right, one down, one to the lower left; no diagonal across the corner
    #  . . X
    #  . X .
    found = letters.path(np.array([[0, 1, 1], [0, 0, 1], [0, 1, 0]], bool))
    pixels = [(1, 0), (2, 0), (2, 1), (1, 2)]
    between = [(1 + 1 / 3, 0), (1 + 2 / 3, 0), (2, 1 / 3), (2, 2 / 3), (2 - 1 / 3, 1 + 1 / 3), (2 - 2 / 3, 1 + 2 / 3)]
    assert sorted(map(tuple, found.round(6))) == sorted((round(x, 6), round(y, 6)) for x, y in pixels + between)
    falling = letters.path(np.eye(3, dtype=bool))
    np.testing.assert_allclose(sorted(falling.tolist()), [[i / 3] * 2 for i in range(7)])


@pytest.mark.parametrize("radius", [0.65, 0.9, 1.15])
def test_ink_covers_the_area_that_a_round_pen_does(radius: float):
    rng = np.random.default_rng(0)
    dots = inked(rng.uniform(10, 18, (200, 1, 2)), radius)
    # The soft edge, one pixel wide, adds pi / 12 to the area of a disc.
    assert dots.mean() == pytest.approx(math.pi * (radius**2 + 1 / 12), rel=0.01)
    angle, along = rng.uniform(0, math.pi, (200, 1)), np.linspace(-5, 5, 40)
    strokes = 14 + along[None, :, None] * np.stack([np.cos(angle), np.sin(angle)], 2)
    assert inked(strokes, radius).mean() == pytest.approx(10 * 2 * radius + math.pi * (radius**2 + 1 / 12), rel=0.01)


def inked(points: np.ndarray, radius: float) -> np.ndarray:
    """White pixels' worth of ink in each drawing."""
    return letters.inked(points, np.full((len(points), 1), radius)).sum((1, 2)) / 255


def test_a_drawing_fills_its_share_of_the_frame_and_no_two_are_alike(written: tuple[np.ndarray, np.ndarray]):
    codes, glyphs = written
    (skeleton,) = letters.thin(halved(glyphs[codes == ord("K")]))
    drawings = np.concatenate([letters.draw(skeleton, np.random.default_rng(i), 0.05) for i in range(10)])
    assert drawings.shape == (200, 28, 28) and drawings.dtype == np.uint8
    assert len(np.unique(drawings.reshape(200, -1), axis=0)) == 200
    for drawing in drawings:
        rows, columns = (np.flatnonzero((drawing > 127).any(axis)) for axis in (1, 0))
        side = max(np.ptp(rows), np.ptp(columns)) + 1
        # The path takes .62 to .86 of 28 pixels, the pen 1.3 to 2.3 more, and half a pixel is lost or won at either end.
        assert 28 * 0.62 + 1.3 - 1 <= side <= 28 * 0.86 + 2.3 + 1
        assert abs(rows[0] + rows[-1] - 27) <= 2 and abs(columns[0] + columns[-1] - 27) <= 2  # in the middle


def test_a_hand_that_does_not_stray_only_turns_and_stretches():
    line = np.zeros((64, 64), bool)
    line[20:40, 30] = True
    for drawing in letters.draw(line, np.random.default_rng(0), 0.0):
        y, x = np.nonzero(drawing > 127)
        assert np.linalg.svd(np.stack([x - x.mean(), y - y.mean()]), compute_uv=False)[1] / math.sqrt(len(x)) < 1  # as thin as the pen
    widths = [
        np.mean([np.linalg.svd(np.argwhere(d > 127).T - np.argwhere(d > 127).mean(0)[:, None], compute_uv=False)[1] for d in drawn])
        for drawn in (letters.draw(line, np.random.default_rng(1), wobble) for wobble in (0.0, 0.05, 0.15))
    ]
    assert widths[0] < widths[1] < widths[2]


def test_letters_that_look_alike_are_one_class(written: tuple[np.ndarray, np.ndarray]):
    codes, glyphs = letters.distinct(*written)
    kept = set(map(chr, codes))
    assert "A" in kept and not kept & {"Α", "А"}  # of Greek and Cyrillic
    assert "O" in kept and "Ο" not in kept and "О" not in kept
    assert {"Ж", "Ω", "א", "Ա", "ღ"} <= kept
    small = ndimage.gaussian_filter(np.stack([letters._framed(glyph) for glyph in glyphs]), (0, 0.8, 0.8)).reshape(len(glyphs), -1)
    likeness = np.corrcoef(small) - np.eye(len(small))
    assert likeness.max() <= 0.86


def test_a_script_is_on_one_side():
    sides = {letter: letters.split_of(ord(letter)) for letter in "AЖωبԱאߊⵣⴀກᚁაᐃ"}
    assert sides == dict(zip("AЖωبԱאߊⵣⴀກᚁაᐃ", ["train"] * 2 + ["val"] * 2 + ["test"] * 7 + ["train"] * 2, strict=True))


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch, written: tuple[np.ndarray, np.ndarray]) -> None:
    """A font of nine letters."""
    chosen = np.isin(written[0], [ord(letter) for letter in "ABCKωΞԱאⵣ"])
    monkeypatch.setattr(letters, "written", lambda: (written[0][chosen], written[1][chosen]))


def test_a_letter_s_drawings_depend_on_the_seed_and_the_letter_alone(few: None, written: tuple, tmp_path: Path):
    found = letters.letters(3, 0.05, str(tmp_path / "a"))
    assert {split: array.shape for split, array in found.items()} == {
        "train": (4, 20, 28, 28),
        "val": (2, 20, 28, 28),
        "test": (3, 20, 28, 28),
    }
    (skeleton,) = letters.thin(halved(written[1][written[0] == ord("K")]))
    np.testing.assert_array_equal(found["train"][3], letters.draw(skeleton, np.random.default_rng([3, ord("K")]), 0.05))
    again = letters.letters(3, 0.05, str(tmp_path / "a"))  # from the cache
    assert all(np.array_equal(found[split], again[split]) for split in found)
    assert not np.array_equal(found["test"], letters.letters(4, 0.05, str(tmp_path / "a"))["test"])


@pytest.mark.full  # 15 s: draws all letters
def test_pixels_alone_tell_less_than_half_of_the_test_s_letters(tmp_path: Path):
    arrays = letters.letters(0, 0.05, str(tmp_path))
    assert sum(map(len, arrays.values())) > 900 and len(arrays["test"]) > 180 and len(arrays["val"]) > 80
    drawn = Characters(torch.from_numpy(arrays["test"]), 5, 1, 5).draw(torch.arange(600))
    nearest = torch.cdist(drawn.query.flatten(2), drawn.support.flatten(2)).argmin(2)
    assert (nearest == drawn.query_targets).float().mean() == pytest.approx(0.426, abs=0.04)  # another maker of such letters: .426
