"""What EWC, MAS, SI and SCP share: weights that were important for earlier tasks are held near the values that they had then."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from ml2020.core.module import Phase
from ml2020.tasks.hw14_lifelong import figures
from ml2020.tasks.hw14_lifelong.model import Lifelong


class Quadratic(Lifelong):
    """penalty = strength * sum_i I_i (theta_i - anchor_i)^2.

    A quadratic penalty for each finished task, sum_t I_t (theta - theta_t)^2, is one quadratic and a number that theta does not change:
    with I = sum_t I_t and anchor = sum_t I_t theta_t / I it has the same gradients (Huszar 2018). So a step costs the same after nine
    tasks as after one, and nothing but I and the anchor is kept. Both are buffers in the shape of the network.
    """

    strength: float
    fading = 1.0  # what earlier importance is multiplied by when a task is added
    latest = False  # whether the anchor is where the last task left the weights, for all tasks, instead of their mean by importance

    def configure(self, spec: dict[str, Any]) -> None:
        super().configure(spec)
        self.importance, self.anchor = shadow(self.net), shadow(self.net)

    def penalty(self) -> Tensor | float:
        if not self.strength or not self.finished:
            return 0.0  # as naive, to the bit
        return self.strength * Spring.apply(*self.weights(), *self.importance.parameters(), *self.anchor.parameters())

    @property
    def finished(self) -> int:
        """How many tasks are behind us."""
        return self.current

    def weights(self) -> list[nn.Parameter]:
        return list(self.net.parameters())

    def measure(self, number: int) -> dict[str, Tensor]:
        """How important each weight, by its name, was for the task that ends."""
        raise NotImplementedError

    def on_phase_end(self, phase: Phase) -> None:
        """Measure what mattered for the task that ends here, and hold it."""
        super().on_phase_end(phase)
        if self.strength and phase.name != self.tasks[-1]:
            self.hold(self.measure(self.tasks.index(phase.name)))

    @torch.no_grad()
    def hold(self, importance: dict[str, Tensor]) -> None:
        """Add a finished task: its importance at the weights as they are now."""
        named = dict(self.net.named_parameters())
        for name, old, anchor in zip(named, self.importance.parameters(), self.anchor.parameters(), strict=True):
            new = importance.get(name, torch.zeros_like(old))
            old.mul_(self.fading).add_(new)
            share = torch.where(old > 0, new / old.clamp_min(torch.finfo(old.dtype).tiny), 0.0)
            anchor.copy_(named[name] if self.latest else anchor + share * (named[name] - anchor))

    def figures(self, data: Any, history: Any) -> Iterator[tuple[str, Figure]]:
        """Lifelong's; of a perceptron also the pixels whose weights are held."""
        yield from super().figures(data, history)
        if self.finished and isinstance(self.importance[0], nn.Flatten):
            pixels = self.importance[1].weight.detach().sum(0).view(*self.shape).sum(0)
            yield "importance", figures.importance(pixels.cpu().numpy(), self.tasks[:-1])


class Spring(torch.autograd.Function):
    """(*weights, *importances, *anchors) -> sum_i I_i (w_i - a_i)^2, and its gradient 2 I (w - a).

    Left to autograd it reads and writes every weight several times as often, which a wide perceptron feels at every step.
    """

    @staticmethod
    def forward(ctx: Any, *tensors: Tensor) -> Tensor:
        count = len(tensors) // 3
        weights, importance, anchors = (tensors[i * count : (i + 1) * count] for i in range(3))
        away = [w - a for w, a in zip(weights, anchors, strict=True)]
        pull = [i * d for i, d in zip(importance, away, strict=True)]
        ctx.save_for_backward(*pull)
        return sum(torch.dot(p.flatten(), d.flatten()) for p, d in zip(pull, away, strict=True))

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        pull = ctx.saved_tensors
        return *(p * (2 * slope) for p in pull), *(None for _ in range(2 * len(pull)))


def shadow(net: nn.Module) -> nn.Module:
    """Zeros in the shape of a network's parameters, which nothing trains; without its buffers."""
    twin = copy.deepcopy(net)
    for module in twin.modules():
        module._buffers.clear()
    for parameter in twin.parameters():
        parameter.requires_grad_(False).zero_()
    return twin
