"""Prototypical networks: a class is the mean of its support's features (Snell et al. 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from ml2020.core.errors import TypedError
from ml2020.tasks.hw13_meta.episodes import Episodes
from ml2020.tasks.hw13_meta.inner import errors
from ml2020.tasks.hw13_meta.model import Answers, Learner


class ProtoNet(Learner):
    """p(class) is a softmax over minus the squared distances to the classes' means. Nothing is adapted: there are no inner steps."""

    def __init__(self, **options: Any) -> None:
        super().__init__(test_steps=0, measured=(), **options)

    def build(self) -> None:
        if not self.ways:
            raise TypedError("model=hw13_protonet tells classes apart, and functions have none; type data=hw13_sample")
        self.network.head = nn.Identity()

    def logits(self, episodes: Episodes) -> Tensor:
        """(tasks, m, ways)."""
        weights = self.network.start(len(episodes.support))
        features = self.network.body(weights, episodes.support)
        classes = F.one_hot(episodes.support_targets, self.ways).to(features)
        means = classes.transpose(1, 2) @ features / classes.sum(1).unsqueeze(2)
        queries = self.query(weights, episodes, self.network.body)
        return -(queries.unsqueeze(2) - means.unsqueeze(1)).square().sum(3)

    def learn(self, episodes: Episodes) -> tuple[Tensor, Tensor]:
        logits = self.logits(episodes)
        return errors(logits, episodes.query_targets).mean(), logits

    def answers(self, episodes: Episodes, steps: Sequence[int]) -> Answers:
        return dict.fromkeys(steps, self.logits(episodes))

    def forward(self, x: Tensor) -> Tensor:
        """Examples (n, *shape) -> features (n, f)."""
        return self.network.body(self.network.start(1), x.unsqueeze(0))[0]
