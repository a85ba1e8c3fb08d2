"""The data of homework 3: honest splits, frozen pictures, the course's layout."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from ml2020.core.errors import UserError
from ml2020.data.augment import Augment
from ml2020.tasks.hw03_cnn.data import Drawings, Folder, split_drawings


@pytest.mark.parametrize("seed", [0, 1, 7])
@pytest.mark.parametrize("by", ["drawing", "thing"])
def test_no_unit_is_in_two_splits(seed: int, by: str):
    splits = split_drawings(seed, by)
    units = {name: {d.unit if by == "drawing" else d.family for d in chosen} for name, chosen in splits.items()}
    assert not units["train"] & units["val"] | units["train"] & units["test"] | units["val"] & units["test"]
    assert sum(map(len, splits.values())) == 892
    assert len(splits["test"]) == pytest.approx(0.2 * 892, abs=5)


@pytest.mark.parametrize("seed", range(5))
def test_every_class_has_eight_drawings_for_validation(seed: int):
    kinds = [d.kind for d in split_drawings(seed)["val"]]
    assert min(kinds.count(kind) for kind in set(kinds)) >= 8 and len(set(kinds)) == 11


def small(seed: int = 0) -> Drawings:
    data = Drawings(seed, 24, train_per_class=6, val_per_class=2, test_per_class=2, cache_dir=os.environ["ML2020_CACHE_DIR"])
    data.prepare()
    return data


def test_pictures_depend_on_the_data_seed_alone():
    torch.manual_seed(1)
    one = small()
    torch.manual_seed(2)
    two, other = small(), small(seed=1)
    assert torch.equal(one.splits["test"][0], two.splits["test"][0]) and one.fingerprint == two.fingerprint
    assert not torch.equal(one.splits["test"][0], other.splits["test"][0]) and one.fingerprint != other.fingerprint


def test_the_generator_is_frozen():
    # If this fails, the pictures of a seed have changed: raise GENERATOR and measure every recorded figure again.
    pictures = small().splits["train"][0]
    assert pictures.shape == (66, 3, 24, 24)
    assert float(pictures.float().mean()) == pytest.approx(FROZEN_MEAN, abs=0.1)


FROZEN_MEAN = 178.69


def test_evaluation_sees_pictures_as_they_are():
    data = small()
    data.augment = Augment(rotate=90, mixup=1.0)
    x, y = next(iter(data.evaluation_loaders()["train"]))
    assert torch.equal(x, data.splits["train"][0] / 255) and y.ndim == 1


def test_the_courses_folder_gives_its_splits(food: Path):
    data = Folder(str(food), 16, cache_dir=str(food.parent / "cache"))
    data.prepare()
    assert data.spec["input"] == [3, 16, 16] and data.spec["classes"] == ["0", "1", "2"]
    assert {split: len(x) for split, (x, _) in data.splits.items()} == {"train": 39, "val": 15, "predict": 5}
    x, y = data.splits["train"]
    assert torch.equal(x.float().mean((2, 3)).argmax(1), y)  # class 0 is red, 1 green, 2 blue
    assert data.source.kind == "files"


def test_the_originals_merged_split_is_70_30_and_seeded(food: Path):
    def merged(seed: int) -> Folder:
        data = Folder(str(food), 16, split="merged", seed=seed, cache_dir=str(food.parent / "cache"))
        data.prepare()
        return data

    one = merged(0)
    assert (len(one.splits["train"][0]), len(one.splits["val"][0])) == (38, 16)
    assert torch.equal(one.splits["val"][1], merged(0).splits["val"][1])
    assert not torch.equal(one.splits["val"][0], merged(1).splits["val"][0])


def test_too_few_pictures_are_told(food: Path):
    for file in [*[*food.glob("training/*")][6:], *food.glob("validation/*")]:
        file.unlink()
    with pytest.raises(UserError, match="at least"):
        Folder(str(food), 16, split="merged", cache_dir=str(food.parent / "cache")).prepare()
