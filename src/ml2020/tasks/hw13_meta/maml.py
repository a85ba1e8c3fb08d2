"""MAML: a beginning from which a few steps of gradient descent lead far (Finn et al. 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ml2020.core.errors import at_least, one_of, within
from ml2020.tasks.hw13_meta.episodes import Episodes
from ml2020.tasks.hw13_meta.inner import OPTIMIZERS, adapt, errors
from ml2020.tasks.hw13_meta.model import Answers, Learner

RATES = ("fixed", "layers", "weights")
ORDERS = (1, 2)


class MAML(Learner):
    """min over w of the mean over tasks of L_query(w_k), where w_0 = w and w_{i+1} = w_i - rate * grad L_support(w_i).

    `order` 2 differentiates through the inner gradients, 1 takes them for constants. `rates`: of the inner steps, fixed; learned, one
    for each layer and step (Antoniou et al. 2019); or one for each weight and step (Meta-SGD, Li et al. 2017). `multi_step`: in the first
    share of the training the losses after earlier steps count too, less and less (Antoniou et al. 2019).
    """

    def __init__(
        self,
        order: int = 2,
        inner_steps: int = 1,
        inner_lr: float = 0.01,
        inner_optimizer: str = "sgd",
        rates: str = "fixed",
        multi_step: float = 0.0,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.order = one_of(ORDERS, order, "model.order")
        self.inner_steps = at_least(1, inner_steps, "model.inner_steps")
        self.inner_lr = at_least(0, inner_lr, "model.inner_lr")
        self.inner_optimizer = one_of(OPTIMIZERS, inner_optimizer, "model.inner_optimizer")
        self.rates = one_of(RATES, rates, "model.rates")
        self.multi_step = within(0, 1, multi_step, "model.multi_step")

    def build(self) -> None:
        """The rates of the inner steps, by the parameters' names (a module's parameter has no dots in its name)."""
        learned = self.rates != "fixed"
        shapes = {name: p.shape if self.rates == "weights" else () for name, p in self.network.named_parameters()}
        self.inner_rates = nn.ParameterDict(
            {
                name.replace(".", "_"): nn.Parameter(torch.full((self.inner_steps, *shape), float(self.inner_lr)), requires_grad=learned)
                for name, shape in shapes.items()
            }
        )

    def path(self, episodes: Episodes, steps: int, order: int) -> list[dict[str, Tensor]]:
        """The weights before and after each step on the support."""
        weights = self.network.start(len(episodes.support))
        rates = {name: self.inner_rates[name.replace(".", "_")] for name in weights}
        return adapt(
            self.network, weights, episodes.support, episodes.support_targets, rates, steps, order=order, optimizer=self.inner_optimizer
        )

    def learn(self, episodes: Episodes) -> tuple[Tensor, Tensor]:
        shares = self.shares()
        path = self.path(episodes, self.inner_steps, self.order)[1:]
        judged = [self.query(weights, episodes) if share else None for weights, share in zip(path, shares, strict=True)]
        losses = [share * errors(a, episodes.query_targets).mean() for a, share in zip(judged, shares, strict=True) if share]
        return sum(losses), judged[-1]

    def shares(self) -> list[float]:
        """What the loss after each inner step counts: all the same at the start, the last alone when `multi_step` is over."""
        count = self.inner_steps
        left = max(0.0, 1 - self.progress / self.multi_step) if self.multi_step else 0.0
        return [left / count] * (count - 1) + [1 - left * (count - 1) / count]

    def answers(self, episodes: Episodes, steps: Sequence[int]) -> Answers:
        path = self.path(episodes, max(steps), order=0)
        with torch.no_grad():
            return {step: self.query(path[step], episodes) for step in steps}
