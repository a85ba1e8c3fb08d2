"""Perceptrons: what acts and judges in homework 15, and the two networks of homework 11's ring."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from torch import nn

INITS = ("orthogonal", "torch")


def perceptron(
    inputs: int,
    hidden: Sequence[int],
    outputs: int,
    gain: float = math.sqrt(2),
    last: float = 1.0,
    shape: type[nn.Module] = nn.Tanh,
    init: str = "orthogonal",
) -> nn.Sequential:
    """Linear layers with `shape` between them, (n, inputs) -> (n, outputs).

    Orthogonal weights of `gain`, of gain `last` in the last layer; biases 0 (Engstrom et al. 2020: it matters). init=torch: the weights
    and biases that torch gives a layer.
    """
    begin = orthogonal if init == "orthogonal" else lambda layer, gain: layer
    sizes = [inputs, *hidden]
    inner = [part for a, b in itertools.pairwise(sizes) for part in (begin(nn.Linear(a, b), gain), shape())]
    return nn.Sequential(*inner, begin(nn.Linear(sizes[-1], outputs), last))


def orthogonal(layer: nn.Linear, gain: float) -> nn.Linear:
    """The layer with orthogonal weights times `gain`, and no biases."""
    nn.init.orthogonal_(layer.weight, gain)
    nn.init.zeros_(layer.bias)
    return layer
