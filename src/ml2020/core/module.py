"""What a homework's model owes the frame, and what the frame gives it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from ml2020.core.history import Means, plain
from ml2020.core.optim import make

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ml2020.core.data import DataModule
    from ml2020.core.loaders import TensorLoader


@dataclass
class Phase:
    """A stretch of training on one loader. `epochs` None means trainer.max_epochs; 0 means no fit, only its start and end.

    Optimizer and schedule begin anew with each phase.
    """

    name: str
    loader: TensorLoader | None
    val_loader: TensorLoader | None = None
    epochs: int | None = None


@dataclass
class Plan:
    """How the weights of one phase are updated: made by the run from the config, before the phase begins."""

    optimizer: Callable[..., Optimizer]
    schedule: Callable[[Optimizer, int], LRScheduler | None]
    weight_decay: float
    steps: int

    def make(self, parameters: Iterable[nn.Parameter]) -> tuple[Optimizer, LRScheduler | None]:
        optimizer = make(parameters, self.optimizer, self.weight_decay)
        return optimizer, self.schedule(optimizer, self.steps)


class Module(pl.LightningModule):
    """Base of every homework's model: a LightningModule that knows no folder, no device and no logger.

    A homework writes `configure`, `loss` (or its own `training_step`), `evaluate_step`, `evaluate_end` and `figures`.
    """

    choose_by = "best"  # which weights are tested: "best" by the main metric, or the "last"

    def __init__(self) -> None:
        super().__init__()
        self.plan: Plan | None = None
        self.means = Means()
        self.results: dict[str, dict[str, float]] = {}
        self.split = "val"
        self._show: Callable[[str, Figure], None] | None = None

    def __setattr__(self, name: str, value: Any) -> None:
        # Lightning notes the running hook's name about forty times a step, and nn.Module's own way of setting is slow (docs/core.md).
        if name == "_current_fx_name":
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    # What a homework fills in.

    def configure(self, spec: dict[str, Any]) -> None:
        """Build the networks for data of this `spec` (see DataModule); called once, before weights are loaded."""

    def phases(self, data: DataModule) -> Iterator[Phase]:
        """The stretches of training, in order. A generator: what a phase trains on may depend on those before it."""
        yield Phase("fit", data.train_dataloader(), data.val_dataloader())

    def on_phase_start(self, phase: Phase) -> None:
        """Called before a phase's fit."""

    def on_phase_end(self, phase: Phase) -> None:
        """Called after a phase's fit."""

    def loss(self, batch: tuple[Tensor, ...]) -> Tensor:
        """The loss of one batch, a scalar."""
        raise NotImplementedError

    def evaluate_step(self, batch: tuple[Tensor, ...]) -> None:
        """Take in one batch of a split that is measured."""
        raise NotImplementedError

    def evaluate_end(self) -> dict[str, float]:
        """The metrics of the batches taken in, and begin anew."""
        raise NotImplementedError

    def figures(self, data: DataModule, history: Any) -> Iterator[tuple[str, Figure]]:
        """(name, figure) of everything worth a picture, after the run."""
        yield from ()

    # What the frame gives.

    def log_row(self, **values: Tensor | float) -> None:
        """Report numbers of this training step; means over some steps become a row of the history under train/."""
        for name, value in values.items():
            self.means.add(f"train/{name}", value)

    def show(self, name: str, figure: Figure) -> None:
        """Keep a figure on disk and in TensorBoard under one name; outside a run it does nothing."""
        if self._show is not None:
            self._show(name, figure)

    def training_step(self, batch: tuple[Tensor, ...], index: int) -> Tensor:
        loss = self.loss(batch)
        self.log_row(loss=loss)
        return loss

    def configure_optimizers(self) -> dict[str, Any]:
        optimizer, schedule = self.plan.make(self.parameters())
        if schedule is None:
            return {"optimizer": optimizer}
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def validation_step(self, batch: tuple[Tensor, ...], index: int) -> None:
        self.evaluate_step(batch)

    def on_validation_epoch_end(self) -> None:
        self.results["val"] = {name: plain(value) for name, value in self.evaluate_end().items()}

    def test_step(self, batch: tuple[Tensor, ...], index: int) -> None:
        self.evaluate_step(batch)

    def on_test_epoch_end(self) -> None:
        self.results[self.split] = {name: plain(value) for name, value in self.evaluate_end().items()}
