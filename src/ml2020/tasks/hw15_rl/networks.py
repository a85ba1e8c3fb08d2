"""The perceptrons that act and judge."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn


def perceptron(inputs: int, hidden: Sequence[int], outputs: int, last: float = 1.0, shape: type[nn.Module] = nn.Tanh) -> nn.Sequential:
    """Linear layers with `shape` between them, (n, inputs) -> (n, outputs).

    Orthogonal weights of gain sqrt 2, of gain `last` in the last layer; biases 0 (Engstrom et al. 2020: it matters).
    """
    sizes = [inputs, *hidden]
    inner = [part for a, b in itertools.pairwise(sizes) for part in (orthogonal(nn.Linear(a, b), math.sqrt(2)), shape())]
    return nn.Sequential(*inner, orthogonal(nn.Linear(sizes[-1], outputs), last))


def orthogonal(layer: nn.Linear, gain: float) -> nn.Linear:
    nn.init.orthogonal_(layer.weight, gain)
    nn.init.zeros_(layer.bias)
    return layer


def log_chances(logits: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
    """log p of the taken actions (n,), and the entropy of each choice (n,), in nats, from logits (n, actions)."""
    logs = torch.log_softmax(logits, 1)
    return logs.gather(1, actions[:, None])[:, 0], -(logs.exp() * logs).sum(1)


def normalized(x: Tensor) -> Tensor:
    """With mean 0 and standard deviation 1, (n,)."""
    return (x - x.mean()) / (x.std(correction=0) + 1e-8)
