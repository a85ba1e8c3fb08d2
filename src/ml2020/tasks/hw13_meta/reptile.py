"""Reptile: a beginning that is near the weights of all tasks (Nichol et al. 2018)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from ml2020.tasks.hw13_meta.descent import Descent
from ml2020.tasks.hw13_meta.episodes import Episodes
from ml2020.tasks.hw13_meta.model import handed_on


class Reptile(Descent):
    """w <- w + lr * mean over tasks of (w_k - w), where w_k is w after k inner steps on all examples of a task, the queries too.

    w - w_k is handed to the outer optimizer as a gradient: with SGD at the rate lr that is the line above. The original's slip `sign`
    hands on w_k - w, and walks away.
    """

    suits: ClassVar = {"test_steps": (10, 10), "steps": (10, 5), "lr": (0.01, 0.1)}
    known_slips: ClassVar = (*Descent.known_slips, "sign")

    def learn(self, episodes: Episodes) -> tuple[Tensor, Tensor]:
        """The queries' error after the inner steps, which carries w - w_k as its gradient, and their answers (tasks, m, outputs)."""
        x = torch.cat([episodes.support, episodes.query], 1)
        y = torch.cat([episodes.support_targets, episodes.query_targets], 1)
        adapted = self.descend(self.network, self.network.start(len(x)), x, y, self.inner_steps, order=0)[-1]
        self.leave(adapted)
        with torch.no_grad():
            answers = self.query(adapted, episodes)
            away = -1 if "sign" in self.slips else 1
            start = {name: adapted[name][-1:] if "references" in self.slips else p for name, p in self.network.named_parameters()}
            gradients = [away * (start[name] - w).mean(0) for name, w in adapted.items()]
            value = self.error(answers, episodes.query_targets).mean()
        return handed_on(value, list(self.network.parameters()), gradients), answers
