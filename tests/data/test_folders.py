"""Folders of pictures: the layouts that are read, and what is said about broken ones."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ml2020.core.errors import UserError
from ml2020.data.folders import decode, list_pictures


def as_zip(folder: Path, inner: str = "") -> Path:
    target = folder.parent / "packed" / "food.zip"
    target.parent.mkdir()
    with zipfile.ZipFile(target, "w") as archive:
        for file in sorted(folder.rglob("*.jpg")):
            archive.write(file, inner + file.relative_to(folder).as_posix())
    return target


def test_the_courses_names_give_the_class_and_the_order(food: Path):
    listing = list_pictures(str(food))
    assert listing.classes == ["0", "1", "2"]
    assert {split: len(files) for split, files in listing.files.items()} == {"train": 39, "val": 15, "predict": 5}
    assert listing.files["predict"] == [f"evaluation/{i:04}.jpg" for i in range(5)]
    assert listing.files["train"][:2] == ["training/0_0.jpg", "training/0_3.jpg"]  # 0_3 before 0_12: by number, not by letter
    assert listing.kinds["train"][:13] == ["0"] * 13 and listing.kinds["predict"] == [None] * 5


@pytest.mark.parametrize("inner", ["", "food-11/"])
def test_a_zip_reads_like_its_folder(food: Path, inner: str):
    packed = as_zip(food, inner)
    whole, zipped = list_pictures(str(food)), list_pictures(str(packed))
    assert zipped.kinds == whole.kinds
    a, b = decode(whole, 16, "crop"), decode(zipped, 16, "crop")
    assert all(np.array_equal(a[split], b[split]) for split in a)
    assert list_pictures(str(packed.parent)).kinds == whole.kinds  # a folder that holds the zip alone


def test_class_folders_are_read_too(food: Path):
    for file in list(food.glob("training/*.jpg")) + list(food.glob("validation/*.jpg")):
        kind = ("bread", "dairy", "egg")[int(file.name[0])]
        (file.parent / kind).mkdir(exist_ok=True)
        file.rename(file.parent / kind / file.name)
    listing = list_pictures(str(food))
    assert listing.classes == ["bread", "dairy", "egg"] and listing.kinds["train"].count("egg") == 13


def test_a_picture_is_cut_in_the_middle_or_stretched(tmp_path: Path):
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, 20:40] = 255
    for split in ("train", "val"):
        for kind in "ab":
            (tmp_path / split / kind).mkdir(parents=True)
            Image.fromarray(wide).save(tmp_path / split / kind / "x.png")
    listing = list_pictures(str(tmp_path))
    assert decode(listing, 20, "crop")["train"].min() == 255
    assert decode(listing, 20, "stretch")["train"].mean() == pytest.approx(85, abs=3)


def test_changed_files_change_the_fingerprint(food: Path):
    before = list_pictures(str(food)).fingerprint
    assert list_pictures(str(food)).fingerprint == before
    (food / "training" / "0_0.jpg").write_bytes(b"other")
    assert list_pictures(str(food)).fingerprint != before


def broken(food: Path, how: str) -> Path:
    match how:
        case "missing":
            return food / "nowhere"
        case "empty":
            shutil.rmtree(food)
            food.mkdir()
        case "no class":
            (food / "training" / "picture.jpg").write_bytes(b"")
        case "strange class":
            shutil.copy(food / "validation" / "0_0.jpg", food / "validation" / "9_0.jpg")
        case "one class":
            for file in food.glob("*ing/*.jpg"):
                if not file.name.startswith("0_"):
                    file.unlink()
            shutil.rmtree(food / "validation")
        case "cut zip":
            packed = as_zip(food)
            packed.write_bytes(packed.read_bytes()[:500])
            return packed
        case "not a zip":
            return food / "training" / "0_0.jpg"
    return food


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ("missing", "there is no folder"),
        ("empty", "holds no training pictures"),
        ("no class", "picture.jpg has no class"),
        ("strange class", "have a class 9 that no training picture has"),
        ("one class", "holds one class only, 0"),
        ("cut zip", "cannot be read as a zip file"),
        ("not a zip", "is neither a folder nor a zip file"),
    ],
)
def test_a_broken_folder_is_told_in_one_sentence(food: Path, how: str, sentence: str):
    with pytest.raises(UserError, match=sentence):
        list_pictures(str(broken(food, how)))


def test_a_broken_picture_is_named(food: Path):
    (food / "training" / "1_4.jpg").write_bytes((food / "training" / "1_4.jpg").read_bytes()[:200])
    with pytest.raises(UserError, match=r"training/1_4.jpg cannot be read as a picture"):
        decode(list_pictures(str(food)), 16, "crop")
