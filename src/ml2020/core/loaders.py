"""Batches sliced from tensors that are already in memory.

Why not a DataLoader: it collates sample by sample, restarts an interrupted epoch from its first batch, and under several processes
repeats samples to fill the last batch (docs/core.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from ml2020.core.draws import Draws
from ml2020.core.errors import TypedError, UserError

Transform = Callable[..., tuple[Tensor, ...]]


class TensorLoader:
    """Iterate over batches of tensors that share their first dimension.

    One global order is drawn from (seed, epoch). Process `rank` of `world` takes every world-th sample of each global batch, so each
    sample is seen once an epoch, and any number of processes takes the same steps. `share` weighs the last batch, which may not divide:
    the mean over the processes of (share x mean over their samples) is the mean over the batch. `transform(draws, *tensors)` turns a
    batch into another; `draws` gives each sample random numbers of its own. An epoch is `passes` passes over the samples, each in an
    order of its own: where one batch holds them all, an epoch of one step would be mostly validation. The state is (epoch, batch): a
    loader that is given the state of another goes on with the batch that follows.
    """

    def __init__(
        self,
        tensors: Sequence[Tensor],
        batch_size: int,
        *,
        shuffle: bool = False,
        seed: int = 0,
        transform: Transform | None = None,
        drop_last: bool = False,
        passes: int = 1,
    ) -> None:
        if not tensors or any(len(t) != len(tensors[0]) for t in tensors):
            raise ValueError(f"tensors of different lengths: {[len(t) for t in tensors]}")
        if batch_size < 1:
            raise TypedError(f"data.batch_size must be at least 1, not {batch_size}")
        if len(tensors[0]) < (batch_size if drop_last else 1):
            raise UserError(f"{len(tensors[0])} samples do not fill one batch of {batch_size}; set a smaller data.batch_size")
        self.tensors = list(tensors)
        self.batch_size, self.shuffle, self.seed = batch_size, shuffle, seed
        self.transform, self.drop_last, self.passes = transform, drop_last, passes
        self.rank, self.world = 0, 1
        self.epoch, self.batch = 0, 0
        self.share = 1.0  # of the batch given last: this process' samples against an equal part

    @property
    def samples(self) -> int:
        """Samples of one epoch, over all processes."""
        return self.passes * (self.batches * self.batch_size if self.drop_last else len(self.tensors[0]))

    @property
    def batches(self) -> int:
        """Batches of one pass."""
        full, rest = divmod(len(self.tensors[0]), self.batch_size)
        return full + (rest > 0 and not self.drop_last)

    def __len__(self) -> int:
        return self.passes * self.batches

    def to(self, device: torch.device | str) -> TensorLoader:
        """Move the tensors to a device, once, instead of every batch."""
        self.tensors = [t.to(device) for t in self.tensors]
        return self

    def shard(self, rank: int, world: int) -> TensorLoader:
        """Give only the share of process `rank` of `world`."""
        self.rank, self.world = rank, world
        return self

    def state_dict(self) -> dict[str, int]:
        return {"epoch": self.epoch, "batch": self.batch}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.epoch, self.batch = state["epoch"], state["batch"]

    def order(self, number: int) -> Tensor:
        """The order of the samples in a pass, counted over all epochs, (n,) int64; the same in every process."""
        count = len(self.tensors[0])
        if not self.shuffle:
            return torch.arange(count)
        return torch.randperm(count, generator=torch.Generator().manual_seed(self.seed * 1_000_003 + number))

    @property
    def ordered(self) -> bool:
        """Whether samples are picked by `order`; else a batch is a stretch of the tensors, which is not copied."""
        return self.shuffle or self.world > 1

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        epoch, drawn, order = self.epoch, None, None
        for batch in range(self.batch, len(self)):
            # Moved on before the yield: after the last batch nobody comes back into this generator.
            self.epoch, self.batch = (epoch, batch + 1) if batch + 1 < len(self) else (epoch + 1, 0)
            number, place = epoch * self.passes + batch // self.batches, batch % self.batches
            part = slice(place * self.batch_size, (place + 1) * self.batch_size)
            if self.ordered:
                if number != drawn:
                    drawn, order = number, self.order(number).to(self.tensors[0].device)
                part = self.mine(order[part])
            yield self.take(part, number)

    def mine(self, index: Tensor) -> Tensor:
        """This process' part of a global batch; one sample that counts for nothing where there is none left."""
        part = index[self.rank :: self.world]
        self.share = len(part) * self.world / len(index)
        return part if len(part) else index[:1]

    def take(self, index: Tensor | slice, number: int = 0) -> tuple[Any, ...]:
        """The samples at `index`, (n,) or a stretch of them, which is not copied; transformed as in the given pass."""
        rows = tuple(t[index] for t in self.tensors)
        if self.transform is None:
            return rows
        if isinstance(index, slice):
            index = torch.arange(*index.indices(len(self.tensors[0])), device=self.tensors[0].device)
        return self.transform(Draws(self.seed, number, index), *rows)
