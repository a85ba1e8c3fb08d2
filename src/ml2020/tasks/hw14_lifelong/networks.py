"""The networks that learn one task after another: the small one of this homework, the student's, and perceptrons."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from torch import nn

from ml2020.core.errors import at_least, one_of, whole_numbers

KINDS = ("cnn", "original", "mlp")


def make(kind: str, shape: Sequence[int], outputs: int, hidden: Sequence[int], width: int) -> nn.Sequential:
    """A network for pictures (n, *shape) with (n, outputs) logits. `hidden`: the dense layers of mlp; `width`: cnn's first channels."""
    one_of(KINDS, kind, "model.net")
    if kind == "mlp":
        return mlp(shape, outputs, whole_numbers(hidden, "model.hidden"))
    return cnn(shape, outputs, at_least(1, width, "model.width")) if kind == "cnn" else original(shape, outputs)


def mlp(shape: Sequence[int], outputs: int, hidden: Sequence[int]) -> nn.Sequential:
    """Dense layers with ReLU between them: the course's has hidden = [1024, 512, 256, 128, 128]."""
    sizes = [math.prod(shape), *hidden]
    inner = [part for a, b in itertools.pairwise(sizes) for part in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(nn.Flatten(), *inner, nn.Linear(sizes[-1], outputs))


def cnn(shape: Sequence[int], outputs: int, width: int) -> nn.Sequential:
    """Three convolutions with pooling, width, 2 width and 4 width channels, and a dense layer of 128; no batch norm."""
    channels = [shape[0], width, 2 * width, 4 * width]
    inner: list[nn.Module] = []
    for a, b in itertools.pairwise(channels):
        inner += [nn.Conv2d(a, b, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    side = shape[-1] // 8
    return nn.Sequential(*inner, nn.Flatten(), nn.Linear(4 * width * side * side, 128), nn.ReLU(), nn.Linear(128, outputs))


def original(shape: Sequence[int], outputs: int) -> nn.Sequential:
    """The student's: three convolutions of stride 1, batch norm, LeakyReLU, and a dense layer; 256,890 parameters for 28 x 28."""
    channels, inner = [shape[0], 8, 16, 32], []
    for a, b in itertools.pairwise(channels):
        inner += [nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.LeakyReLU(0.3)]  # Keras' default slope
    return nn.Sequential(*inner, nn.Flatten(), nn.Linear(32 * shape[-2] * shape[-1], outputs))
