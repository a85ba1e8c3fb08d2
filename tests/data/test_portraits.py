"""Portraits drawn from seeds."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import numpy as np
import pytest

from ml2020.core.errors import UserError
from ml2020.data.portraits import HEAD, STYLES, credit, picture, portraits

pytest.importorskip("resvg_py")


def test_a_seed_repeats_its_portraits_no_two_are_alike_and_few_are_the_first_of_many(tmp_path: Path):
    many = portraits(12, 32, cache_dir=str(tmp_path))
    assert many.shape == (12, 3, 32, 32) and many.dtype == np.uint8
    assert np.array_equal(portraits(5, 32, cache_dir=str(tmp_path)), many[:5])
    assert len({one.tobytes() for one in many}) == 12
    assert not np.array_equal(portraits(1, 32, seed=1, cache_dir=str(tmp_path))[0], many[0])


def test_the_generator_is_frozen(tmp_path: Path):
    # If this fails, the portraits of a seed have changed: raise GENERATOR and measure every recorded figure again.
    assert portraits(12, 32, middle=HEAD, cache_dir=str(tmp_path)).mean() == pytest.approx(144.93, abs=0.1)


def test_a_close_view_is_the_middle_of_a_far_one():
    far, near = (picture("adventurer", "0/1", size, middle).astype(float) for size, middle in ((64, 1.0), (54, HEAD)))
    assert np.abs(far[:, 5:59, 5:59] - near).mean() < 1.0  # drawn again, not cut: edges may differ by a part of a pixel


def test_every_style_can_be_drawn_and_names_its_artist_and_licence():
    for style in STYLES:
        artist, licence = credit(style)
        assert " by " in artist and licence
        assert picture(style, "0/0", 16).std() > 5
    assert credit("adventurer") == ("Adventurer by Lisa Wischofsky", "CC BY 4.0")


def test_a_missing_package_is_one_sentence(monkeypatch: pytest.MonkeyPatch):
    def missing(package: str) -> str:
        raise importlib.metadata.PackageNotFoundError(package)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    with pytest.raises(UserError, match=r"dicebear-core, which is not installed; type pip install -e '\.\[samples\]'"):
        portraits(1, 16)
