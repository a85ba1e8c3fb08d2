"""Digits out of one's own files: what is right comes through unchanged, what is broken is one sentence that says where."""

from __future__ import annotations

import bz2
import gzip
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace as Files

import numpy as np
import pytest
from torchvision import datasets

from ml2020.core.errors import UserError
from ml2020.data.digit_files import read_idx, read_mnist, read_svhn, read_usps, svhn_file

SHARED = Path(os.environ.get("ML2020_SHARED_DATA") or Path(__file__).parents[3] / "shared" / "data") / "hw14"


def told(read: Callable[[], object]) -> str:
    with pytest.raises(UserError) as caught:
        read()
    sentence = str(caught.value)
    assert "\n" not in sentence and "Traceback" not in sentence and not sentence.endswith(".")
    return sentence


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("inside", [".", "MNIST/raw"])
def test_idx_files_come_through_packed_or_not_and_from_torchvisions_folder(
    tmp_path: Path, digit_files: Files, packed: bool, inside: str
):
    digit_files.mnist(tmp_path / inside, packed=packed)
    for split in ("train", "test"):
        x, y = read_mnist(tmp_path, split)
        assert (
            np.array_equal(x[:, 0], digit_files.x)
            and y.tolist() == digit_files.y.tolist()
            and y.dtype == np.int64
            and x.flags.writeable
        )


def test_torchvision_reads_the_same_from_our_files(tmp_path: Path, digit_files: Files):
    digit_files.mnist(tmp_path / "MNIST" / "raw")
    theirs = datasets.MNIST(str(tmp_path), train=True)
    ours = read_mnist(tmp_path, "train")
    assert np.array_equal(theirs.data.numpy(), ours[0][:, 0]) and theirs.targets.tolist() == ours[1].tolist()


def test_svhns_ten_is_a_zero_and_its_pictures_are_turned_to_channels_first(tmp_path: Path, digit_files: Files):
    x, y = read_svhn(svhn_file(digit_files.svhn(tmp_path), "train"))
    assert y.tolist() == [1, 0, 9, 2, 0] and x.shape == (5, 3, 32, 32) and x.flags.c_contiguous
    whole = np.arange(5 * 3072, dtype=np.uint8).reshape(32, 32, 3, 5)
    assert x[4, 2, 7, 30] == whole[7, 30, 2, 4]


def test_usps_comes_through_unchanged(tmp_path: Path, digit_files: Files):
    x, y = read_usps(digit_files.usps(tmp_path), "test")
    assert x.shape == (4, 1, 16, 16) and y.tolist() == [0, 9, 5, 5] and y.dtype == np.int64


def test_usps_is_read_from_torchvisions_files_too(tmp_path: Path):
    # Its lines: label 1 to 10, then place:value with values from -1 to 1.
    line = b"10 " + b" ".join(b"%d:%.4f" % (i + 1, -1 + 2 * (i == 17)) for i in range(256)) + b"\n"
    (tmp_path / "usps.t.bz2").write_bytes(bz2.compress(line))
    x, y = read_usps(tmp_path, "test")
    assert y.tolist() == [9] and x.shape == (1, 1, 16, 16) and x[0, 0, 1, 1] == 255 and x.sum() == 255


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (
            lambda content: content[:-10],
            "holds 4,694 bytes of data; its header says 6 x 28 x 28; it is cut short or damaged",
        ),
        (lambda content: content + b"x", "its header says 6 x 28 x 28"),
        (lambda content: b"\0\0\x08\x01" + content[4:], "it begins with 00000801, not 00000803"),
        (lambda content: b"\0\0\x0d\x03" + content[4:], "it begins with 00000d03, not 00000803"),
        (lambda content: b"<htm" + content, "it begins with 3c68746d, not 00000803"),
        (lambda content: content[:9], "is no idx file of bytes in 3 dimensions"),
        (lambda content: b"", "it begins with nothing, not 00000803"),
        (lambda content: content[:4] + b"\xff" * 12 + content[16:], "its header says 4294967295 x 4294967295 x 4294967295"),
        (lambda content: gzip.compress(content)[:-20], "cannot be unpacked; it is cut short or damaged"),
        (lambda content: gzip.compress(content)[:40] + b"\xff" * 60, "cannot be unpacked; it is cut short or damaged"),
        (
            lambda content: content[:8] + b"\0\0\0\x14\0\0\0\x14" + content[16 : 16 + 6 * 400],
            "pictures of 20 x 20; MNIST's are 28 x 28",
        ),
    ],
    ids=["cut", "longer", "dimensions", "floats", "a page", "header only", "empty", "absurd", "cut gzip", "broken gzip", "small"],
)
def test_a_broken_idx_file_is_one_sentence(tmp_path: Path, digit_files: Files, damage: Callable[[bytes], bytes], sentence: str):
    digit_files.mnist(tmp_path)
    file = tmp_path / "t10k-images-idx3-ubyte"
    file.write_bytes(damage(file.read_bytes()))
    found = told(lambda: read_mnist(tmp_path, "test"))
    assert sentence in found and str(file) in found


def test_labels_must_be_as_many_as_pictures_and_digits(tmp_path: Path, digit_files: Files):
    file = digit_files.mnist(tmp_path) / "train-labels-idx1-ubyte"
    file.write_bytes(digit_files.idx(digit_files.y[:5]))
    assert told(lambda: read_mnist(tmp_path, "train")) == f"{file} has 5 labels for 6 pictures"
    file.write_bytes(digit_files.idx(np.array([0, 1, 10, 2, 11, 3], np.uint8)))
    assert told(lambda: read_mnist(tmp_path, "train")) == f"{file}: label 3 is 10; it must lie between 0 and 9"


@pytest.mark.parametrize(
    ("read", "name"),
    [
        (lambda folder: read_mnist(folder, "train"), "train-images-idx3-ubyte (nor train-images-idx3-ubyte.gz)"),
        (lambda folder: svhn_file(folder, "test"), "test_32x32.mat"),
        (lambda folder: read_usps(folder, "train"), "usps.npz"),
    ],
    ids=["mnist", "svhn", "usps"],
)
def test_a_missing_file_is_named_with_its_place_and_how_to_get_it(tmp_path: Path, read: Callable[[Path], object], name: str):
    found = told(lambda: read(tmp_path))
    assert f"there is no {name} in {tmp_path}" in found and "data.download=true" in found and "data_dir=" in found


def test_pictures_without_labels_are_told(tmp_path: Path, digit_files: Files):
    (digit_files.mnist(tmp_path) / "train-labels-idx1-ubyte").unlink()
    assert "there is no train-labels-idx1-ubyte" in told(lambda: read_mnist(tmp_path, "train"))
    assert (
        told(lambda: read_usps(digit_files.usps(tmp_path, y_train=None), "train")) == f"{tmp_path / 'usps.npz'} lacks the array y_train"
    )
    digit_files.svhn(tmp_path, y=None)
    assert told(lambda: read_svhn(tmp_path / "train_32x32.mat")) == f"{tmp_path / 'train_32x32.mat'} lacks the array y"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"y": np.array([[1], [0], [9], [2], [10]])}, "label 2 is 0; it must lie between 1 and 10"),
        ({"y": np.array([[1.5], [1], [9], [2], [10]])}, "y holds float64, not whole numbers"),
        ({"y": np.array([[1], [2]])}, "has 2 labels for 5 pictures"),
        ({"X": np.zeros((5, 32, 32, 3), np.uint8)}, "X is uint8 of the shape (5, 32, 32, 3); SVHN's is uint8 of (32, 32, 3, n)"),
        ({"X": np.zeros((32, 32, 3, 5))}, "X is float64"),
        ({"X": None}, "lacks the array X"),
    ],
)
def test_another_mat_file_is_one_sentence(tmp_path: Path, digit_files: Files, changes: dict, sentence: str):
    digit_files.svhn(tmp_path, **changes)
    assert sentence in told(lambda: read_svhn(tmp_path / "train_32x32.mat"))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"x_test": np.zeros((4, 28, 28), np.uint8)}, "x_test is uint8 of the shape (4, 28, 28); USPS's is uint8 of (n, 16, 16)"),
        ({"x_test": np.zeros((4, 16, 16))}, "x_test is float64"),
        ({"y_test": np.array([0, 9, 5])}, "has 3 labels for 4 pictures"),
        ({"y_test": np.array(list("abcd"))}, "y_test holds <U1, not whole numbers"),
        ({"y_test": np.array([0, 9, 5, -1])}, "label 4 is -1"),
    ],
)
def test_another_npz_file_is_one_sentence(tmp_path: Path, digit_files: Files, changes: dict, sentence: str):
    digit_files.usps(tmp_path, **changes)
    assert sentence in told(lambda: read_usps(tmp_path, "test"))


class Bomb:
    def __reduce__(self):
        return Path("exploded").touch, ()


@pytest.mark.parametrize("damage", ["cut short", "a pickle", "empty", "text", "objects"])
@pytest.mark.parametrize("kind", ["npz", "mat"])
def test_a_damaged_file_is_one_sentence_and_nothing_in_it_is_run(
    tmp_path: Path, digit_files: Files, monkeypatch: pytest.MonkeyPatch, kind: str, damage: str
):
    monkeypatch.chdir(tmp_path)
    file = digit_files.usps(tmp_path) / "usps.npz" if kind == "npz" else digit_files.svhn(tmp_path) / "train_32x32.mat"
    if damage == "objects":
        with file.open("wb") as stream:
            np.savez(stream, x_train=np.array([Bomb()]), y_train=np.array([1]))
    else:
        contents = {"cut short": file.read_bytes()[:700], "a pickle": pickle.dumps(Bomb()), "empty": b"", "text": b"hello\n" * 30}
        file.write_bytes(contents[damage])
    found = told(lambda: read_usps(tmp_path, "train") if kind == "npz" else read_svhn(file))
    assert f"{file} cannot be read as a {kind} file; it is cut short, damaged or something else" == found
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("read", [read_mnist, svhn_file, read_usps], ids=["mnist", "svhn", "usps"])
def test_a_download_that_fails_is_one_sentence(tmp_path: Path, read: Callable, monkeypatch: pytest.MonkeyPatch):
    def refuse(*arguments: object, **options: object) -> None:
        raise OSError("no network here\nand more lines")

    for name in ("MNIST", "SVHN", "USPS"):
        monkeypatch.setattr(datasets, name, refuse)
    found = told(lambda: read(tmp_path, "train", download=True))
    assert f"could not be downloaded into {tmp_path}: no network here" in found


def test_nothing_is_downloaded_that_is_there(tmp_path: Path, digit_files: Files, monkeypatch: pytest.MonkeyPatch):
    for name in ("MNIST", "SVHN", "USPS"):
        monkeypatch.setattr(datasets, name, lambda *a, **o: pytest.fail("downloaded"))
    digit_files.mnist(tmp_path, packed=True), digit_files.svhn(tmp_path), digit_files.usps(tmp_path)
    assert len(read_mnist(tmp_path, "train", download=True)[1]) == 6
    assert svhn_file(tmp_path, "train", download=True).is_file() and len(read_usps(tmp_path, "test", download=True)[1]) == 4


@pytest.mark.skipif(not (SHARED / "usps.npz").exists(), reason="the real files are not here")
def test_the_real_files_have_their_counts():
    x, y = read_mnist(SHARED, "test")
    assert x.shape == (10_000, 1, 28, 28) and np.bincount(y).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert read_idx(SHARED / "train-labels-idx1-ubyte.gz", 1)[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    x, y = read_usps(SHARED, "train")
    assert x.shape == (7_291, 1, 16, 16) and np.bincount(y).tolist() == [1194, 1005, 731, 658, 652, 556, 664, 645, 542, 644]
