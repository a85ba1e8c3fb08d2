"""A homework of three phases with everything that a resume has to bring back: the plan of homeworks 4, 7 and 14 in small.

Phase one learns a line; phase two begins with labels that the model gives to a pool; phase three starts from fresh weights, keeps its
length in steps, and goes on with the optimizer of none. Dropout, a draw from each global generator, and averaged weights included.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ml2020.core.data import DataModule, Source
from ml2020.core.loaders import TensorLoader
from ml2020.core.module import Module, Phase


class Numbers(DataModule):
    """y = x1 + ... + x4 with noise; 42 samples, so that batches of 8 do not divide."""

    source = Source("a plane with noise", "generated", "none needed")
    fingerprint = "toy"

    def __init__(self, batch_size: int = 8) -> None:
        super().__init__(batch_size)

    def prepare(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self.x = torch.randn(42, 4, generator=generator)
        self.y = self.x.sum(1, keepdim=True) + 0.1 * torch.randn(42, 1, generator=generator)
        self.pool = torch.randn(30, 4, generator=generator)
        self.spec, self.counts = {"inputs": 4}, {"for training": 42}

    def train_dataloader(self) -> TensorLoader:
        return self.loader(self.x, self.y, shuffle=True)

    def val_dataloader(self) -> TensorLoader:
        return self.loader(self.x[:20], self.y[:20])

    def evaluation_loaders(self) -> dict[str, TensorLoader]:
        return {"val": self.val_dataloader()}


class Plane(Module):
    """A linear layer behind dropout. `calls` notes the starts and ends of phases, as in a homework they would compute something."""

    def __init__(self, drop: float = 0.3) -> None:
        super().__init__()
        self.drop = drop
        self.labels: list[float] = []  # pseudo-labels: state that is no tensor of the module
        self.calls: list[str] = []

    def configure(self, spec: dict[str, Any]) -> None:
        self.net = nn.Sequential(nn.Linear(spec["inputs"], 8), nn.Dropout(self.drop), nn.Linear(8, 1))
        self.register_buffer("seen", torch.zeros(()))
        self.errors: list[Tensor] = []

    def phases(self, data: Numbers) -> Iterator[Phase]:
        def with_labels() -> TensorLoader:
            labels = torch.tensor(self.labels).view(-1, 1)
            return data.loader(torch.cat([data.x, data.pool]), torch.cat([data.y, labels]), shuffle=True)

        self.pool = data.pool
        yield Phase("first", data.train_dataloader(), data.val_dataloader(), epochs=2)
        yield Phase("label", None)
        yield Phase("second", with_labels, data.val_dataloader(), reset=())
        yield Phase("third", data.train_dataloader(), data.val_dataloader(), steps=9, reset=("optimizer", "weights"))

    def on_phase_start(self, phase: Phase) -> None:
        self.calls.append(f"start {phase.name}")
        if phase.name == "label":
            self.labels = self.net(self.pool.to(self.dtype)).flatten().tolist()  # in training mode: draws dropout

    def on_phase_end(self, phase: Phase) -> None:
        self.calls.append(f"end {phase.name}")
        self.seen += torch.rand(())

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["labels"] = self.labels

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.labels = checkpoint.get("labels", [])

    def loss(self, batch: tuple[Tensor, ...]) -> Tensor:
        x, y = batch
        self.log_row(drawn=random.random() + np.random.rand())
        return ((self.net(x) - y) ** 2).mean()

    def evaluate_step(self, batch: tuple[Tensor, ...]) -> None:
        self.errors.append(((self.net(batch[0]) - batch[1]) ** 2).flatten())

    def evaluate_end(self) -> dict[str, Tensor]:
        error = torch.cat(self.errors).mean()
        self.errors.clear()
        return {"mse": error}


class OnePhase(Plane):
    """The same with one plain phase of trainer.max_epochs."""

    def phases(self, data: Numbers) -> Iterator[Phase]:
        self.pool = data.pool
        yield Phase("fit", data.train_dataloader(), data.val_dataloader())
