"""Update rules, by hand: how a parameter moves, given its gradient. Step for step equal to torch.optim's (a test)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from ml2020.core.errors import at_least, within

Memory = dict[str, Any]  # what a rule remembers of one parameter, from step to step


class Rule(Optimizer):
    """Walks over the parameters; `update` is the rule. `weight_decay` adds its multiple of the parameter to the gradient."""

    def __init__(self, params: Any, lr: float, **options: float) -> None:
        super().__init__(params, {"lr": at_least(0, lr, "optimizer.lr"), "weight_decay": 0.0} | options)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One update of every parameter that has a gradient; gives the loss of `closure`, which computes the gradients."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for theta in group["params"]:
                if theta.grad is not None:
                    self.update(theta, theta.grad + group["weight_decay"] * theta, self.state[theta], **group)
        return loss

    def update(self, theta: Tensor, g: Tensor, memory: Memory, lr: float, **options: Any) -> None:
        """Move `theta`, in place, given its gradient `g` of the same shape."""
        raise NotImplementedError


class SGD(Rule):
    """theta <- theta - lr g: straight down, at one rate for all."""

    def update(self, theta: Tensor, g: Tensor, memory: Memory, lr: float, **_: Any) -> None:
        theta -= lr * g


class Momentum(Rule):
    """v <- mu v + g; theta <- theta - lr v: a heavy ball that keeps its speed (Polyak 1964)."""

    def __init__(self, params: Any, lr: float, momentum: float = 0.9) -> None:
        super().__init__(params, lr, momentum=within(0, 0.9999, momentum, "optimizer.momentum"))

    def update(self, theta: Tensor, g: Tensor, memory: Memory, lr: float, momentum: float, **_: Any) -> None:
        v = memory["v"] = momentum * memory["v"] + g if "v" in memory else g.clone()
        theta -= lr * v


class Adagrad(Rule):
    """s <- s + g^2; theta <- theta - lr g / sqrt(s): each parameter slows down by its own past (Duchi et al. 2011)."""

    def __init__(self, params: Any, lr: float, eps: float = 1e-10) -> None:
        super().__init__(params, lr, eps=at_least(0, eps, "optimizer.eps"))

    def update(self, theta: Tensor, g: Tensor, memory: Memory, lr: float, eps: float, **_: Any) -> None:
        s = memory["s"] = memory.get("s", 0) + g**2
        theta -= lr * g / (s.sqrt() + eps)


class RMSprop(Rule):
    """s <- alpha s + (1 - alpha) g^2; theta <- theta - lr g / sqrt(s): Adagrad that forgets (Hinton 2012)."""

    def __init__(self, params: Any, lr: float, alpha: float = 0.99, eps: float = 1e-8) -> None:
        super().__init__(params, lr, alpha=within(0, 0.99999, alpha, "optimizer.alpha"), eps=at_least(0, eps, "optimizer.eps"))

    def update(self, theta: Tensor, g: Tensor, memory: Memory, lr: float, alpha: float, eps: float, **_: Any) -> None:
        s = memory["s"] = alpha * memory.get("s", 0) + (1 - alpha) * g**2
        theta -= lr * g / (s.sqrt() + eps)


class Adam(Rule):
    """m, s: running means of g and g^2, divided by 1 - beta^t because they begin at 0; theta <- theta - lr m / sqrt(s)
    (Kingma and Ba 2015)."""

    def __init__(self, params: Any, lr: float, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8) -> None:
        within(0, 0.9999, beta1, "optimizer.beta1"), within(0, 0.99999, beta2, "optimizer.beta2")
        super().__init__(params, lr, beta1=beta1, beta2=beta2, eps=at_least(0, eps, "optimizer.eps"))

    def update(self, theta: Tensor, g: Tensor, memory: Memory, lr: float, beta1: float, beta2: float, eps: float, **_: Any) -> None:
        t = memory["t"] = memory.get("t", 0) + 1
        m = memory["m"] = beta1 * memory.get("m", 0) + (1 - beta1) * g
        s = memory["s"] = beta2 * memory.get("s", 0) + (1 - beta2) * g**2
        theta -= lr * (m / (1 - beta1**t)) / ((s / (1 - beta2**t)).sqrt() + eps)
