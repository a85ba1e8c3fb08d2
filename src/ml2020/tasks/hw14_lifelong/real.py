"""Tasks of real digits in one's own files: several sources in order, MNIST permuted anew, MNIST cut into pairs of digits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ml2020.core.data import Source
from ml2020.core.errors import TypedError, at_least, one_of
from ml2020.data import digit_files, digits
from ml2020.data.cache import cached
from ml2020.tasks.hw14_lifelong.data import FORMS, Tasks, chosen, in_form
from ml2020.tasks.hw14_lifelong.tasks import Task

VERSION = 1  # of what is cached: goes up whenever it changes
SPLITS = ("train", "test")
WORDS = {"mnist": "MNIST", "svhn": "SVHN", "usps": "USPS"}
LICENCES = {
    "mnist": "MNIST: LeCun, Cortes and Burges",
    "svhn": "SVHN: for non-commercial use only",
    "usps": "USPS: none stated",
}
SIZES = {"mnist": (60_000, 10_000), "svhn": (73_257, 26_032), "usps": (7_291, 2_007)}  # pictures for training and for the test
COURSE = ["svhn", "mnist", "usps"]

Digits = tuple[np.ndarray, np.ndarray]


class Real(Tasks):
    """MNIST, SVHN (without its extra part) and USPS in any order.

    In the form 28x28x1 colour becomes grey, SVHN is shrunk, and USPS enlarged to the 20 x 20 that MNIST's digits take; in the form
    32x32x3 what is smaller is framed with zeros at its own size, as in the course, and grey is repeated.
    """

    def __init__(
        self,
        tasks: Sequence[str],
        path: str,
        form: str = "28x28x1",
        download: bool = False,
        scenario: str = "domain",
        seed: int = 0,
        val_share: float = 0.1,
        train_size: int | None = None,
        batch_size: int = 64,
        cache_dir: str | None = None,
    ) -> None:
        super().__init__(FORMS[one_of(FORMS, form, "data.form")], scenario, seed, val_share, train_size, batch_size)
        self.names, self.path, self.download, self.cache_dir = chosen(tasks, list(WORDS)), path, download, cache_dir

    def gather(self) -> list[Task]:
        tasks = [Task(name, {split: _tensors(*self.read(name, split)) for split in SPLITS}) for name in self.names]
        sizes = {task.name: tuple(len(task.splits[split][1]) for split in SPLITS) for task in tasks}
        self.source = source_of(sizes, self.path, ", then ".join(WORDS[name] for name in self.names))
        return tasks

    def read(self, name: str, split: str) -> Digits:
        """(pictures uint8, at most as large as the common form, digits) of a split."""
        if name == "svhn":
            return self.svhn(split)
        if name == "mnist":
            return digit_files.read_mnist(self.path, split, self.download)
        pictures, labels = digit_files.read_usps(self.path, split, self.download)
        return digits.framed(pictures, 28, box=20) if self.shape[0] == 1 else pictures, labels

    def svhn(self, split: str) -> Digits:
        """SVHN in the common form; unpacking and shrinking it takes a while, so it is cached."""
        file = digit_files.svhn_file(self.path, split, self.download)

        def make() -> dict[str, np.ndarray]:
            pictures, labels = digit_files.read_svhn(file)
            return {"x": in_form(torch.from_numpy(pictures), self.shape).numpy(), "y": labels}

        facts = file.stat()
        key = {"size": facts.st_size, "changed": facts.st_mtime_ns, "form": self.shape, "version": VERSION, "split": split}
        return tuple(cached(self.cache_dir, "svhn", key, make).values())


class Permuted(Tasks):
    """MNIST again and again, each time with its pixels in another fixed order (Goodfellow et al. 2013; Kirkpatrick et al. 2017).

    As in the runs of van de Ven and Tolias (2019): framed with zeros to 32 x 32 before the permutation, no normalisation, and the first
    task permuted too. All tasks share their pictures and their split; a permutation is applied to each batch. That of task i depends on
    data.seed and i alone.
    """

    def __init__(
        self,
        path: str,
        n_tasks: int = 10,
        image_size: int = 32,
        download: bool = False,
        scenario: str = "domain",
        seed: int = 0,
        val_share: float = 0.02,
        train_size: int | None = None,
        batch_size: int = 128,
    ) -> None:
        if image_size not in (28, 32):
            raise TypedError(f"data.image_size must be 32 or 28, not {image_size}")
        super().__init__((1, image_size, image_size), scenario, seed, val_share, train_size, batch_size)
        self.n_tasks = at_least(2, n_tasks, "data.n_tasks")
        self.path, self.download = path, download

    def gather(self) -> list[Task]:
        pictures = {split: _tensors(*digit_files.read_mnist(self.path, split, self.download)) for split in SPLITS}
        sizes = {"mnist": tuple(len(pictures[split][1]) for split in SPLITS)}
        self.source = source_of(sizes, self.path, f"MNIST in {self.n_tasks} orders of its pixels")
        return [Task(f"p{i + 1}", dict(pictures), permutation=self.permutation(i)) for i in range(self.n_tasks)]

    def permutation(self, number: int) -> Tensor:
        """(h w,) int64."""
        return torch.from_numpy(np.random.default_rng([self.seed, 14, number]).permutation(self.shape[1] * self.shape[2]))

    def divide(self, tasks: Sequence[Task]) -> None:
        """Once: the tasks share their pictures."""
        super().divide(tasks[:1])
        for task in tasks[1:]:
            task.splits = dict(tasks[0].splits)


class Split(Tasks):
    """MNIST in five tasks of two digits: 0 and 1, 2 and 3, ...; with shuffle_classes pairs drawn by data.seed (Zenke et al. 2017)."""

    def __init__(
        self,
        path: str,
        shuffle_classes: bool = False,
        download: bool = False,
        scenario: str = "task",
        seed: int = 0,
        val_share: float = 0.1,
        train_size: int | None = None,
        batch_size: int = 128,
    ) -> None:
        super().__init__((1, 28, 28), scenario, seed, val_share, train_size, batch_size)
        self.path, self.shuffle_classes, self.download = path, shuffle_classes, download

    def gather(self) -> list[Task]:
        """Five tasks of two digits each, in order or by data.seed."""
        found = {split: digit_files.read_mnist(self.path, split, self.download) for split in SPLITS}
        sizes = {"mnist": tuple(len(found[split][1]) for split in SPLITS)}
        self.source = source_of(sizes, self.path, "MNIST in five pairs of digits")
        tasks = []
        for pair in self.pairs():
            own = {split: np.isin(labels, pair) for split, (_, labels) in found.items()}
            splits = {split: _tensors(x[own[split]], y[own[split]]) for split, (x, y) in found.items()}
            tasks.append(Task("".join(map(str, pair)), splits, kinds=pair))
        return tasks

    def pairs(self) -> list[list[int]]:
        """The digits of each task, in the order of its outputs."""
        order = np.random.default_rng([self.seed, 5]).permutation(10).tolist() if self.shuffle_classes else range(10)
        return [list(order[i : i + 2]) for i in range(0, 10, 2)]


def source_of(sizes: dict[str, tuple[int, ...]], path: str, words: str) -> Source:
    """What the files are, known by their counts: {name: (for training, for the test)}, in the order of the tasks."""
    if any(SIZES[name] != size for name, size in sizes.items()):
        return Source(f"the digits in {Path(path).name}", "files", "unknown")
    licence = "; ".join(LICENCES[name] for name in sizes)
    return Source(words, "course" if list(sizes) == COURSE else "public", licence)


def _tensors(pictures: np.ndarray, labels: np.ndarray) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(np.ascontiguousarray(pictures)), torch.from_numpy(labels)
