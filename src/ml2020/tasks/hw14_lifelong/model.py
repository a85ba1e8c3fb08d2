"""Learning tasks one after another: a phase a task, tested on all of them after each. By itself this is `naive`, which forgets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor

from ml2020.core.errors import at_least
from ml2020.core.loaders import TensorLoader
from ml2020.core.module import Module, Phase
from ml2020.tasks.hw14_lifelong import figures, fisher, metrics, networks

FEW = 3  # tasks, up to which metrics.json holds the cross-entropy of each after each


class Lifelong(Module):
    """A network, and what it scores on every task. `net`, `hidden`, `width`: networks.make.

    `task_steps`: how long a task is trained, in steps; by default trainer.max_epochs says it. `carry_optimizer`: the optimizer's state
    goes on from task to task (van de Ven and Tolias 2019) instead of beginning anew. `batch_statistics`: a slip of the original, the
    matrix is measured with batch norm in training mode, on all test pictures of a task at once.
    """

    choose_by = "last"  # the best on the mean of all tasks would be chosen with the tasks to come in view

    def __init__(
        self,
        net: str = "cnn",
        hidden: Sequence[int] = (256, 256),
        width: int = 16,
        task_steps: int | None = None,
        carry_optimizer: bool = False,
        batch_statistics: bool = False,
    ) -> None:
        super().__init__()
        self.batch_statistics = batch_statistics
        self.task_steps = task_steps if task_steps is None else at_least(1, task_steps, "model.task_steps")
        self.kind, self.hidden, self.width, self.carry_optimizer = net, hidden, width, carry_optimizer

    def configure(self, spec: dict[str, Any]) -> None:
        """The network, and two matrices that fill up: accuracy and cross-entropy on the test of task j after i tasks, (T + 1, T)."""
        self.tasks, self.units, self.scenario, self.shape = spec["tasks"], spec["units"], spec["scenario"], spec["input"]
        self.net = networks.make(self.kind, self.shape, len(spec["outputs"]), self.hidden, self.width)
        count = len(self.tasks)
        for name in ("matrix", "losses"):
            self.register_buffer(name, torch.full((count + 1, count), torch.nan, dtype=torch.float64))
        self.scores = metrics.Scores(self.tasks)
        self.current = 0

    def phases(self, data: Any) -> Iterator[Phase]:
        """One for each task, in order."""
        self.data = data
        reset = () if self.carry_optimizer else ("optimizer",)
        for number, name in enumerate(self.tasks):
            yield Phase(name, partial(self.enter, number), data.val_dataloader(), steps=self.task_steps, reset=reset)

    def enter(self, number: int) -> TensorLoader:
        """What task `number` is trained on."""
        self.current = number
        return self.data.train_loader(number)

    def pictures(self, number: int, count: int | str) -> tuple[Tensor, Tensor]:
        """The first `count` (all) training pictures and labels of a task, in an order of which every stretch holds each class."""
        images, labels, found = [], [], 0
        for x, y in self.data.plain_loader(number, "train").to(self.device):
            images.append(x), labels.append(y)
            found += len(y)
            if count != "all" and found >= count:
                break
        end = None if count == "all" else count
        return torch.cat(images)[:end], torch.cat(labels)[:end]

    def on_phase_start(self, phase: Phase) -> None:
        """Before anything was learnt: what does a random network score?"""
        if phase.name == self.tasks[0]:
            self.measure_all(0)

    def on_phase_end(self, phase: Phase) -> None:
        """A row of the matrices."""
        self.measure_all(1 + self.tasks.index(phase.name))

    @torch.no_grad()
    def measure_all(self, row: int) -> None:
        """Fill a row of the matrices: every task's test pictures."""
        scores = metrics.Scores(self.tasks)
        with fisher.evaluating(self.net, self.batch_statistics):
            for task in range(len(self.tasks)):
                batches = self.data.plain_loader(task, "test").to(self.device)
                if self.batch_statistics:  # the slip reads all pictures at once
                    batches = [tuple(torch.cat(parts) for parts in zip(*batches, strict=True))]
                for images, labels in batches:
                    scores.add(self.competing(self.net(images), task), labels, torch.full_like(labels, task))
        values = scores.take()
        for name, matrix in (("acc", self.matrix), ("loss", self.losses)):
            matrix[row] = torch.tensor([values[f"{name}_{task}"] for task in self.tasks], dtype=torch.float64)

    def competing(self, logits: Tensor, task: int) -> Tensor:
        """The logits (n, outputs) of pictures of a task, with -inf where an output does not compete.

        domain: all do. task: the task's own. class: those of all tasks met so far.
        """
        if self.scenario == "domain":
            return logits
        met = [task] if self.scenario == "task" else range(max(self.current, task) + 1)
        own = torch.tensor([unit for number in met for unit in self.units[number]], device=logits.device)
        others = torch.ones(logits.shape[1], dtype=torch.bool, device=logits.device).index_fill_(0, own, False)
        return logits.masked_fill(others, -torch.inf)

    def forward(self, images: Tensor) -> Tensor:
        """(n, *input) -> logits (n, outputs)."""
        return self.net(images)

    def loss(self, batch: tuple[Tensor, ...]) -> Tensor:
        """Cross-entropy on the task that is learnt, plus what the method asks for the sake of the others."""
        images, labels = batch
        return F.cross_entropy(self.competing(self.net(images), self.current), labels) + self.penalty()

    def penalty(self) -> Tensor | float:
        """Nothing: whatever is not trained on is forgotten."""
        return 0.0

    def evaluate_step(self, batch: tuple[Tensor, ...]) -> None:
        images, labels, tasks = batch
        self.scores.add(self.competing(self.net(images), int(tasks[0])), labels, tasks)

    def evaluate_end(self) -> dict[str, float]:
        """acc and loss, means over the tasks, and of each; for the test, at the end, what the matrix says about memory."""
        values = self.scores.take()
        if self.split == "test" and not self.matrix.isnan().any():
            values |= metrics.memory(self.matrix.cpu())
            if len(self.tasks) <= FEW:
                values |= metrics.by_stage(self.losses.cpu(), self.tasks)
        return values

    def figures(self, data: Any, history: Any) -> Iterator[tuple[str, Figure]]:
        """Accuracy of every task over all training, and the matrix."""
        curves = {name: history.series(f"val/acc_{name}") for name in self.tasks}
        ends = [max(row["step"] for row in history.rows if row["phase"] == name) for name in self.tasks]
        yield "accuracy_over_training", figures.over_training(curves, ends)
        yield "matrix", figures.matrix(self.matrix.cpu().numpy(), self.tasks)
        for name, matrix in (("accuracy_matrix", self.matrix), ("loss_matrix", self.losses)):
            rows = zip(["nothing", *self.tasks], matrix.tolist(), strict=True)
            self.keep(name, ("after", *self.tasks), [(after, *(round(value, 4) for value in row)) for after, row in rows])
