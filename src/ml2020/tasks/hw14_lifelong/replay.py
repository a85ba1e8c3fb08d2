"""Replay: keep some pictures of finished tasks and learn from them again; and joint training, which keeps them all."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ml2020.core.errors import at_least
from ml2020.core.loaders import TensorLoader
from ml2020.tasks.hw14_lifelong.model import Lifelong


class Replay(Lifelong):
    """Experience replay (Chaudhry et al. 2019): each step sees a batch of the task and one as large of `memory` kept pictures a task.

    loss = (1/t) cross-entropy(task t) + (1 - 1/t) cross-entropy(kept pictures of the t - 1 tasks before).
    """

    def __init__(self, memory: int = 200, **options: Any) -> None:
        super().__init__(**options)
        self.memory = at_least(1, memory, "model.memory")

    def enter(self, number: int) -> TensorLoader:
        """The kept pictures are the first of each task's training pictures, of which every stretch holds each class in its share."""
        kept = [self.pictures(task, self.memory) for task in range(number)]
        if kept:
            self.images, self.labels = (torch.cat(parts) for parts in zip(*kept, strict=True))
            sizes = torch.tensor([len(y) for _, y in kept], device=self.device)
            self.owners = torch.arange(number, device=self.device).repeat_interleave(sizes)
        return super().enter(number)

    def loss(self, batch: tuple[Tensor, ...]) -> Tensor:
        """The task's own loss and that of kept pictures, by the number of tasks that each speaks for."""
        now = super().loss(batch)
        if not self.current:
            return now
        chosen = torch.randint(len(self.labels), (len(batch[1]),), device=self.labels.device)
        logits = self.net(self.images[chosen])
        if self.scenario == "task":
            logits = torch.cat([self.competing(row[None], int(task)) for row, task in zip(logits, self.owners[chosen], strict=True)])
        else:
            logits = self.competing(logits, self.current)
        share = 1 / (self.current + 1)
        return share * now + (1 - share) * F.cross_entropy(logits, self.labels[chosen])


class Joint(Lifelong):
    """Each phase trains on the pictures of all tasks so far: what a method that forgets nothing could reach."""

    def enter(self, number: int) -> TensorLoader:
        self.current = number
        return self.data.joint_loader(number + 1)

    def loss(self, batch: tuple[Tensor, ...]) -> Tensor:
        images, labels = batch
        logits = self.net(images)
        if self.scenario == "task":
            own = torch.tensor([[unit in units for unit in range(logits.shape[1])] for units in self.units], device=logits.device)
            task = torch.tensor([next(i for i, units in enumerate(self.units) if label in units) for label in labels.tolist()])
            return F.cross_entropy(logits.masked_fill(~own[task.to(logits.device)], -torch.inf), labels)
        return F.cross_entropy(self.competing(logits, self.current), labels)
