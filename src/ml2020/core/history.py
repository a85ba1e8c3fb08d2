"""The history of a run: one row a logged step, in metrics.csv and in TensorBoard, so that what is seen is also kept."""

from __future__ import annotations

import csv
import io
import os
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from tensorboard.compat.proto.summary_pb2 import Summary
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from ml2020.core.processes import gathered

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FIXED = ("step", "epoch", "phase", "seconds")


class History:
    """Rows of numbers under names such as train/loss and val/acc; a step is one `training_step`.

    Without a folder (in all processes but the first) nothing is written.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.file = folder / "metrics.csv" if folder else None
        self.rows: list[dict[str, Any]] = []
        self.columns = list(_FIXED)
        self.board = SummaryWriter(str(folder)) if folder else None

    def position(self) -> dict[str, Any]:
        """How far the history has come: what `cut` needs to bring a folder back to this moment."""
        if self.folder is None:
            return {}
        self.board.flush()
        return {"rows": len(self.rows), "events": {file.name: file.stat().st_size for file in _events(self.folder)}}

    @staticmethod
    def clear(folder: Path) -> None:
        """Remove what a run left that was ended before its first checkpoint."""
        for file in (*_events(folder), folder / "metrics.csv"):
            file.unlink(missing_ok=True)

    @staticmethod
    def cut(folder: Path, position: dict[str, Any]) -> History:
        """The history of `folder` as it was at `position`; what came after it is removed from the disk."""
        for file in _events(folder):
            if (size := position["events"].get(file.name)) is None:
                file.unlink()
            else:
                os.truncate(file, size)
        history = History(folder)
        if history.file.exists():
            history.rows = read(folder)[: position["rows"]]
            for row in history.rows:
                history.columns += [name for name in row if name not in history.columns]
            history._rewrite()
        return history

    def row(self, step: int, epoch: int, phase: str, seconds: float, values: dict[str, float]) -> None:
        """Add one row; a column seen for the first time makes the file anew."""
        if self.folder is None:
            return
        row = {"step": step, "epoch": epoch, "phase": phase, "seconds": round(seconds, 3)} | values
        self.rows.append(row)
        new = [name for name in row if name not in self.columns]
        self.columns += new
        if new or not self.file.exists():
            self._rewrite()
        else:
            self._append(self.file, [row], header=False, mode="a")
        for name, value in values.items():
            self.board.add_scalar(name, value, step)

    def _rewrite(self) -> None:
        half = self.file.with_suffix(".tmp")
        self._append(half, self.rows, header=True, mode="w")
        os.replace(half, self.file)

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
        if self.board:
            self.board.add_figure(name, figure, step, close=False)

    def animation(self, name: str, gif: bytes, step: int) -> None:
        """A gif for TensorBoard, which plays it as it shows any picture; its own writer would need another package."""
        if self.board:
            width, height = struct.unpack("<HH", gif[6:10])
            picture = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=gif)
            self.board.file_writer.add_summary(Summary(value=[Summary.Value(tag=name, image=picture)]), step)

    def layout(self, board: dict[str, list[str]], text: str) -> None:
        """Custom charts that put together what is read together, and a page that says what to look at."""
        if self.board:
            charts = {title: ["Multiline", [f"^{name}$" for name in names]] for title, names in board.items()}
            self.board.add_custom_scalars({"together": charts})
            self.board.add_text("what to look at", text)

    def final(self, columns: dict[str, Any], metrics: dict[str, float]) -> None:
        """The row of the hparams page: a fixed set of columns, no None, the real final metrics."""
        for summary in hparams(columns, metrics):
            self.board.file_writer.add_summary(summary)
        for name, value in metrics.items():
            self.board.add_scalar(name, value)
        self.board.flush()

    def close(self) -> None:
        if self.board:
            self.board.close()


def read(folder: Path) -> list[dict[str, Any]]:
    """The rows of a folder's metrics.csv; [] where there is none."""
    file = folder / "metrics.csv"
    if not file.is_file():
        return []
    with file.open(newline="", encoding="utf8") as stream:
        return [_typed(row) for row in csv.DictReader(stream)]


def as_csv(header: Iterable[Any], rows: Iterable[Iterable[Any]]) -> str:
    """A table as the text of a csv file."""
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows([header, *rows])
    return stream.getvalue()


def _events(folder: Path) -> list[Path]:
    return sorted(folder.glob("events.out.*"))


def _typed(row: dict[str, str]) -> dict[str, Any]:
    """A row of metrics.csv with its numbers as numbers, and without the columns it does not have."""
    kinds = {"step": int, "epoch": int, "phase": str}
    return {name: kinds.get(name, float)(text) for name, text in row.items() if text != ""}


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
        """The means since the last call, over all processes."""
        means = {name: float(total) / self.counts[name] for name, total in self.sums.items()}
        self.sums, self.counts = {}, {}
        everyone = gathered(means)
        return {name: sum(one[name] for one in everyone) / len(everyone) for name in means}

    def state_dict(self) -> dict[str, dict[str, float]]:
        """What has been added since the last `take`: plain numbers; a float64 holds a float32 sum as it is."""
        return {"sums": {name: float(total) for name, total in self.sums.items()}, "counts": dict(self.counts)}

    def load_state_dict(self, state: dict[str, dict[str, float]]) -> None:
        self.sums, self.counts = dict(state["sums"]), dict(state["counts"])


def plain(value: Any) -> float:
    """A plain float from a tensor or a number."""
    return float(value.item() if isinstance(value, torch.Tensor) else value)
