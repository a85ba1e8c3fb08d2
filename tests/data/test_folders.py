"""Folders of pictures: the layouts that are read, and what is said about broken ones."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ml2020.core.errors import UserError
from ml2020.data.folders import decode, list_faces, list_pictures


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


def faces(place: Path, count: int = 3) -> Path:
    """A folder of pictures without classes: 0.png, 1.png, ..., the i-th of the brightness 10 i."""
    place.mkdir()
    for i in range(count):
        Image.new("RGB", (8, 8), (10 * i,) * 3).save(place / f"{i}.png")
    return place


def test_faces_stand_in_the_order_of_their_numbers_without_the_litter_of_file_managers(tmp_path: Path):
    place = faces(tmp_path / "faces", 12)
    for name in (".DS_Store", "Thumbs.db", "desktop.ini", "._3.png"):
        (place / name).write_bytes(b"litter")
    listing = list_faces(str(place))
    assert listing.files == {"all": [f"{i}.png" for i in range(12)]} and listing.classes == []
    assert decode(listing, 8, "crop")["all"][:, 0, 0, 0].tolist() == [10 * i for i in range(12)]


def test_a_zip_of_faces_stands_in_for_its_folder(tmp_path: Path):
    place = faces(tmp_path / "faces")
    with zipfile.ZipFile(tmp_path / "faces.zip", "w") as archive:
        for file in sorted(place.iterdir()):
            archive.write(file, f"faces/{file.name}")
        archive.writestr("__MACOSX/faces/._0.png", b"litter")
    with pytest.raises(
        UserError, match=r"there are both .*faces and .*faces\.zip; set data\.path= to .*faces\.zip, or to .*faces/ with"
    ):
        list_faces(str(place))
    assert list_faces(f"{place}/").files["all"] == ["0.png", "1.png", "2.png"]
    shutil.rmtree(place)
    listing = list_faces(str(place))
    assert listing.place == tmp_path / "faces.zip" and listing.files["all"] == ["faces/0.png", "faces/1.png", "faces/2.png"]
    assert list_faces(str(tmp_path / "faces.zip")).fingerprint == listing.fingerprint
    assert decode(listing, 8, "crop")["all"][2, 0, 0, 0] == 20


@pytest.mark.parametrize(
    ("extra", "sentence"),
    [
        (["notes.txt"], r"faces: notes\.txt is no picture; take it out, or set data\.path="),
        (["a.npy", "b.csv", "z.png"], r"faces: a\.npy is no picture \(and 1 more\)"),
    ],
)
def test_what_is_no_picture_among_faces_is_named(tmp_path: Path, extra: list[str], sentence: str):
    place = faces(tmp_path / "faces")
    for name in extra:
        (place / name).write_bytes(b"something")
    with pytest.raises(UserError, match=sentence):
        list_faces(str(place))


def test_folders_without_faces_are_told(tmp_path: Path):
    with pytest.raises(UserError, match=r"there is no folder .*nowhere; set data_dir="):
        list_faces(str(tmp_path / "nowhere"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"empty holds no pictures \(jpg, jpeg, png"):
        list_faces(str(tmp_path / "empty"))
    (tmp_path / "cut.zip").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(UserError, match=r"cut\.zip cannot be read as a zip file"):
        list_faces(str(tmp_path / "cut.zip"))


def test_grey_is_three_equal_channels_and_the_transparent_is_white(tmp_path: Path):
    place = tmp_path / "faces"
    place.mkdir()
    Image.new("L", (8, 8), 77).save(place / "0.png")
    Image.new("RGBA", (8, 8), (200, 0, 0, 0)).save(place / "1.png")  # a red that nobody sees
    Image.new("RGBA", (8, 8), (200, 0, 0, 255)).save(place / "2.png")
    Image.new("LA", (8, 8), (40, 255)).save(place / "3.png")
    colors = decode(list_faces(str(place)), 8, "crop")["all"][:, :, 4, 4]
    assert colors.tolist() == [[77] * 3, [255] * 3, [200, 0, 0], [40] * 3]


def test_sixteen_bits_are_refused_not_cut(tmp_path: Path):
    place = faces(tmp_path / "faces")
    Image.fromarray(np.full((8, 8), 40_000, np.uint16)).save(place / "deep.png")
    with pytest.raises(UserError, match=r"deep\.png cannot be read as a picture: its numbers are of the kind I;16, not eight bits"):
        decode(list_faces(str(place)), 8, "crop")
