"""The honest baseline: one network for all training examples, whatever their tasks (Chen et al. 2019)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor

from ml2020.core.module import Phase
from ml2020.tasks.hw13_meta.descent import Descent
from ml2020.tasks.hw13_meta.episodes import Episodes
from ml2020.tasks.hw13_meta.inner import errors


class Pretrain(Descent):
    """Pictures: all training characters are told apart; a new task keeps the features and learns a new head from zeros.

    Functions: their mean is learned, which is 0 everywhere; a new task adapts all weights.
    """

    suits: ClassVar = Descent.suits | {"test_steps": (10, 100)}

    def configure(self, spec: dict[str, Any]) -> None:
        super().configure(spec)
        if self.ways:
            self.network = self.make(spec["classes"])

    def phases(self, data: Any) -> Iterator[Phase]:
        yield Phase("fit", data.everything(), data.val_dataloader())

    def loss(self, batch: tuple[Tensor, ...]) -> Tensor:
        """All examples of the batch as though they were of one task."""
        x, y = (tensor.unsqueeze(0) for tensor in batch)
        answers = self.network(self.network.start(1), x)
        return errors(answers, y)[0]

    def path(self, episodes: Episodes, steps: int, order: int) -> list[dict[str, Tensor]]:
        """The weights before and after each step; of pictures only the new head, (tasks, ways, f) and (tasks, ways), changes."""
        if not self.ways:
            return super().path(episodes, steps, order)
        weights = self.network.start(len(episodes.support))
        with torch.no_grad():
            features = self.network.body(weights, episodes.support)
        head = {
            name: w.new_zeros(len(w), self.ways, *w.shape[2:]).requires_grad_()
            for name, w in weights.items()
            if name.startswith("head.")
        }
        return [
            weights | changed for changed in self.descend(self.network.answer, head, features, episodes.support_targets, steps, order)
        ]
