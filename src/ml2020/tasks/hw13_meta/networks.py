"""Networks whose weights are arguments, so that each task of a batch may have its own.

`weights`: {name: (tasks, *shape)}, in the order of the network's own parameters, which are where every task begins.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ml2020.core.errors import UserError
from ml2020.tasks.hw13_meta.convolution import Moments, Pool, convolve

Weights = Mapping[str, Tensor]
EPSILON = 1e-5  # of batch norm


class Dense(nn.Module):
    """(tasks, n, inputs) -> (tasks, n, outputs); begins as torch's own."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        first = nn.Linear(inputs, outputs)
        self.weight, self.bias = first.weight, first.bias

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return torch.baddbmm(bias.unsqueeze(1), x, weight.transpose(1, 2))


class Block(nn.Module):
    """3 x 3 convolution, batch norm, ReLU, the largest of each 2 x 2: (tasks, n, c, h, w) -> (tasks, n, d, h // 2, w // 2).

    Batch norm goes by the statistics of these n pictures, each task's apart, so the convolution needs no bias; with `rows`, of the
    first `rows` of them. The largest is taken before norm and ReLU, which keep the order and then have a quarter of the numbers.
    """

    def __init__(self, inputs: int, outputs: int, activation: Callable[[Tensor], Tensor] = torch.relu) -> None:
        super().__init__()
        self.weight = nn.Conv2d(inputs, outputs, 3, bias=False).weight
        self.gain, self.shift = nn.Parameter(torch.ones(outputs)), nn.Parameter(torch.zeros(outputs))
        self.activation = activation

    def forward(self, x: Tensor, weight: Tensor, gain: Tensor, shift: Tensor, rows: int | None = None) -> Tensor:
        gain, shift = (v[:, None, :, None, None] for v in (gain, shift))
        if (gain < 0).any():  # which would turn the order round
            weight = weight * torch.where(gain < 0, -1.0, 1.0).to(gain).squeeze(1).unsqueeze(-1)
        maps, apart = _by_patches(x, weight) if weight.shape[2] < 8 else _by_groups(x, weight)
        mean, variance = Moments.apply(apart(maps)[:, :rows], (1, 3, 4))
        scale = gain.abs() * torch.rsqrt(variance + EPSILON)
        return self.activation(torch.addcmul(shift - mean * scale, apart(Pool.apply(maps)), scale))


def _by_groups(x: Tensor, weight: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """Maps (n, tasks * d, h, w) of a grouped convolution, and how to see the tasks apart."""
    tasks = len(weight)
    x = x.transpose(0, 1).flatten(1, 2).contiguous(memory_format=torch.channels_last)
    return convolve(x, weight.flatten(0, 1), tasks), lambda maps: maps.unflatten(1, (tasks, -1)).transpose(0, 1)


def _by_patches(x: Tensor, weight: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """Maps (tasks * n, d, h, w) of each task's patches times its kernels: faster where there are few channels."""
    (tasks, n), (h, w) = x.shape[:2], x.shape[3:]
    patches = F.unfold(x.flatten(0, 1), 3, padding=1).transpose(1, 2).reshape(tasks, n * h * w, -1)
    maps = torch.bmm(patches, weight.flatten(2).transpose(1, 2)).view(tasks * n, h, w, -1)
    return maps.permute(0, 3, 1, 2), lambda maps: maps.unflatten(0, (tasks, n))


class Network(nn.Module):
    """`body` makes features (tasks, n, f) of examples, `head` answers (tasks, n, outputs) of features."""

    head: Dense

    def start(self, tasks: int) -> dict[str, Tensor]:
        """The parameters, once for each task; gradients reach each task's own."""
        return {name: p.expand(tasks, *p.shape) for name, p in self.named_parameters()}

    def body(self, weights: Weights, x: Tensor, rows: int | None = None) -> Tensor:
        raise NotImplementedError

    def answer(self, weights: Weights, features: Tensor) -> Tensor:
        """What the head says of features."""
        return self.head(features, weights["head.weight"], weights["head.bias"])

    def forward(self, weights: Weights, x: Tensor, rows: int | None = None) -> Tensor:
        """(tasks, n, *shape) -> (tasks, n, outputs); `rows`: see Block."""
        return self.answer(weights, self.body(weights, x, rows))


class Perceptron(Network):
    """Layers of `hidden` units; the course's is 1-40-40-1."""

    def __init__(self, inputs: int, hidden: Sequence[int], outputs: int, activation: Callable[[Tensor], Tensor] = torch.relu) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Dense(a, b) for a, b in itertools.pairwise([inputs, *hidden]))
        self.head = Dense([inputs, *hidden][-1], outputs)
        self.activation = activation

    def body(self, weights: Weights, x: Tensor, rows: int | None = None) -> Tensor:
        for i, layer in enumerate(self.layers):
            x = self.activation(layer(x, weights[f"layers.{i}.weight"], weights[f"layers.{i}.bias"]))
        return x


class Conv4(Network):
    """Four blocks of `width` channels and a linear layer (Vinyals et al. 2016). Raises UserError for pictures below 16 x 16."""

    def __init__(self, shape: Sequence[int], width: int, outputs: int, activation: Callable[[Tensor], Tensor] = torch.relu) -> None:
        super().__init__()
        channels, h, w = shape
        if min(h, w) < 16:
            raise UserError(f"pictures of {h} x {w} are too small for four blocks that halve them; they need 16 x 16")
        self.layers = nn.ModuleList(Block(width if i else channels, width, activation) for i in range(4))
        self.head = Dense(width * (h // 16) * (w // 16), outputs)

    def body(self, weights: Weights, x: Tensor, rows: int | None = None) -> Tensor:
        for i, layer in enumerate(self.layers):
            x = layer(x, *(weights[f"layers.{i}.{name}"] for name in ("weight", "gain", "shift")), rows=rows)
        return x.flatten(2)
