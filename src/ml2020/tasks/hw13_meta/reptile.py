"""Reptile: a beginning that is near the weights of all tasks (Nichol et al. 2018)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from ml2020.tasks.hw13_meta.descent import Descent
from ml2020.tasks.hw13_meta.episodes import Episodes
from ml2020.tasks.hw13_meta.model import handed_on


class Reptile(Descent):
    """w <- w + lr * mean over tasks of (w_k - w), where w_k is w after k inner steps on the examples of a task, the queries too.

    The steps take turns with batches as large as the support: that a step on some examples helps with others is what Reptile learns,
    and from the same batch every time it would only learn the mean of all tasks (their section 5).

    w - w_k is handed to the outer optimizer as a gradient: with SGD at the rate lr that is the line above. The original's slip `sign`
    hands on w_k - w, and walks away.
    """

    suits: ClassVar = {"test_steps": (10, 10), "steps": (10, 6), "lr": (0.01, 0.05)}
    known_slips: ClassVar = (*Descent.known_slips, "sign")

    def learn(self, episodes: Episodes) -> tuple[Tensor, Tensor]:
        """The queries' error after the inner steps, which carries w - w_k as its gradient, and their answers (tasks, m, outputs)."""
        (x, y), *more = self.turns(episodes)
        adapted = self.descend(self.network, self.network.start(len(x)), x, y, self.inner_steps, order=0, more=more)[-1]
        self.leave(adapted)
        with torch.no_grad():
            answers = self.query(adapted, episodes)
            away = -1 if "sign" in self.slips else 1
            start = {name: adapted[name][-1:] if "references" in self.slips else p for name, p in self.network.named_parameters()}
            gradients = [away * (start[name] - w).mean(0) for name, w in adapted.items()]
            value = self.error(answers, episodes.query_targets).mean()
        return handed_on(value, list(self.network.parameters()), gradients), answers

    def turns(self, episodes: Episodes) -> list[tuple[Tensor, Tensor]]:
        """A task's examples in batches of as many of each class as the support has; the support first."""
        ways = max(1, self.ways)
        both = (episodes.support, episodes.query), (episodes.support_targets, episodes.query_targets)
        x, y = (torch.cat([part.unflatten(1, (ways, -1)) for part in parts], 2) for parts in both)
        shots = episodes.support.shape[1] // ways
        return [(a.flatten(1, 2), b.flatten(1, 2)) for a, b in zip(x.split(shots, 2), y.split(shots, 2), strict=True)]
