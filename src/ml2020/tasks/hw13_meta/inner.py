"""The inner loop: a few steps of gradient descent on the support of each task, which the outer loop differentiates through."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ml2020.tasks.hw13_meta.networks import Weights

OPTIMIZERS = ("sgd", "adagrad", "adam")


def adapt(
    network: Callable[[Weights, Tensor], Tensor],
    weights: Weights,
    x: Tensor,
    y: Tensor,
    rates: Mapping[str, Tensor],
    steps: int,
    order: int = 2,
    optimizer: str = "sgd",
    error: Callable[[Tensor, Tensor], Tensor] | None = None,
    more: Sequence[tuple[Tensor, Tensor]] = (),
) -> list[dict[str, Tensor]]:
    """The weights {name: (tasks, *shape)} before and after each step on examples x, y (tasks, n, ...); steps + 1 of them.

    A step takes away the gradient of each task's own error, as the optimizer turns it, times `rates` {name: (k, ...)}: a row for each
    step, the last one for all that come later. With `order` 2 a later gradient reaches the first weights also through the gradients of
    these steps (MAML); with 1 these are constants (first-order MAML), and with 0 the weights after a step are constants too. `more`:
    other examples of the same tasks, with which x, y take turns step by step.
    """
    path, memory, turns = [dict(weights)], {name: {} for name in weights}, [(x, y), *more]
    for step in range(steps):
        now = path[-1] if order else {name: w.detach().requires_grad_() for name, w in path[-1].items()}
        x, y = turns[step % len(turns)]
        loss = (error or errors)(network(now, x), y).sum()  # a task's gradient knows nothing of the other tasks
        gradients = torch.autograd.grad(loss, list(now.values()), create_graph=order == 2)
        path.append(
            {
                name: w - rates[name][min(step, len(rates[name]) - 1)] * direction(optimizer, g, memory[name])
                for (name, w), g in zip(now.items(), gradients, strict=True)
            }
        )
    return path


def errors(answers: Tensor, targets: Tensor) -> Tensor:
    """Of each task, (tasks,): mean cross-entropy of logits (tasks, n, ways) and classes (tasks, n), or mean squared error."""
    if targets.is_floating_point():
        return (answers - targets).square().flatten(1).mean(1)
    return F.cross_entropy(answers.transpose(1, 2), targets, reduction="none").mean(1)


def direction(optimizer: str, g: Tensor, memory: dict[str, Any]) -> Tensor:
    """What is taken away, times the rate; `memory` holds what the optimizer knows of earlier steps.

    epsilon (adagrad's 0.08 is the course's, adam's torch's) stands under the root: the root of 0 has no finite derivative.
    """
    if optimizer == "sgd":
        return g
    if optimizer == "adagrad":
        memory["squares"] = memory.get("squares", 0) + g.square()
        return g * torch.rsqrt(memory["squares"] + 0.08**2)
    decays = 0.9, 0.999
    memory["t"] = memory.get("t", 0) + 1
    memory["mean"] = decays[0] * memory.get("mean", 0) + (1 - decays[0]) * g
    memory["square"] = decays[1] * memory.get("square", 0) + (1 - decays[1]) * g.square()
    mean, square = (memory[name] / (1 - decay ** memory["t"]) for name, decay in zip(("mean", "square"), decays, strict=True))
    return mean * torch.rsqrt(square + 1e-16)
