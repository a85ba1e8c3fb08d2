"""ANIL: MAML whose inner loop changes the head alone ("almost no inner loop", Raghu et al. 2020)."""

from __future__ import annotations

from torch import Tensor

from ml2020.tasks.hw13_meta.episodes import Episodes
from ml2020.tasks.hw13_meta.maml import MAML


class ANIL(MAML):
    """The body is learned by the outer loop, and the features of a task's support are computed once."""

    def adapts(self, name: str) -> bool:
        return name.startswith("head.")

    def path(self, episodes: Episodes, steps: int, order: int) -> list[dict[str, Tensor]]:
        weights = self.network.start(len(episodes.support))
        features = self.network.body(weights, episodes.support)
        head = {name: w for name, w in weights.items() if self.adapts(name)}
        return [
            weights | changed for changed in self.descend(self.network.answer, head, features, episodes.support_targets, steps, order)
        ]
