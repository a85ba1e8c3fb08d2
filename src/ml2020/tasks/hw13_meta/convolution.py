"""What a block of the convolutional network is made of, over many tasks at once and differentiable twice.

Each task has weights of its own, so a convolution over tasks is a grouped one: maps are (n, tasks * channels, h, w). torch's own
gradient of a gradient of a grouped convolution, of batch norm and of pooling works, but is slow on CPUs. Here each operation knows its
derivative as one of a few others that know theirs: g . conv(x, w) is linear in each of g, x and w, so the derivatives of `Convolve`,
`ToInput` and `ToWeight` are one another, as are those of `Pool` and `Unpool` (benchmarks/meta.py).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function

_BACKWARD = torch.ops.aten.convolution_backward


def convolve(x: Tensor, weight: Tensor, groups: int) -> Tensor:
    """3 x 3, padded: maps (n, groups * c, h, w) and kernels (groups * d, c, 3, 3) -> (n, groups * d, h, w) float32 or float64."""
    if torch.is_autocast_enabled(x.device.type):
        kind = torch.get_autocast_dtype(x.device.type)
        return Convolve.apply(x.to(kind), weight.to(kind), groups).float()
    return Convolve.apply(x, weight, groups)


def _gradient(g: Tensor, x: Tensor, weight: Tensor, groups: int, which: int) -> Tensor:
    """Of g . conv(x, weight) in x (which = 0) or in weight (1)."""
    mask = [which == 0, which == 1, False]
    return _BACKWARD(g, x, weight, None, [1, 1], [1, 1], [1, 1], False, [0, 0], groups, mask)[which]


class Convolve(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, groups: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.groups = groups
        return F.conv2d(x, weight, padding=1, groups=groups)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        to_x = ToInput.apply(g, weight, ctx.groups) if ctx.needs_input_grad[0] else None
        return to_x, ToWeight.apply(g, x, ctx.groups) if ctx.needs_input_grad[1] else None, None


class ToInput(Function):
    """The gradient in x, of g and the kernels."""

    @staticmethod
    def forward(ctx: Any, g: Tensor, weight: Tensor, groups: int) -> Tensor:
        ctx.save_for_backward(g, weight)
        ctx.groups = groups
        like = torch.empty_like(g[:, :1]).expand(-1, groups * weight.shape[1], -1, -1)  # only its shape is read
        return _gradient(g, like.contiguous(memory_format=torch.channels_last), weight, groups, 0)

    @staticmethod
    def backward(ctx: Any, v: Tensor) -> tuple[Tensor | None, ...]:
        g, weight = ctx.saved_tensors
        to_g = Convolve.apply(v, weight, ctx.groups) if ctx.needs_input_grad[0] else None
        return to_g, ToWeight.apply(g, v, ctx.groups) if ctx.needs_input_grad[1] else None, None


class ToWeight(Function):
    """The gradient in the kernels, of g and x."""

    @staticmethod
    def forward(ctx: Any, g: Tensor, x: Tensor, groups: int) -> Tensor:
        ctx.save_for_backward(g, x)
        ctx.groups = groups
        like = g.new_empty(g.shape[1], x.shape[1] // groups, 3, 3)
        return _gradient(g, x, like, groups, 1)

    @staticmethod
    def backward(ctx: Any, v: Tensor) -> tuple[Tensor | None, ...]:
        g, x = ctx.saved_tensors
        to_g = Convolve.apply(x, v, ctx.groups) if ctx.needs_input_grad[0] else None
        return to_g, ToInput.apply(g, v, ctx.groups) if ctx.needs_input_grad[1] else None, None


class Pool(Function):
    """The largest of each 2 x 2: (n, c, h, w) -> (n, c, h // 2, w // 2)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        largest, places = F.max_pool2d(x, 2, return_indices=True)
        ctx.save_for_backward(places)
        ctx.size = x.shape
        return largest

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        return Unpool.apply(g, *ctx.saved_tensors, ctx.size)


class Unpool(Function):
    """Numbers put back where the largest were, zeros elsewhere."""

    @staticmethod
    def forward(ctx: Any, g: Tensor, places: Tensor, size: torch.Size) -> Tensor:
        ctx.save_for_backward(places)
        like = torch.empty(size, dtype=g.dtype, device=g.device, memory_format=torch.channels_last)
        g = g.contiguous(memory_format=torch.channels_last)
        return torch.ops.aten.max_pool2d_with_indices_backward(g, like, [2, 2], [2, 2], [0, 0], [1, 1], False, places)

    @staticmethod
    def backward(ctx: Any, v: Tensor) -> tuple[Tensor | None, ...]:
        (places,) = ctx.saved_tensors
        rows, chosen = (t.permute(0, 2, 3, 1).flatten(1, 2) for t in (v, places))  # as they lie in memory
        n, c, h, w = places.shape
        return rows.gather(1, chosen).view(n, h, w, c).permute(0, 3, 1, 2), None, None


class Moments(Function):
    """Mean and variance (divided by the count) over `dims`, which are kept with length 1."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, dims: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(x)
        ctx.dims = dims
        mean = x.mean(dims, keepdim=True)
        return mean, (x * x).mean(dims, keepdim=True).addcmul(mean, mean, value=-1).clamp_min(0)

    @staticmethod
    def backward(ctx: Any, to_mean: Tensor, to_variance: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        count = x.numel() // to_mean.numel()
        slope = to_variance * (2 / count)
        return torch.addcmul(to_mean / count - slope * x.mean(ctx.dims, keepdim=True), slope, x), None
