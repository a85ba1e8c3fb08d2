"""Tasks in order, as data: what belongs to each, in which form a network sees it, and which outputs answer it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from ml2020.core.draws import Draws
from ml2020.core.errors import UserError
from ml2020.core.loaders import TensorLoader

SCENARIOS = ("domain", "task", "class")


@dataclass
class Task:
    """One task: uint8 pictures (n, c, h, w) and their digits (n,) int64 in splits train, val and test.

    `kinds` are its digits in the order of its outputs; `units` those outputs. `ground`, 0 to 255, lies around a picture that is smaller
    than the input. `permutation`, (h w,) int64: pixel i of the input is pixel permutation[i] of the picture.
    """

    name: str
    splits: dict[str, tuple[Tensor, Tensor]]
    kinds: list[int] = field(default_factory=lambda: list(range(10)))
    ground: int = 0
    permutation: Tensor | None = None
    units: list[int] = field(default_factory=list)

    def form(self, pictures: Tensor, shape: Sequence[int]) -> Tensor:
        """(n, c, h, w) uint8 -> (n, *shape) float32 in [0, 1]: framed by `ground`, grey repeated, permuted."""
        x = pictures  # bytes as long as possible: a quarter of the memory to move
        if edge := (shape[-1] - x.shape[-1]) // 2:
            x = F.pad(x, (edge,) * 4, value=self.ground)
        if self.permutation is not None:
            self.permutation = self.permutation.to(x.device)  # once: afterwards it is there
            x = x.flatten(2).gather(2, self.permutation.expand(*x.shape[:2], -1)).view_as(x)
        x = x.float().div_(255)
        return x.expand(-1, shape[0], -1, -1) if x.shape[1] < shape[0] else x


def set_units(tasks: Sequence[Task], scenario: str) -> list[str]:
    """Give each task its outputs and turn its digits into them; the names of all outputs (van de Ven and Tolias 2019).

    domain: the tasks share as many outputs as each has kinds, and none says which task it is. task and class: every kind of every task
    has an output of its own; the network is told the task, and answers among `units`, or is not, and answers among all it has met.
    """
    names: list[str] = []
    for task in tasks:
        first = 0 if scenario == "domain" else len(names)
        task.units = list(range(first, first + len(task.kinds)))
        unit_of = torch.full((10,), -1)
        unit_of[task.kinds] = torch.tensor(task.units)
        task.splits = {split: (x, unit_of[digits]) for split, (x, digits) in task.splits.items()}
        if scenario != "domain":
            names += [f"{task.name}:{kind}" for kind in task.kinds]
    if scenario != "domain":
        return names
    kinds = [task.kinds for task in tasks]
    alike = all(own == kinds[0] for own in kinds)
    return [str(kind) for kind in kinds[0]] if alike else ["or".join(str(own[i]) for own in kinds) for i in range(len(kinds[0]))]


def check(tasks: Sequence[Task], shape: Sequence[int], scenario: str) -> None:
    """Raise UserError where the tasks do not fit together, or one of them cannot be learnt."""
    for task in tasks:
        for split, (x, digits) in task.splits.items():
            if len(digits) != len(x):
                raise UserError(f"task {task.name} has {len(digits):,} labels for its {len(x):,} pictures of {split}")
            if not len(x):
                raise UserError(f"task {task.name} has no pictures for {split}")
            if strange := set(digits.unique().tolist()) - set(task.kinds):
                raise UserError(f"task {task.name} has a label {min(strange)} among its pictures of {split}; it is about {task.kinds}")
            if x.shape[2] != x.shape[3] or x.shape[1] > shape[0] or x.shape[2] > shape[1] or (shape[1] - x.shape[2]) % 2:
                size, wanted = (" x ".join(map(str, (*s[1:], s[0]))) for s in (x.shape[1:], shape))
                raise UserError(f"task {task.name} has pictures of {size}; they do not fit the network's {wanted}")
    sizes = [len(task.kinds) for task in tasks]
    if scenario == "domain" and len(set(sizes)) > 1:
        raise UserError(f"the tasks have {' and '.join(map(str, sizes))} kinds; they cannot share one head: type data.scenario=task")


class Chain:
    """The tasks' loaders of one split, one after another: batches (pictures, labels, task), task (n,) int64; each is of one task."""

    def __init__(self, loaders: Sequence[TensorLoader]) -> None:
        self.loaders = list(loaders)

    @property
    def samples(self) -> int:
        return sum(loader.samples for loader in self.loaders)

    def __len__(self) -> int:
        return sum(map(len, self.loaders))

    def to(self, device: torch.device | str) -> Chain:
        """Move the tensors to a device, once."""
        for loader in self.loaders:
            loader.to(device)
        return self

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        for number, loader in enumerate(self.loaders):
            for x, y in loader:
                yield x, y, torch.full_like(y, number)


class Mixture:
    """The transform of a loader over several tasks at once: (task (n,), row (n,)) int64 -> (pictures, labels) of training."""

    def __init__(self, tasks: Sequence[Task], shape: Sequence[int]) -> None:
        self.tasks, self.shape = list(tasks), tuple(shape)
        self.splits = [task.splits["train"] for task in tasks]

    def places(self) -> tuple[Tensor, Tensor]:
        """(task, row) of every training picture, (n,) int64 each."""
        counts = torch.tensor([len(y) for _, y in self.splits])
        return torch.arange(len(counts)).repeat_interleave(counts), torch.cat([torch.arange(int(n)) for n in counts])

    def __call__(self, draws: Draws, number: Tensor, row: Tensor) -> tuple[Tensor, Tensor]:
        self.splits = [(x.to(row.device), y.to(row.device)) for x, y in self.splits]
        pictures = torch.empty(len(row), *self.shape, device=row.device)
        labels = torch.empty_like(row)
        for i, (task, (x, y)) in enumerate(zip(self.tasks, self.splits, strict=True)):
            own = torch.nonzero(number == i).flatten()
            if len(own):
                pictures[own] = task.form(x[row[own]], self.shape)
                labels[own] = y[row[own]]
        return pictures, labels
