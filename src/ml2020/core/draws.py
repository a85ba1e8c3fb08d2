"""Random numbers that depend on (seed, epoch, index of the sample) alone.

A sample is augmented the same way whatever batch, process or resumed run it turns up in. torch's generators cannot do that for a
whole batch at once, so the numbers come from a counter-based hash (the finaliser of SplitMix64, Steele et al. 2014).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

GOLDEN = 0x9E3779B97F4A7C15 - (1 << 64)  # 64-bit constants written as signed numbers; products wrap around
_MIX_1 = 0xBF58476D1CE4E5B9 - (1 << 64)
_MIX_2 = 0x94D049BB133111EB - (1 << 64)


def mix(x: Tensor) -> Tensor:
    """SplitMix64's finaliser on int64 bits: any shape in, the same shape out."""
    x = (x ^ _shift(x, 30)) * _MIX_1
    x = (x ^ _shift(x, 27)) * _MIX_2
    return x ^ _shift(x, 31)


def _shift(x: Tensor, bits: int) -> Tensor:
    return (x >> bits) & ((1 << (64 - bits)) - 1)  # logical, not arithmetic


class Draws:
    """One independent stream of numbers for each sample of a batch; every call moves all streams on by one."""

    def __init__(self, seed: int, epoch: int, index: Tensor) -> None:
        """`index`: (n,) int64, the samples' places in the data set."""
        start = mix(torch.tensor(seed * 1_000_003 + epoch, dtype=torch.int64, device=index.device))
        self.state = mix(start + index * GOLDEN)

    def uniform(self, low: float = 0.0, high: float = 1.0) -> Tensor:
        """(n,) float32 in [low, high)."""
        self.state = self.state + GOLDEN
        bits = _shift(mix(self.state), 40)  # 24 bits: every float32 in [0, 1) is exact
        return low + (high - low) * (bits.to(torch.float32) / (1 << 24))

    def chance(self, probability: float) -> Tensor:
        """(n,) bool, true with the given probability."""
        return self.uniform() < probability

    def integers(self, low: int, high: int) -> Tensor:
        """(n,) int64 in [low, high)."""
        return low + (self.uniform() * (high - low)).long()

    def normal(self, mean: float = 0.0, std: float = 1.0) -> Tensor:
        """(n,) float32 (Box and Muller 1958)."""
        radius = torch.sqrt(-2 * torch.log(1 - self.uniform()))
        return mean + std * radius * torch.cos(2 * math.pi * self.uniform())
