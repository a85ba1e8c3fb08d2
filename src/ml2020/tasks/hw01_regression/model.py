"""A linear model of the next hour's PM2.5, trained by gradient descent; and what every model of this homework shares."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from ml2020.core.data import DataModule
from ml2020.core.errors import at_least
from ml2020.core.loaders import TensorLoader
from ml2020.core.module import Module, Phase
from ml2020.tasks.hw01_regression import figures
from ml2020.tasks.hw01_regression.columns import Columns


class Regression(Module):
    """y = w . columns(window) + b, in ug/m3, from weights of 0. `columns` makes the columns from the data's spec.

    The last weights are tested: the best of a validation would be descent stopped early, a penalty that nobody chose.
    """

    choose_by = "last"

    def __init__(self, columns: Callable[..., Columns]) -> None:
        super().__init__()
        self.make_columns = columns

    def configure(self, spec: dict[str, Any]) -> None:
        """Columns for the measurements of `spec`, and a weight for each."""
        self.columns = self.make_columns(spec)
        self.linear = nn.Linear(self.columns.width, 1)
        nn.init.zeros_(self.linear.weight), nn.init.zeros_(self.linear.bias)
        self.errors: list[tuple[Tensor, Tensor]] = []
        self.kept: dict[str, tuple[Tensor, Tensor]] = {}

    def forward(self, windows: Tensor) -> Tensor:
        """(n, 18, 9) as measured -> (n,) ug/m3."""
        return self.linear(self.columns(windows).to(self.linear.weight.dtype)).squeeze(1)

    def evaluate_step(self, batch: tuple[Tensor, ...]) -> None:
        windows, targets = batch
        self.errors.append((self(windows).double(), targets.double()))

    def evaluate_end(self) -> dict[str, Tensor]:
        """rmse and mae, ug/m3."""
        answers, targets = (torch.cat(parts).cpu() for parts in zip(*self.errors, strict=True))
        self.errors.clear()
        self.kept[self.split] = answers, targets
        error = answers - targets
        return {"rmse": error.square().mean().sqrt(), "mae": error.abs().mean()}

    def predict_rows(self, loader: TensorLoader) -> tuple[tuple[str, str], list[tuple[str, float]]]:
        """The course's submission: header id,value and a row for each test block, in order."""
        values = torch.cat([self(windows.to(self.device)).cpu() for (windows,) in loader])
        return ("id", "value"), [(f"id_{number}", float(value)) for number, value in enumerate(values)]

    def figures(self, data: Any, history: Any) -> Iterator[tuple[str, Figure]]:
        """Curves, answers against truth, weights, and where in the day the errors lie."""
        yield "curves", figures.curves(history.series("train/loss"), history.series("val/rmse"))
        answers, targets = (part.numpy() for part in self.kept["val"])
        yield "answers", figures.answers(answers, targets)
        yield "weights", figures.weights(self.linear.weight.detach().cpu().double().numpy()[0], self.columns.names)
        yield "residuals", figures.residuals(answers - targets, data.target_hours["val"].numpy())


class GradientDescent(Regression):
    """Minimises mean (y - w . x - b)^2 + l2 |w|^2 by whatever rule `optimizer=` names."""

    def __init__(self, columns: Callable[..., Columns], l2: float = 0.0) -> None:
        super().__init__(columns)
        self.l2 = at_least(0, l2, "model.l2")

    def phases(self, data: DataModule) -> Iterator[Phase]:
        """One phase, on columns that are made once: they do not change while the weights do."""
        self.windows = data.splits["train"][0]
        yield Phase("fit", lambda: self.of_columns(data.train_dataloader()), data.val_dataloader())

    def of_columns(self, loader: TensorLoader) -> TensorLoader:
        """The loader, with columns (n, width) in place of windows."""
        windows, targets = loader.tensors
        loader.tensors = [self.columns(windows.to(self.columns.mean.device)).to(self.dtype), targets.to(self.dtype)]
        return loader

    def on_phase_start(self, phase: Phase) -> None:
        """Standardise the columns by the training windows: without it no one rate fits all of them."""
        self.columns.measure(self.windows)

    def loss(self, batch: tuple[Tensor, ...]) -> Tensor:
        x, y = batch  # (n, width), (n,)
        error = self.linear(x).squeeze(1) - y
        return error.square().mean() + self.l2 * self.linear.weight.square().sum()
