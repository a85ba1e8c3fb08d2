"""Least squares without descent: sums over the windows, then one linear system."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from ml2020.core.data import DataModule
from ml2020.core.errors import at_least
from ml2020.core.module import Phase
from ml2020.nn.solve import solve
from ml2020.tasks.hw01_regression.columns import Columns
from ml2020.tasks.hw01_regression.model import Regression


class ClosedForm(Regression):
    """Minimises mean (y - w . x - b)^2 + l2 |w|^2 over standardised columns x, in one pass over batches of any size.

    With z = (x, 1, y) the sums S = sum z z' hold all that the normal equations (C + l2 I) w = c need; C is the correlation of the
    columns, c their covariance with y. Everything is float64. With `huber` > 0 (ug/m3) the loss is Huber's (1964), quadratic up to
    there and linear beyond, so that one wild hour counts less: `passes` passes, in each of which a window weighs min(1, huber / |its
    error|) (iteratively reweighted least squares, Holland and Welsch 1977).
    """

    automatic_optimization = False

    def __init__(self, columns: Callable[..., Columns], l2: float = 0.0, huber: float = 0.0, passes: int = 1) -> None:
        super().__init__(columns)
        self.l2, self.huber = at_least(0, l2, "model.l2"), at_least(0, huber, "model.huber")
        self.passes = at_least(1, passes, "model.passes")

    def configure(self, spec: dict[str, Any]) -> None:
        super().configure(spec)
        self.linear.requires_grad_(False).double()
        side = self.columns.width + 2
        self.register_buffer("sums", torch.zeros(side, side, dtype=torch.float64))

    def phases(self, data: DataModule) -> Iterator[Phase]:
        loader = data.train_dataloader()
        loader.shuffle = False  # a sum does not care
        yield Phase("fit", loader, data.val_dataloader(), epochs=self.passes)

    def training_step(self, batch: tuple[Tensor, ...], index: int) -> None:
        """Add a batch to the sums; after the last one, solve."""
        windows, y = batch
        x = self.columns.raw(windows)
        z = torch.cat([x, torch.ones_like(x[:, :1]), y[:, None]], 1)
        weight = torch.ones_like(y)
        if self.huber and self.current_epoch:
            weight = (self.huber / (y - self(windows)).abs()).clamp(max=1)
        self.sums += self.summed(z.T @ (weight[:, None] * z))[0]
        if self.trainer.is_last_batch:
            self.log_row(loss=self.solve())
            self.sums.zero_()

    def solve(self) -> Tensor:
        """Weights from the sums; gives the (weighted) mean squared error that they leave."""
        moments = self.sums / self.sums[-2, -2]
        mean, mean_y = moments[:-2, -2], moments[-1, -2]
        covariance = moments[:-2, :-2] - mean.outer(mean)
        self.columns.standardise(mean, covariance.diagonal().clamp(min=0).sqrt())
        scale = self.columns.scale
        c = (moments[:-2, -1] - mean * mean_y) / scale
        w = solve(covariance / scale.outer(scale) + self.l2 * torch.eye(len(c), dtype=c.dtype, device=c.device), c)
        self.linear.weight.copy_(w[None])
        self.linear.bias.copy_(mean_y)
        return moments[-1, -1] - mean_y**2 - 2 * w @ c + w @ (covariance / scale.outer(scale)) @ w
