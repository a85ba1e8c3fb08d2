"""The strongest model of this homework: small networks side by side, which know the exact value of every continuous column."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ml2020.core.data import DataModule
from ml2020.core.errors import at_least, whole_numbers, within
from ml2020.core.loaders import TensorLoader
from ml2020.core.module import Phase
from ml2020.tasks.hw02_classification.bins import NEVER, measured
from ml2020.tasks.hw02_classification.model import TwoClasses


class Bins(nn.Module):
    """What the bins of c columns, b for each, add to `width` units: (n, c) numbers of bins -> (n, width).

    As if each bin were a column of zeros and ones, and each threshold too (1 where the value is above it): the first gives a value a
    weight of its own, the second lets neighbours share theirs. That is the piecewise-linear encoding of Gorishniy et al. (2022, section
    3.2) with steps for pieces. The product with so many zeros and ones is a sum over thresholds and a look-up.
    """

    def __init__(self, columns: int, bins: int, width: int, init: float) -> None:
        super().__init__()
        # Where a column has fewer thresholds the others are never passed: the size is known before the data.
        self.register_buffer("edges", torch.full((columns, bins - 1), NEVER, dtype=torch.float64))
        self.own = nn.Parameter(init * torch.randn(columns, bins, width))
        self.above = nn.Parameter(init * torch.randn(columns, bins - 1, width))

    def measure(self, values: Tensor) -> None:
        """Take the thresholds from training rows (n, c)."""
        self.edges.copy_(measured(values, self.edges.shape[1] + 1))

    def numbers(self, values: Tensor) -> Tensor:
        """(n, c) values -> the numbers of their bins (n, c) int64: how many thresholds each is above."""
        return (values[:, :, None] > self.edges).sum(2)

    def forward(self, numbers: Tensor) -> Tensor:
        columns, bins, width = self.own.shape
        passed = F.pad(self.above.cumsum(1), (0, 0, 1, 0))  # (c, b, width): what the thresholds below each bin add up to
        first = bins * torch.arange(columns, device=numbers.device)
        return F.embedding(numbers + first, (self.own + passed).view(-1, width)).sum(1)


class Members(nn.Module):
    """k perceptrons side by side that share nothing but their input: (n, d) and bins (n, c) -> log odds (k, n).

    The first layer is computed for all of them at once. Its weights start near 0 and decay: a rare value should say little until enough
    rows have spoken for it.
    """

    def __init__(self, d: int, columns: int, bins: int, members: int, hidden: Sequence[int], dropout: float, init: float) -> None:
        super().__init__()
        self.members, self.dropout = members, dropout
        self.linear = nn.Linear(d, members * hidden[0])
        nn.init.normal_(self.linear.weight, std=init), nn.init.zeros_(self.linear.bias)
        self.bins = Bins(columns, bins, members * hidden[0], init)
        sizes = list(zip(hidden, [*hidden[1:], 1], strict=True))
        gains = [2.0] * (len(hidden) - 1) + [1.0]  # He et al. (2015) where a ReLU follows
        self.weights = nn.ParameterList(
            math.sqrt(gain / a) * torch.randn(members, a, b) for gain, (a, b) in zip(gains, sizes, strict=True)
        )
        self.biases = nn.ParameterList(torch.zeros(members * b) for _, b in sizes)  # vectors: they do not decay (core.optim)

    def forward(self, x: Tensor, numbers: Tensor) -> Tensor:
        h = self.linear(x) + self.bins(numbers)
        h = h.unflatten(1, (self.members, -1)).transpose(0, 1)  # (k, n, width of one)
        for weight, bias in zip(self.weights, self.biases, strict=True):
            h = F.dropout(F.relu(h), self.dropout, self.training) @ weight + bias.view(self.members, 1, -1)
        return h.squeeze(2)


class Tabular(TwoClasses):
    """log odds = mean over `members` of the log odds of small networks, each trained on a log loss of its own.

    Of each continuous column they get the standardised value and its bin, of `bins` at most; the other columns go in as they stand.
    They differ by their start and their dropout, and their mean errs less than one of them (Lakshminarayanan et al. 2017); they are
    trained at once as in TabM (Gorishniy et al. 2024), but share no weights. `hidden`: the widths of one's layers; `init`: spread of
    the first layer's weights at the start.
    """

    choose_by = "last"  # the last moving average: the best of some validations would be kind to itself

    def __init__(
        self,
        bins: int = 128,
        members: int = 16,
        hidden: Sequence[int] = (32,),
        dropout: float = 0.2,
        init: float = 0.03,
        normalize: bool = True,
    ) -> None:
        super().__init__(normalize)
        self.bins = within(4, 1024, bins, "model.bins")
        self.members = at_least(1, members, "model.members")
        self.hidden = whole_numbers(hidden, "model.hidden")
        self.dropout = within(0, 0.95, dropout, "model.dropout")
        self.init = at_least(0, init, "model.init")

    def configure(self, spec: dict[str, Any]) -> None:
        super().configure(spec)
        self.continuous = list(spec["continuous"])
        scaled = torch.zeros(len(self.columns), dtype=torch.bool)
        scaled[self.continuous] = True
        self.mean[~scaled], self.std[~scaled] = 0.0, 1.0
        d, c = len(self.columns), len(self.continuous)
        self.net = Members(d, c, self.bins, self.members, self.hidden, self.dropout, self.init)

    def phases(self, data: DataModule) -> Iterator[Phase]:
        """One phase, on rows that are encoded once."""

        def encoded() -> TensorLoader:
            # Measured here and not in on_phase_start: a run that goes on encodes its rows before its checkpoint is read.
            self.net.bins.measure(data.splits["train"][0][:, self.continuous])
            loader = data.train_dataloader()
            rows, labels = loader.tensors
            loader.tensors = [*self.encode(rows.to(self.device)), labels]
            return loader

        yield Phase("fit", encoded, data.val_dataloader())

    def encode(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """(n, d) as they stand in the table -> (n, d) continuous columns standardised, and (n, c) the numbers of their bins."""
        return self.standardised(rows), self.net.bins.numbers(rows[:, self.continuous])

    def forward(self, rows: Tensor) -> Tensor:
        return self.net(*self.encode(rows)).float().mean(0)

    def loss(self, batch: tuple[Tensor, ...]) -> Tensor:
        x, numbers, labels = batch
        odds = self.net(x, numbers).float()  # (k, n)
        return F.binary_cross_entropy_with_logits(odds, labels.float().expand_as(odds))
