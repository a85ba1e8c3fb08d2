"""Learners that meet a new task by gradient descent; three slips of the student's original."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from ml2020.core.errors import TypedError, at_least, one_of
from ml2020.tasks.hw13_meta.episodes import Episodes
from ml2020.tasks.hw13_meta.inner import OPTIMIZERS, adapt, errors
from ml2020.tasks.hw13_meta.model import Answers, Learner


class Descent(Learner):
    """`inner_steps` of `inner_optimizer` at the rate `inner_lr`, on all of a task's support; each None means what suits the data.

    `slips` of the original: broadcast, answers (n, 1) less targets (n,) are n x n differences, so the best answer is a constant;
    references, the saved weights are the same tensors as the adapted ones, so nothing is ever put back.
    """

    suits: ClassVar = {"test_steps": (1, 5), "steps": (1, 1), "lr": (0.01, 0.4)}
    known_slips: ClassVar = ("broadcast", "references")

    def __init__(
        self,
        inner_steps: int | None = None,
        inner_lr: float | None = None,
        inner_optimizer: str = "sgd",
        slips: Sequence[str] = (),
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.inner_steps = inner_steps if inner_steps is None else at_least(1, inner_steps, "model.inner_steps")
        self.inner_lr = inner_lr if inner_lr is None else at_least(0, inner_lr, "model.inner_lr")
        self.inner_optimizer = one_of(OPTIMIZERS, inner_optimizer, "model.inner_optimizer")
        self.slips = [one_of(self.known_slips, slip, "model.slips") for slip in slips]

    def build(self) -> None:
        if "broadcast" in self.slips and self.ways:
            raise TypedError("model.slips=[broadcast] is one of regression; type data=hw13_sine")
        self.inner_steps = self.by_kind(self.inner_steps, *self.suits["steps"])
        self.inner_lr = self.by_kind(self.inner_lr, *self.suits["lr"])
        self.error = broadcast_errors if "broadcast" in self.slips else errors

    def rates(self, names: Sequence[str]) -> dict[str, Tensor]:
        """Of the inner steps, {name: (steps, ...)}."""
        return dict.fromkeys(names, torch.tensor([float(self.inner_lr)], device=self.device, dtype=self.dtype))

    def path(self, episodes: Episodes, steps: int, order: int) -> list[dict[str, Tensor]]:
        """The weights before and after each step on the support."""
        weights = self.network.start(len(episodes.support))
        return self.descend(self.network, weights, episodes.support, episodes.support_targets, steps, order)

    def descend(
        self, network: Any, weights: Any, x: Tensor, y: Tensor, steps: int, order: int, more: Sequence[tuple[Tensor, Tensor]] = ()
    ) -> list[dict[str, Tensor]]:
        """`steps` of the inner optimizer from `weights` on examples of each task."""
        return adapt(network, weights, x, y, self.rates(list(weights)), steps, order, self.inner_optimizer, self.error, more)

    def answers(self, episodes: Episodes, steps: Sequence[int]) -> Answers:
        path = self.path(episodes, max(steps), order=0)
        with torch.no_grad():
            return {step: self.query(path[step], episodes) for step in steps}

    def leave(self, weights: dict[str, Tensor]) -> None:
        """With the slip `references`: what is in the network when the step is over, the last task's adapted weights."""
        self.left = {name: w[-1].detach() for name, w in weights.items()} if "references" in self.slips else {}

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        """Lightning's hook, after the gradients are there."""
        with torch.no_grad():
            for name, w in getattr(self, "left", {}).items():
                self.network.get_parameter(name).copy_(w)


def broadcast_errors(answers: Tensor, targets: Tensor) -> Tensor:
    """The slip: every answer less every target, of each task (tasks,)."""
    return (answers - targets.transpose(1, 2)).square().flatten(1).mean(1)
