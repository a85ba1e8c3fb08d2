"""Omniglot's files: packed bits, the release's folders, zips, folders with turned characters; and what may be wrong with them."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import datasets

from ml2020.core.errors import TypedError, UserError
from ml2020.tasks.hw13_meta.omniglot import Omniglot

SHARED = Path(os.environ.get("ML2020_SHARED_DATA") or Path(__file__).parents[4] / "shared" / "data") / "hw13"
INK = np.random.default_rng(0).random((17, 4, 28, 28)) < 0.2  # 12 characters of background, 5 of evaluation, 4 drawings each
PARTS = {"images_background": INK[:12], "images_evaluation": INK[12:]}


def packed(folder: Path, **changes: np.ndarray | None) -> Path:
    """omniglot28.npz; an array replaces the one of its name, None leaves it out."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {
        name.removeprefix("images_"): np.packbits(ink.reshape(*ink.shape[:2], -1), axis=2) for name, ink in PARTS.items()
    } | changes
    np.savez(folder / "omniglot28.npz", **{name: array for name, array in arrays.items() if array is not None})
    return folder


def folders(folder: Path, angles: tuple[str, ...] = ("",), mode: str = "1") -> Path:
    """The release's layout, black on white, three characters an alphabet; also turned, where there are several angles."""
    for part, characters in PARTS.items():
        for number, drawings in enumerate(characters):
            for turns, angle in enumerate(angles):
                place = folder / part / f"Alphabet{number // 3:02}{angle}" / f"character{number % 3 + 1:02}"
                place.mkdir(parents=True)
                for i, drawing in enumerate(drawings):
                    Image.fromarray(np.rot90(~drawing, turns)).convert(mode).save(place / f"{number:04}_{i + 1:02}.png")
    return folder


def zipped(folder: Path, name: str) -> None:
    with zipfile.ZipFile(folder.parent / name, "w") as file:
        for picture in sorted(folder.rglob("*.png")):
            file.write(picture, picture.relative_to(folder.parent))


def omniglot(path: Path, cache: Path, **options: Any) -> Omniglot:
    data = Omniglot(
        str(path), **{"ways": 2, "val_characters": 4, "meta_batch": 2, "cache_dir": str(cache), "rotations": "none"} | options
    )
    data.prepare()
    return data


def told(error: type[Exception], path: Path, **options: Any) -> str:
    with pytest.raises(error) as found:
        omniglot(path, path.parent / "cache", **options)
    return str(found.value)


def pixels(data: Omniglot, split: str) -> np.ndarray:
    """(characters, drawings, 28, 28) uint8."""
    source = data.sources[split]
    return source.pictures.view(source.classes, source.drawings, 28, 28).numpy()


def one_zip(path: Path) -> None:
    elsewhere = path.parent / "elsewhere"
    zipped(folders(elsewhere / "Omniglot"), "Omniglot.zip")
    (elsewhere / "Omniglot.zip").rename(path / "Omniglot.zip")


def as_torchvision_leaves_it(path: Path) -> None:
    """Folders beside the zips that they were unpacked from."""
    folder = folders(path / "omniglot-py")
    for part in PARTS:
        zipped(folder / part, f"{part}.zip")


LAYOUTS: dict[str, Callable[[Path], Any]] = {
    "bits": packed,
    "folders": folders,
    "grey folders": lambda path: folders(path, mode="L"),
    "in Omniglot/": lambda path: folders(path / "Omniglot"),
    "turned folders": lambda path: folders(path / "Omniglot", (".000", ".090", ".180", ".270")),
    "one zip": one_zip,
    "torchvision's": as_torchvision_leaves_it,
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_pictures_white_on_black(layout: str, tmp_path: Path):
    (path := tmp_path / "hw13").mkdir()
    LAYOUTS[layout](path)
    data = omniglot(path, tmp_path / "cache")
    np.testing.assert_array_equal(pixels(data, "test"), INK[12:] * np.uint8(255))
    together = np.concatenate([pixels(data, "train"), pixels(data, "val")])
    order = [int(np.flatnonzero((INK[:12] == (one > 0)).all((1, 2, 3)))[0]) for one in together]
    assert sorted(order) == list(range(12)) and order[:8] == sorted(order[:8]) and order[8:] == sorted(order[8:])
    reference = omniglot(packed(tmp_path / "reference"), tmp_path / "cache")
    assert all(np.array_equal(pixels(data, split), pixels(reference, split)) for split in ("train", "val", "test"))


def test_no_character_is_on_both_sides_with_any_of_its_rotations(tmp_path: Path):
    data = omniglot(packed(tmp_path / "hw13"), tmp_path / "cache", rotations="classes")
    assert data.counts["characters for training"] == 8 and data.spec["classes"] == 32
    sides = {
        split: {drawing.tobytes() for character in pixels(data, split) for drawing in character} for split in ("train", "val", "test")
    }
    turned = {
        split: {
            np.ascontiguousarray(np.rot90(drawing, turns)).tobytes() for c in pixels(data, split) for drawing in c for turns in range(4)
        }
        for split in ("train", "val", "test")
    }
    assert [len(own) for own in sides.values()] == [8 * 4 * 4, 4 * 4, 5 * 4]
    assert (
        turned["train"] == sides["train"]
        and not turned["train"] & turned["val"]
        and not turned["test"] & (turned["train"] | turned["val"])
    )


def test_which_characters_are_for_validation_depends_on_data_seed(tmp_path: Path):
    path = packed(tmp_path / "hw13")
    same, again, other = (omniglot(path, tmp_path / "cache", seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(pixels(same, "val"), pixels(again, "val")) and same.fingerprint == again.fingerprint
    assert not np.array_equal(pixels(same, "val"), pixels(other, "val")) and same.fingerprint != other.fingerprint


def test_large_pictures_are_made_small_with_their_ink_where_it_was(tmp_path: Path):
    folders(tmp_path / "hw13")
    for file in (tmp_path / "hw13").rglob("*.png"):
        with Image.open(file) as picture:
            large = picture.convert("1").resize((112, 112), Image.Resampling.NEAREST)
        large.save(file)
    found = pixels(omniglot(tmp_path / "hw13", tmp_path / "cache"), "test") / 255
    assert np.corrcoef(found.ravel(), INK[12:].ravel())[0, 1] > 0.97


def test_what_is_missing_is_one_sentence(tmp_path: Path):
    (path := tmp_path / "hw13").mkdir()
    nothing = (
        "there is no images_background (a folder or zip), Omniglot.zip or omniglot28.npz in {}; put it there (data_dir=, data.path=),"
        " or type data.download=true"
    )
    assert told(UserError, path) == nothing.format(path)
    assert told(UserError, tmp_path / "nowhere") == nothing.format(tmp_path / "nowhere")
    (path / "images_background").mkdir()
    assert told(UserError, path).startswith(f"{path / 'images_background'} holds no pictures")
    (path / "images_background").rmdir()
    (folders(tmp_path / "whole") / "images_background").rename(path / "images_background")
    assert told(UserError, path).startswith("there is no images_evaluation")


def test_what_is_no_picture_or_stands_elsewhere_is_one_sentence(tmp_path: Path):
    path = folders(tmp_path / "hw13")
    (path / "images_background" / "Alphabet00" / "notes.txt").write_text("hello")
    assert "Alphabet00/notes.txt is no picture; take it out" in told(UserError, path)
    (path / "images_background" / "Alphabet00" / "notes.txt").unlink()
    broken = path / "images_background" / "Alphabet00" / "character01" / "0000_09.png"
    broken.write_bytes(b"no picture")
    assert "Alphabet00/character01/0000_09.png cannot be read as a picture" in told(UserError, path)
    broken.rename(path / "images_background" / "loose.png")
    assert told(UserError, path) == (
        f"{path / 'images_background'}: loose.png stands in no folder of its character, such as Greek/character01"
    )
    (path.parent / "Omniglot.zip").write_bytes(b"PK no zip")
    assert "cannot be read as a zip file" in told(UserError, path.parent / "Omniglot.zip")


def test_broken_bits_are_one_sentence(tmp_path: Path):
    path = packed(tmp_path / "a", evaluation=None)
    assert told(UserError, path) == f"{path / 'omniglot28.npz'} lacks the array evaluation"
    path = packed(tmp_path / "b", background=np.zeros((12, 4, 97), np.uint8))
    assert "background is uint8 of the shape (12, 4, 97); it must be uint8 of (characters, drawings, 98)" in told(UserError, path)
    (path / "omniglot28.npz").write_bytes(b"PK")
    assert "cannot be read as an npz file; it is cut short, damaged or something else" in told(UserError, path)


def test_episodes_that_ask_for_too_much_are_one_sentence(tmp_path: Path):
    path = packed(tmp_path / "hw13")
    assert told(UserError, path, ways=5) == (
        "too few characters for validation: 4, where an episode has 5 (data.ways); set data.ways to at most 4"
    )
    assert told(TypedError, path, shots=2, queries=3) == (
        "data.shots + data.queries must be at most 4, the drawings of a character, not 2 + 3"
    )
    assert told(TypedError, path, val_characters=12) == (
        "data.val_characters must be below 12, the characters for training and validation, not 12"
    )


def test_characters_have_as_many_drawings_as_the_one_with_the_fewest(tmp_path: Path):
    path = folders(tmp_path / "hw13")
    (path / "images_evaluation" / "Alphabet00" / "character02" / "0001_04.png").unlink()
    np.testing.assert_array_equal(pixels(omniglot(path, tmp_path / "cache"), "test"), INK[12:, :3] * np.uint8(255))


def test_a_download_is_torchvision_s_and_only_for_what_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    asked = []

    def fetched(root: str, download: bool, background: bool) -> None:
        asked.append(background)
        part = "images_background" if background else "images_evaluation"
        (folders(tmp_path / str(background)) / part).rename(Path(root) / "omniglot-py" / part)

    monkeypatch.setattr(datasets, "Omniglot", fetched)
    (path := tmp_path / "hw13").mkdir()
    (path / "omniglot-py").mkdir()
    for _ in range(2):
        data = omniglot(path, tmp_path / "cache", download=True)
        np.testing.assert_array_equal(pixels(data, "test"), INK[12:] * np.uint8(255))
    assert sorted(asked) == [False, True]

    def refuse(*words: Any, **options: Any) -> None:
        raise OSError("no network here")

    monkeypatch.setattr(datasets, "Omniglot", refuse)
    assert told(UserError, tmp_path / "empty", download=True).endswith("no network here")


@pytest.mark.skipif(not (SHARED / "omniglot28.npz").exists(), reason="the real file is not here")
def test_the_real_file_is_omniglot_and_pixels_tell_as_much_as_they_are_known_to(tmp_path: Path):
    data = omniglot(SHARED, tmp_path, ways=5, queries=5, val_characters=164)
    assert data.source.name == "Omniglot" and list(data.counts.values())[:3] == [800, 164, 659]
    drawn = data.sources["test"].draw(torch.arange(1_000))
    nearest = torch.cdist(drawn.query.flatten(2), drawn.support.flatten(2)).argmin(2)
    assert (nearest == drawn.query_targets).float().mean() == pytest.approx(0.449, abs=0.015)  # published with the file
