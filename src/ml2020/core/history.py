"""The history of a run: one row a logged step, in metrics.csv and in TensorBoard, so that what is seen is also kept."""

from __future__ import annotations

import csv
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FIXED = ("step", "epoch", "phase", "seconds")


class History:
    """Rows of numbers under names such as train/loss and val/acc; a step is one `training_step`."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "metrics.csv"
        self.rows: list[dict[str, Any]] = []
        self.columns = list(_FIXED)
        self.board = SummaryWriter(str(folder))

    def row(self, step: int, epoch: int, phase: str, seconds: float, values: dict[str, float]) -> None:
        """Add one row; a column seen for the first time makes the file anew."""
        row = {"step": step, "epoch": epoch, "phase": phase, "seconds": round(seconds, 3)} | values
        self.rows.append(row)
        new = [name for name in row if name not in self.columns]
        self.columns += new
        if new or not self.file.exists():
            half = self.file.with_suffix(".tmp")
            self._append(half, self.rows, header=True, mode="w")
            os.replace(half, self.file)
        else:
            self._append(self.file, [row], header=False, mode="a")
        for name, value in values.items():
            self.board.add_scalar(name, value, step)

    def _append(self, file: Path, rows: list[dict[str, Any]], header: bool, mode: str) -> None:
        with file.open(mode, newline="", encoding="utf8") as stream:
            writer = csv.DictWriter(stream, self.columns)
            if header:
                writer.writeheader()
            writer.writerows(rows)

    def series(self, name: str) -> tuple[list[int], list[float]]:
        """(steps, values) of one name."""
        pairs = [(row["step"], row[name]) for row in self.rows if name in row]
        return [step for step, _ in pairs], [value for _, value in pairs]

    def figure(self, name: str, figure: Figure, step: int) -> None:
        """A figure for TensorBoard; it stays open for the caller."""
        self.board.add_figure(name, figure, step, close=False)

    def layout(self, board: dict[str, list[str]], text: str) -> None:
        """Custom charts that put together what is read together, and a page that says what to look at."""
        self.board.add_custom_scalars(
            {"together": {title: ["Multiline", [f"^{name}$" for name in names]] for title, names in board.items()}}
        )
        self.board.add_text("what to look at", text)

    def final(self, columns: dict[str, Any], metrics: dict[str, float]) -> None:
        """The row of the hparams page: a fixed set of columns, no None, the real final metrics."""
        for summary in hparams(columns, metrics):
            self.board.file_writer.add_summary(summary)
        for name, value in metrics.items():
            self.board.add_scalar(name, value)
        self.board.flush()

    def close(self) -> None:
        self.board.close()


class Means:
    """Means of what `training_step` reports, kept as tensors until a row is due: reading a number every step costs time."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor | float] = {}
        self.counts: dict[str, int] = {}

    def add(self, name: str, value: Tensor | float) -> None:
        value = value.detach() if isinstance(value, Tensor) else value
        self.sums[name] = self.sums[name] + value if name in self.sums else value
        self.counts[name] = self.counts.get(name, 0) + 1

    def take(self) -> dict[str, float]:
        """The means since the last call."""
        means = {name: float(total) / self.counts[name] for name, total in self.sums.items()}
        self.sums, self.counts = {}, {}
        return means


def split_finite(values: dict[str, float]) -> tuple[dict[str, float | None], list[str]]:
    """Numbers for JSON: what is not finite becomes null and is named."""
    bad = [name for name, value in values.items() if not math.isfinite(value)]
    return {name: None if name in bad else value for name, value in values.items()}, bad


def plain(value: Any) -> float:
    """A plain float from a tensor or a number."""
    return float(value.item() if isinstance(value, torch.Tensor) else value)
