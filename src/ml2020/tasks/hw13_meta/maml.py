"""MAML: a beginning from which a few steps of gradient descent lead far (Finn et al. 2017)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ml2020.core.errors import at_least, one_of
from ml2020.tasks.hw13_meta.descent import Descent
from ml2020.tasks.hw13_meta.episodes import Episodes

ORDERS = (1, 2)
RATES = ("fixed", "layers", "weights")
LOSSES = ("last", "all", "annealed")


class MAML(Descent):
    """min over w_0 of the mean over tasks of L_query(w_k), where w_{i+1} = w_i - rate * grad L_support(w_i).

    `order` 2 differentiates through the inner gradients, 1 takes them for constants. `rates`: of the inner steps, fixed; learned, one
    for each tensor and step (Antoniou et al. 2019); or one for each weight and step (Meta-SGD, Li et al. 2017). `losses` that count:
    the last, after all inner steps; all, their mean over the steps; annealed, from all at first to the last alone at the end (Antoniou
    et al. 2019).
    """

    suits: ClassVar = Descent.suits | {"steps": (2, 1)}

    def __init__(self, order: int = 2, rates: str | None = None, losses: str | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.order = one_of(ORDERS, order, "model.order")
        self.kind = rates if rates is None else one_of(RATES, rates, "model.rates")
        self.losses = losses if losses is None else one_of(LOSSES, losses, "model.losses")

    def build(self) -> None:
        """The logarithms of learned rates are parameters too, by the names of the weights: rates stay positive and change by shares."""
        super().build()
        self.kind = self.by_kind(self.kind, "weights", "fixed")
        self.losses = self.by_kind(self.losses, "all", "last")
        if self.kind != "fixed":
            at_least(1e-8, self.inner_lr, f"with model.rates={self.kind} model.inner_lr")
        shapes = {name: p.shape if self.kind == "weights" else () for name, p in self.network.named_parameters()}
        self.learned = nn.ParameterDict(
            {
                name.replace(".", "_"): nn.Parameter(torch.full((self.inner_steps, *shape), math.log(self.inner_lr)))
                for name, shape in shapes.items()
                if self.kind != "fixed" and self.adapts(name)
            }
        )

    def adapts(self, name: str) -> bool:
        """Whether a weight changes in the inner loop."""
        return True

    def rates(self, names: Sequence[str]) -> dict[str, Tensor]:
        return {name: self.learned[name.replace(".", "_")].exp() for name in names} if self.learned else super().rates(names)

    def learn(self, episodes: Episodes) -> tuple[Tensor, Tensor]:
        path = self.path(episodes, self.inner_steps, self.order)
        counted = [(share, self.query(weights, episodes)) for share, weights in zip(self.shares(), path[1:], strict=True) if share]
        self.leave(path[-1])
        loss = sum(share * self.error(answers, episodes.query_targets).mean() for share, answers in counted)
        return loss, counted[-1][1]

    def shares(self) -> list[float]:
        """What the loss after each inner step counts."""
        count = self.inner_steps
        left = {"last": 0.0, "all": 1.0, "annealed": 1 - self.progress}[self.losses]
        return [left / count] * (count - 1) + [1 - left * (count - 1) / count]
