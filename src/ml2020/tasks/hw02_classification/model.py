"""What every model of this homework shares: a decision value for each row, and how it is judged."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor
from torchmetrics.functional.classification import binary_auroc

from ml2020.core.loaders import TensorLoader
from ml2020.core.module import Module
from ml2020.tasks.hw02_classification import figures

BINS = 10  # of the calibration: tenths of the rows


class TwoClasses(Module):
    """Gives each row its log odds, log P(y = 1 | x) / P(y = 0 | x): above 0 the answer is 1.

    `normalize`: standardise the columns by mean and spread of the training rows.
    """

    def __init__(self, normalize: bool = True) -> None:
        super().__init__()
        self.normalize = normalize

    def configure(self, spec: dict[str, Any]) -> None:
        """Buffers for the columns of `spec` (see data.Table)."""
        self.columns, self.tested = spec["columns"], spec["tested"]
        d = len(self.columns)
        mean, std = (spec["mean"], spec["std"]) if self.normalize else ([0.0] * d, [1.0] * d)
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float64))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float64))
        self.batches: list[tuple[Tensor, Tensor]] = []
        self.kept: dict[str, tuple[Tensor, Tensor]] = {}

    def standardised(self, rows: Tensor) -> Tensor:
        """(n, d) as they stand in the table -> (n, d) in the precision of the weights."""
        return ((rows - self.mean) / self.std).to(next(self.parameters()).dtype)

    def forward(self, rows: Tensor) -> Tensor:
        """(n, d) -> log odds (n,)."""
        raise NotImplementedError

    def weights(self) -> Tensor | None:
        """(d,) weights of the standardised columns, where the log odds are linear in them."""
        return None

    def evaluate_step(self, batch: tuple[Tensor, ...]) -> None:
        rows, labels = batch
        self.batches.append((self(rows).double().cpu(), labels.cpu()))

    def evaluate_end(self) -> dict[str, Tensor]:
        """acc and error (shares), auc, loss (log loss, nats), brier, calibration (mean gap of probability and share, by tenths)."""
        odds, labels = (torch.cat(parts) for parts in zip(*self.batches, strict=True))
        self.batches.clear()
        self.kept[self.split] = odds, labels
        p, y = odds.sigmoid(), labels.double()
        right = ((odds > 0) == (labels == 1)).double().mean()
        tenths = p.argsort().tensor_split(BINS)
        gap = sum(len(rows) * (p[rows].mean() - y[rows].mean()).abs() for rows in tenths if len(rows)) / len(p)
        return {
            "acc": right,
            "error": 1 - right,
            "auc": binary_auroc(p, labels),
            "loss": F.binary_cross_entropy_with_logits(odds, y),
            "brier": (p - y).square().mean(),
            "calibration": gap,
        }

    def predict_rows(self, loader: TensorLoader) -> tuple[tuple[str, str], list[tuple[int, int]]]:
        """The course's submission: header id,label and a row for each person, in order."""
        named = torch.cat([(self(rows.to(self.device)) > 0).long().cpu() for (rows,) in loader])
        return ("id", "label"), [(number, int(label)) for number, label in enumerate(named)]

    def figures(self, data: Any, history: Any) -> Iterator[tuple[str, Figure]]:
        """ROC, calibration, learning curves, and the weights that say most."""
        odds, labels = (part.numpy() for part in self.kept[self.tested])
        yield "roc", figures.roc(odds, labels, self.tested)
        yield "calibration", figures.calibration(odds, labels, self.tested)
        if history.series("train/loss")[0]:
            yield "curves", figures.curves(history.series("train/loss"), history.series("val/loss"), history.series("val/error"))
        if (weights := self.weights()) is not None:
            yield "weights", figures.weights(weights.detach().cpu().double().numpy(), self.columns)
