"""The table of drawings and the pictures made of them."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from PIL import Image

from ml2020.data import drawings


@pytest.fixture(scope="module")
def table() -> list[drawings.Drawing]:
    return drawings.table()


def test_there_are_eleven_classes_and_two_artists(table: list[drawings.Drawing]):
    kinds = Counter(d.kind for d in table)
    assert len(table) == 892 and len(kinds) == 11
    assert kinds["bird"] == 38 and kinds["dish"] == 124


def test_no_thing_is_in_two_classes(table: list[drawings.Drawing]):
    kinds: dict[str, set[str]] = {}
    for drawing in table:
        kinds.setdefault(drawing.thing, set()).add(drawing.kind)
    assert all(len(found) == 1 for found in kinds.values())
    assert kinds["1F9AD"] == {"mammal"}  # the seal lies in the ranges of two classes


def test_every_drawing_is_there_and_large_enough(table: list[drawings.Drawing]):
    sizes = [drawings.picture(d.artist, d.thing).size for d in table]
    assert min(max(size) for size in sizes) >= 40


def test_near_duplicates_share_a_unit(table: list[drawings.Drawing]):
    rows = []
    for d in table:
        small = np.asarray(drawings.picture(d.artist, d.thing).resize((24, 24), Image.Resampling.LANCZOS), float) / 255
        row = np.concatenate([(small[..., :3] * small[..., 3:]).ravel(), small[..., 3].ravel()])
        rows.append((row - row.mean()) / np.linalg.norm(row - row.mean()))
    alike = np.triu(np.stack(rows) @ np.stack(rows).T, 1) > 0.93
    pairs = [(table[i], table[j]) for i, j in zip(*np.nonzero(alike), strict=True)]
    assert len(pairs) >= 4  # the check itself finds the known ones
    assert [(a.name, b.name) for a, b in pairs if a.unit != b.unit] == []


def test_a_view_depends_on_its_generator_alone(table: list[drawings.Drawing]):
    one, same, other = (drawings.view(table[100], 48, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert one.shape == (48, 48, 3) and one.dtype == np.uint8
    assert np.array_equal(one, same) and not np.array_equal(one, other)


def test_grounds_are_pale():
    grounds = [drawings.background(48, np.random.default_rng(seed)).mean() for seed in range(50)]
    assert 150 < np.mean(grounds) < 250
