"""Logistic regression: by descent, by Newton's method, and one row at a time as the student's original."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ml2020.core.data import DataModule
from ml2020.core.errors import at_least, one_of, within
from ml2020.core.loaders import TensorLoader
from ml2020.core.module import Phase
from ml2020.nn.solve import gram, solve
from ml2020.tasks.hw02_classification.bins import NEVER, measured
from ml2020.tasks.hw02_classification.model import TwoClasses


class Logistic(TwoClasses):
    """log odds = x' w + b; minimises the mean log loss + l2 |w|^2 (scikit-learn's C is 1 / (2 n l2)).

    `solver`: "descent", mini-batches under whatever `optimizer=` names; or "newton": `passes` passes over batches of any size, each of
    which adds up gradient g and Hessian H in float64 and ends with (w, b) <- (w, b) - H^-1 g. A step that made the loss larger is taken
    back by half. `bins`: each continuous column may also step up or down at so many thresholds less one, which are quantiles of the
    training rows or lie between its values (0: straight lines only).
    """

    choose_by = "last"

    def __init__(self, l2: float = 0.0, solver: str = "descent", passes: int = 10, bins: int = 0, normalize: bool = True) -> None:
        super().__init__(normalize)
        self.bins = within(4, 1024, bins, "model.bins") if bins else 0
        self.l2 = at_least(0, l2, "model.l2")
        self.newton = one_of(("descent", "newton"), solver, "model.solver") == "newton"
        self.passes = at_least(1, passes, "model.passes")
        self.automatic_optimization = not self.newton

    def configure(self, spec: dict[str, Any]) -> None:
        """Weights of 0, and for Newton's method buffers for its sums."""
        super().configure(spec)
        d = len(self.columns)
        if self.bins:
            self.continuous = list(spec["continuous"])
            self.register_buffer("edges", torch.full((len(self.continuous), self.bins - 1), NEVER, dtype=torch.float64))
            d += self.edges.numel()
        self.linear = nn.Linear(d, 1)
        nn.init.zeros_(self.linear.weight), nn.init.zeros_(self.linear.bias)
        if self.newton:
            self.linear.double().requires_grad_(False)
            sizes = {"count": (), "total": (), "gradient": (d + 1,), "hessian": (d + 1, d + 1), "step": (d + 1,)}
            for name, size in sizes.items():
                self.register_buffer(name, torch.zeros(size, dtype=torch.float64))
            self.register_buffer("lowest", torch.tensor(torch.inf, dtype=torch.float64))

    def phases(self, data: DataModule) -> Iterator[Phase]:
        """One phase, on columns that are made once."""

        def made() -> TensorLoader:
            if self.bins:
                self.edges.copy_(measured(data.splits["train"][0][:, self.continuous], self.bins))
            loader = data.train_dataloader()
            loader.shuffle = loader.shuffle and not self.newton  # a sum does not care
            rows, labels = loader.tensors
            loader.tensors = [self.features(rows.to(self.device)), labels]
            return loader

        yield Phase("fit", made, data.val_dataloader(), epochs=self.passes if self.newton else None)

    def features(self, rows: Tensor) -> Tensor:
        """(n, d) as they stand in the table -> standardised, and with `bins` also 1 for each threshold that a value is above."""
        x = self.standardised(rows)
        if not self.bins:
            return x
        return torch.cat([x, (rows[:, self.continuous, None] > self.edges).flatten(1).to(x)], 1)

    def forward(self, rows: Tensor) -> Tensor:
        return self.linear(self.features(rows)).squeeze(1)

    def weights(self) -> Tensor:
        """Of the columns of the table, not of thresholds."""
        return self.linear.weight[0, : len(self.columns)]

    def loss(self, batch: tuple[Tensor, ...]) -> Tensor:
        x, labels = batch  # features (n, d), (n,)
        odds = self.linear(x).squeeze(1)
        return F.binary_cross_entropy_with_logits(odds, labels.to(odds.dtype)) + self.l2 * self.linear.weight.square().sum()

    def training_step(self, batch: tuple[Tensor, ...], index: int) -> Tensor | None:
        """A step of descent, or a batch more in Newton's sums."""
        if not self.newton:
            return super().training_step(batch, index)
        x, labels = batch
        odds, y = self.linear(x).squeeze(1), labels.to(x.dtype)
        p = odds.sigmoid()
        weight = p * (1 - p)
        edge = weight @ x  # of the Hessian: the intercept's column is a column of ones
        corner = weight.sum()
        sums = (
            torch.tensor(float(len(y)), dtype=x.dtype, device=x.device),
            F.binary_cross_entropy_with_logits(odds, y, reduction="sum"),
            torch.cat([(p - y) @ x, (p - y).sum()[None]]),
            torch.cat([torch.cat([gram(x * weight.sqrt()[:, None]), edge[:, None]], 1), torch.cat([edge, corner[None]])[None]]),
        )
        for buffer, value in zip((self.count, self.total, self.gradient, self.hessian), self.summed(*sums), strict=True):
            buffer += value
        if self.trainer.is_last_batch:
            self.newton_step()
        return None

    def newton_step(self) -> None:
        """Move to where the quadratic through value, slope and curvature has its lowest point."""
        theta = torch.cat([self.linear.weight[0], self.linear.bias])
        penalised = torch.ones_like(theta)
        penalised[-1] = 0  # the intercept is free
        loss = self.total / self.count + self.l2 * (penalised * theta).square().sum()
        self.log_row(loss=loss)
        if loss > self.lowest:  # too far: half the way back, and look again
            self.step /= 2
            theta += self.step
        else:
            self.lowest.copy_(loss)
            g = self.gradient / self.count + 2 * self.l2 * penalised * theta
            self.step.copy_(solve(self.hessian / self.count + 2 * self.l2 * penalised.diag(), g))
            theta -= self.step
        self.linear.weight.copy_(theta[None, :-1])
        self.linear.bias.copy_(theta[-1])
        for buffer in (self.count, self.total, self.gradient, self.hessian):
            buffer.zero_()


class RowByRow(Logistic):
    """The student's original: w <- w + lr (y - p) x after every single row, in a fixed order, without a penalty.

    A batch is a stretch of rows that is walked through in one `training_step`; its size changes nothing.
    """

    automatic_optimization = False

    def __init__(self, lr: float = 1e-5, normalize: bool = True) -> None:
        super().__init__(normalize=normalize)
        self.lr = at_least(0, lr, "model.lr")
        self.automatic_optimization = False

    def configure(self, spec: dict[str, Any]) -> None:
        super().configure(spec)
        self.linear.double().requires_grad_(False)

    def training_step(self, batch: tuple[Tensor, ...], index: int) -> None:
        """Walk through the rows of a batch, one update each."""
        import numpy as np

        x, y = (part.cpu().numpy() for part in batch)
        w, b = self.linear.weight[0].cpu().numpy().copy(), float(self.linear.bias)
        total = 0.0
        for row, label in zip(x, y, strict=True):  # numpy: a call of torch costs five times as much
            odds = float(row @ w) + b
            p = 1 / (1 + np.exp(-max(-500.0, min(500.0, odds))))  # the original's exp overflows
            total -= np.log(max(p if label else 1 - p, 1e-300))
            w += (self.lr * (label - p)) * row
            b += self.lr * (label - p)
        self.linear.weight.copy_(torch.from_numpy(w)[None])
        self.linear.bias.fill_(b)
        self.log_row(loss=total / len(y))
