"""What the discriminator is shown instead of the plain pictures, so that few of them do not let it learn them by heart.

DiffAugment (Zhao et al. 2020): real and generated pictures go through the same kinds of random changes, all of which gradients pass.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

KINDS = ("color", "translation", "cutout")


def augment(x: Tensor, kinds: Sequence[str]) -> Tensor:
    """Pictures (n, c, s, s), each changed by its own random numbers, in the order of KINDS."""
    for kind in KINDS:
        if kind in kinds:
            x = globals()[kind](x)
    return x


def color(x: Tensor) -> Tensor:
    """Brightness moved by up to half, saturation times 0 to 2, contrast times 0.5 to 1.5."""
    x = x + _uniform(x) - 0.5
    grey = x.mean(1, keepdim=True)
    x = grey + (x - grey) * 2 * _uniform(x)
    mean = x.mean((1, 2, 3), keepdim=True)
    return mean + (x - mean) * (0.5 + _uniform(x))


def translation(x: Tensor, share: float = 0.125) -> Tensor:
    """Moved by up to an eighth of the side in each direction; what comes in is 0."""
    side, reach = x.shape[-1], round(x.shape[-1] * share)
    down, right = (torch.randint(-reach, reach + 1, (len(x), 1), device=x.device) for _ in range(2))
    at = torch.arange(side, device=x.device)
    row, column = ((at + move + 1).clamp(0, side + 1) for move in (down, right))  # into a frame of zeros, one pixel wide
    framed = torch.nn.functional.pad(x, (1, 1, 1, 1)).permute(0, 2, 3, 1)
    return framed[torch.arange(len(x), device=x.device)[:, None, None], row[:, :, None], column[:, None, :]].permute(0, 3, 1, 2)


def cutout(x: Tensor, share: float = 0.5) -> Tensor:
    """A square of half the side is 0; its middle may be anywhere, so part of it may be outside."""
    side, cut = x.shape[-1], round(x.shape[-1] * share)
    at = torch.arange(side, device=x.device)
    top, left = (torch.randint(0, side + (1 - cut % 2), (len(x), 1), device=x.device) - cut // 2 for _ in range(2))
    inside = [(at >= start) & (at < start + cut) for start in (top, left)]
    return x * ~(inside[0][:, None, :, None] & inside[1][:, None, None, :])


def _uniform(x: Tensor) -> Tensor:
    return torch.rand(len(x), 1, 1, 1, dtype=x.dtype, device=x.device)
