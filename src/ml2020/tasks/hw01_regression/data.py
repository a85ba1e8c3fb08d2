"""Windows of nine hours and PM2.5 of the tenth: a simulated station (embedded), or the course's files."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ml2020.core.data import DataModule, Source
from ml2020.core.errors import TypedError, UserError, at_least, one_of, within
from ml2020.core.loaders import TensorLoader
from ml2020.data.cache import cached, fingerprint
from ml2020.tasks.hw01_regression import readings, station
from ml2020.tasks.hw01_regression.readings import BLOCK, HOURS, Array
from ml2020.tasks.hw01_regression.station import MEASUREMENTS

PM25 = MEASUREMENTS.index("PM2.5")
TRAIN_DAYS = 16  # of the 20 of each month, with split=days
COURSE = "b5a9d923a93e1c237e7f424366e603f7dcbac62a909ff4d75886da5420107a32"  # sha256 of the readings in the course's train.csv
_SMALLEST = 1e-6  # a spread below it is a constant column's rounding


class Windows(DataModule):
    """Windows x (n, 18, 9) float64 [measurement, hour], oldest hour first, and y (n,) float64, PM2.5 of the hour that follows.

    `splits`: train and val, and test (x, y) or, where the answers are not known, predict (x,). `target_hours`: the hour of the day of
    each target in train and val. `spec`: input [18, 9]; measurements, 18 names; mean and std (18 numbers each) of the training windows;
    target_mean and target_std.

    `split`: days (training windows lie in days 1 to 16 of a month, validation targets in days 17 to 20), tail (the last fifth
    validates), random (a fifth drawn by seed; windows that share eight of nine hours then stand on both sides) or month (one whole
    month validates). With `across_months` windows run over the end of a month, where ten days are missing: a slip of the original. A
    window belongs to the month and day of its target.
    """

    def __init__(
        self,
        seed: int = 0,
        split: str = "days",
        month: int = 12,
        clean: bool = True,
        train_windows: int | None = None,
        across_months: bool = False,
        batch_size: int = 0,
        passes: int = 1,
    ) -> None:
        super().__init__(at_least(0, batch_size, "data.batch_size"))
        self.seed = at_least(0, seed, "data.seed")
        self.by = one_of(("days", "tail", "random", "month"), split, "data.split")
        self.month = within(1, 12, month, "data.month")
        self.cleaned = clean
        self.train_windows = None if train_windows is None else at_least(1, train_windows, "data.train_windows")
        self.across = across_months
        self.passes = at_least(1, passes, "data.passes")
        self.splits: dict[str, tuple[Tensor, ...]] = {}
        self.target_hours: dict[str, Tensor] = {}

    def fill(self, hours: Array, judged: Array, blocks: Array | None, answers: Array | None) -> None:
        """Cut `hours` (12, h, 18) into windows and fill in `splits`, `spec` and `counts`.

        `judged` (12, h) is PM2.5 as validation targets take it; `blocks` (n, 9, 18) are the test's, `answers` (n,) their targets.
        """
        inputs = readings.clean(hours) if self.cleaned else hours
        x, places = cut(inputs, self.across)
        train, val = self.chosen(places, hours.shape[1])
        self.describe(_tensor(x[train]), _tensor(inputs[..., PM25].ravel()[places[train]]))
        train = train[: self.train_windows]
        self.splits = {
            "train": (_tensor(x[train]), _tensor(inputs[..., PM25].ravel()[places[train]])),
            "val": (_tensor(x[val]), _tensor(judged.ravel()[places[val]])),
        }
        self.target_hours = {"train": torch.from_numpy(places[train] % HOURS), "val": torch.from_numpy(places[val] % HOURS)}
        if blocks is not None:
            last = _tensor((readings.clean(blocks) if self.cleaned else blocks).transpose(0, 2, 1))
            self.splits |= {"predict": (last,)} if answers is None else {"test": (last, _tensor(answers))}
        words = {"train": "for training", "val": "for validation", "test": "for the test", "predict": "without answers"}
        self.counts = {words[split]: len(tensors[0]) for split, tensors in self.splits.items()}

    def chosen(self, places: NDArray[np.int64], hours: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Which windows train and which validate; `places` (n,) is the hour of each target, counted over months of `hours` hours."""
        index, cut_at = np.arange(len(places)), len(places) * 4 // 5
        if self.by == "days":
            late = places % hours >= TRAIN_DAYS * HOURS
            train, val = index[~late], index[late]
        elif self.by == "month":
            own = places // hours == self.month - 1
            train, val = index[~own], index[own]
        else:
            order = index if self.by == "tail" else np.random.default_rng(self.seed).permutation(index)
            train, val = order[:cut_at], np.sort(order[cut_at:])
        if self.train_windows is not None and self.train_windows > len(train):
            raise TypedError(f"data.train_windows={self.train_windows} is more than data.split={self.by} has, {len(train)}")
        return train, val

    def describe(self, x: Tensor, y: Tensor) -> None:
        """Fill in `spec` from all windows that may train, however few of them `train_windows` leaves."""
        mean, std = x.mean((0, 2)), x.std((0, 2), correction=0)
        std = torch.where(std < _SMALLEST, 1.0, std)  # a constant column stays at 0 when it is standardised
        self.spec = {
            "input": list(x.shape[1:]),
            "measurements": list(MEASUREMENTS),
            "mean": mean.tolist(),
            "std": std.tolist(),
            "target_mean": y.mean().item(),
            "target_std": y.std(correction=0).item(),
        }

    def options(self) -> dict[str, Any]:
        """What decides, beside the readings, which windows there are."""
        facts = {"split": self.by, "clean": self.cleaned, "train_windows": self.train_windows, "across": self.across}
        return facts | ({"month": self.month} if self.by == "month" else {"seed": self.seed} if self.by == "random" else {})

    def train_dataloader(self) -> TensorLoader:
        return self.batches("train", shuffle=self.batch_size > 0, passes=self.passes)

    def val_dataloader(self) -> TensorLoader:
        return self.batches("val")

    def evaluation_loaders(self) -> dict[str, TensorLoader]:
        return {split: self.batches(split) for split in ("train", "val", "test") if split in self.splits}

    def predict_loader(self) -> TensorLoader:
        """The test's windows without answers, (x,), in the order of their ids. Raises UserError where there is no test."""
        found = self.splits.get("predict") or self.splits.get("test")
        if found is None:
            raise UserError("there is no test.csv beside train.csv, and so nothing to predict")
        return self.loader(found[0], batch_size=self.batch_size or len(found[0]))

    def batches(self, split: str, **options: Any) -> TensorLoader:
        """A loader of (x, y) over a split; batch_size=0 makes one batch of it."""
        return self.loader(*self.splits[split], batch_size=self.batch_size or len(self.splits[split][0]), **options)


class Simulated(Windows):
    """The simulated station, rendered as the course's text and read by the same reader.

    Training targets are as measured (cleaned with clean=true); validation targets and the test's answers are the readings without
    faults: one spike of 150 would be worth half a point of RMSE and hide everything.
    """

    source = Source("a simulated station, not real air", "generated", "made by this package, MIT")

    def __init__(
        self,
        seed: int = 0,
        split: str = "days",
        month: int = 12,
        clean: bool = True,
        train_windows: int | None = None,
        across_months: bool = False,
        batch_size: int = 0,
        passes: int = 1,
        cache_dir: str | None = None,
    ) -> None:
        super().__init__(seed, split, month, clean, train_windows, across_months, batch_size, passes)
        self.cache_dir = cache_dir

    def prepare(self) -> None:
        """Simulate the year, or read it from the cache."""
        key = {"generator": station.GENERATOR, "seed": self.seed}
        arrays = cached(self.cache_dir, "hw01_sample", key, lambda: rendered(self.seed))
        self.fingerprint = fingerprint(key | self.options())
        self.fill(arrays["hours"], arrays["truth"], arrays["blocks"], arrays["answers"])


class Course(Windows):
    """train.csv and, where it is there, test.csv in a folder, in the course's layout. Validation targets are as in the file."""

    def __init__(
        self,
        path: str,
        seed: int = 0,
        split: str = "days",
        month: int = 12,
        clean: bool = True,
        train_windows: int | None = None,
        across_months: bool = False,
        batch_size: int = 0,
        passes: int = 1,
    ) -> None:
        super().__init__(seed, split, month, clean, train_windows, across_months, batch_size, passes)
        self.path = path

    def prepare(self) -> None:
        """Read the files. Raises UserError for what is missing or broken."""
        folder = Path(self.path).expanduser()
        if not folder.is_dir():
            raise UserError(f"there is no folder {folder}; set data_dir=, or data.path= to the folder of train.csv and test.csv")
        hours = readings.read_train(folder / "train.csv")
        blocks = readings.read_test(folder / "test.csv") if (folder / "test.csv").exists() else None
        digests = [_digest(array) for array in (hours, blocks) if array is not None]
        self.source = source_of(digests[0], folder.name)
        self.fingerprint = fingerprint({"readings": digests} | self.options())
        self.fill(hours, hours[..., PM25], blocks, None)


def cut(hours: Array, across: bool = False) -> tuple[Array, NDArray[np.int64]]:
    """Every window of (12, h, 18) readings, (n, 18, 9), and the hour of its target, (n,), counted from the first of the table."""
    rows = hours.reshape(1, -1, hours.shape[-1]) if across else hours
    windows = np.lib.stride_tricks.sliding_window_view(rows, BLOCK, 1)[:, :-1]  # the last one has no hour behind it
    places = np.arange(rows.shape[0] * rows.shape[1]).reshape(rows.shape[:2])[:, BLOCK:]
    return windows.reshape(-1, *windows.shape[2:]), places.ravel()


def rendered(seed: int) -> dict[str, Array]:
    """The simulated year as read back from its text: hours (12, 480, 18), blocks (240, 9, 18); and what no text holds, the values
    without faults: truth (12, 480) and answers (240,), PM2.5."""
    year = station.simulate(seed)
    blocks, answers = station.blocks(year, seed)
    hours = readings.parse_train(station.train_text(year), "the simulated train.csv")
    return {
        "hours": hours,
        "truth": year.truth[:, : hours.shape[1], PM25],
        "blocks": readings.parse_test(station.blocks_text(blocks), "the simulated test.csv"),
        "answers": answers,
    }


def source_of(digest: str, folder: str) -> Source:
    """The course's table is known by its readings; anything else is called what it is."""
    if digest == COURSE:
        return Source("PM2.5 at Fengyuan in 2014, the course's table", "course", "none stated")
    return Source(f"the readings in {folder}", "files", "unknown")


def _digest(array: Array) -> str:
    return hashlib.sha256(array.astype("<f8").tobytes()).hexdigest()


def _tensor(array: Array) -> Tensor:
    return torch.from_numpy(np.array(array, np.float64, order="C"))
