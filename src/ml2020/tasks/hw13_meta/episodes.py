"""Episodes: a sample of this homework is a task with a few examples to learn from (support) and others to be judged on (query)."""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from ml2020.core.draws import GOLDEN, mix


class Episodes(NamedTuple):
    """Several tasks, all of one size.

    Of classification an episode's classes are numbered anew, 0 to ways - 1, in an order drawn for it; examples come class by class:
    place i of the support is example i % shots of class i // shots.
    """

    support: Tensor  # (tasks, n, *shape) float32
    support_targets: Tensor  # (tasks, n) int64, or (tasks, n, 1) float32 of a regression
    query: Tensor  # (tasks, m, *shape)
    query_targets: Tensor  # (tasks, m), or (tasks, m, 1)


class Source(Protocol):
    """What episodes are drawn from."""

    shape: tuple[int, ...]  # of one example: (1,) or (1, 28, 28)
    ways: int  # classes of an episode; 0 is a regression

    def draw(self, seeds: Tensor, shots: int | None = None, queries: int | None = None) -> Episodes:
        """An episode for each of the seeds (tasks,) int64: the same seed gives the same episode, whatever the batch around it.

        `shots`, `queries`: examples of an episode (of each class, where there are classes) that are not the source's own; the support
        does not depend on the number of queries.
        """
        ...


# Counters instead of generators (core/draws.py): number i of a stream is a hash of (seed, stream, i), so that all episodes of a batch
# are drawn at once.


def bits(seeds: Tensor, stream: int, *shape: int) -> Tensor:
    """Whole numbers in [0, 2^63), (tasks, *shape) int64, for seeds (tasks,); different streams of a seed are independent."""
    places = torch.arange(1, math.prod(shape) + 1, device=seeds.device)
    start = mix(mix(seeds + GOLDEN) + stream)
    return (mix(start[:, None] + places * GOLDEN) & (2**63 - 1)).view(-1, *shape)


def uniform(seeds: Tensor, stream: int, *shape: int, low: float, high: float) -> Tensor:
    """(tasks, *shape) float32 in [low, high)."""
    share = (bits(seeds, stream, *shape) >> 39).to(torch.float32) / 2**24  # 24 bits: every float32 is exact
    return low + (high - low) * share


def without_replacement(seeds: Tensor, stream: int, *shape: int, take: int) -> Tensor:
    """`take` different places of the last dimension, in random order: (tasks, *shape[:-1], take) int64; all orders equally likely."""
    return bits(seeds, stream, *shape).topk(take, dim=-1).indices  # 63 bits: equal numbers do not happen
