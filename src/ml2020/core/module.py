"""What a homework's model owes the frame, and what the frame gives it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from ml2020.core.errors import UserError
from ml2020.core.history import Means, as_csv, plain
from ml2020.core.optim import make
from ml2020.core.processes import total

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

    from ml2020.core.data import DataModule
    from ml2020.core.loaders import TensorLoader


@dataclass
class Phase:
    """A stretch of training on one loader.

    `loader` may be a function that gives it: what it trains on may then depend on what `on_phase_start` did. Without a loader there is
    no fit, only the phase's start and end. The length is `steps`, or `epochs`, or trainer.max_epochs where both are None. `reset`: what
    begins anew, of "optimizer" and "weights"; the schedule always does, because its length is the phase's.
    """

    name: str
    loader: TensorLoader | Callable[[], TensorLoader] | None = None
    val_loader: TensorLoader | None = None
    epochs: int | None = None
    steps: int | None = None
    reset: tuple[str, ...] = ("optimizer",)


@dataclass
class Plan:
    """How the weights of one phase are updated: made by the run from the config, before the phase begins."""

    optimizer: Callable[..., Optimizer]
    schedule: Callable[[Optimizer, int], LRScheduler | None]
    weight_decay: float
    steps: int
    rates: dict[int, list[float]] = field(default_factory=dict)  # the full rates of each optimizer's groups, by its id

    def make(self, parameters: Iterable[nn.Parameter], **changes: Any) -> tuple[Optimizer, LRScheduler | None]:
        """Optimizer and schedule of `parameters`; `changes`: what it has of its own, such as lr, where there are several."""
        optimizer = make(parameters, partial(self.optimizer, **changes), self.weight_decay)
        self.rates[id(optimizer)] = [group["lr"] for group in optimizer.param_groups]
        return optimizer, self.schedule(optimizer, self.steps)

    def stretch(self, trainer: pl.Trainer) -> None:
        """Put the schedules of an interrupted fit that has got a new length where they stand after as many updates."""
        for config in trainer.lr_scheduler_configs:
            optimizer = config.scheduler.optimizer
            for group, rate in zip(optimizer.param_groups, self.rates[id(optimizer)], strict=True):
                group["lr"] = group["initial_lr"] = rate
            taken, config.scheduler = config.scheduler.last_epoch, self.schedule(optimizer, self.steps)
            for _ in range(taken):
                config.scheduler.step()


class Module(pl.LightningModule):
    """Base of every homework's model: a LightningModule that knows no folder, no device and no logger.

    A homework writes `configure`, `loss` (or its own `training_step`), `evaluate_step`, `evaluate_end` and `figures`. What it learns
    besides weights and buffers (pseudo-labels, environments, the shapes of a pruned network) goes into checkpoints by Lightning's
    `on_save_checkpoint` and `on_load_checkpoint`, as plain data; the latter is called before the weights are loaded.
    """

    choose_by = "best"  # which weights are tested: "best" by the main metric, or the "last"

    def __init__(self) -> None:
        super().__init__()
        self.plan: Plan | None = None
        self.means = Means()
        self.results: dict[str, dict[str, float]] = {}
        self.split = "val"
        self.share = 1.0  # weight of this process' part of the batch (TensorLoader.share)
        self._show: Callable[[str, Figure], None] | None = None
        self._animate: Callable[[str, np.ndarray, float], None] | None = None
        self._keep: Callable[[str, tuple[str, ...], list[tuple]], None] | None = None

    def __setattr__(self, name: str, value: Any) -> None:
        # Lightning notes the running hook's name about forty times a step, and nn.Module's own way of setting is slow (docs/core.md).
        if name in ("_current_fx_name", "share"):
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    # What a homework fills in.

    def configure(self, spec: dict[str, Any]) -> None:
        """Build the networks for data of this `spec` (see DataModule); called once, before weights are loaded."""

    def phases(self, data: DataModule) -> Iterator[Phase]:
        """The stretches of training, in order: a plain list of what comes, the same however often it is asked for.

        An interrupted run asks again and skips what is done. What depends on earlier phases is made in `on_phase_start` and
        `on_phase_end`, which are not called again, and by loaders that are functions.
        """
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

    def predict_rows(self, loader: TensorLoader) -> tuple[tuple[str, ...], list[tuple]]:
        """Header and rows of submission.csv, for samples without known answers."""
        raise NotImplementedError

    def submission(self, data: DataModule) -> tuple[str, bytes, str]:
        """(name, content, what it holds) of the file that do=predict writes; by default the rows of `predict_rows`.

        Raises UserError where there are none.
        """
        header, rows = self.predict_rows(data.predict_loader().to(self.device))
        if not rows:
            raise UserError("there is nothing to predict: the data has no pictures without labels")
        return "submission.csv", as_csv(header, rows).encode(), f"{len(rows):,} rows, {','.join(header)}"

    def export_example(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """What `forward` takes, from a batch of a measured split: the exported network is tried on it."""
        return batch[:1]

    # What the frame gives.

    def log_row(self, **values: Tensor | float) -> None:
        """Report numbers of this training step; means over some steps become a row of the history under train/."""
        for name, value in values.items():
            self.means.add(f"train/{name}", value if self.share == 1.0 else value * self.share)

    def summed(self, *sums: Tensor) -> list[Tensor]:
        """Sums over this process' part of the batch, added up over all processes: what a closed form is made of."""
        return [total(value if self.share else torch.zeros_like(value)) for value in sums]

    def show(self, name: str, figure: Figure) -> None:
        """Keep a figure on disk and in TensorBoard under one name; outside a run it does nothing."""
        if self._show is not None:
            self._show(name, figure)

    def animate(self, name: str, frames: np.ndarray, rate: float = 5.0) -> None:
        """Keep frames (t, h, w, 3) uint8, `rate` a second, as a gif on disk and in TensorBoard; outside a run it does nothing."""
        if self._animate is not None:
            self._animate(name, frames, rate)

    def keep(self, name: str, header: tuple[str, ...], rows: list[tuple]) -> None:
        """Keep a table as NAME.csv in the run's folder; outside a run it does nothing."""
        if self._keep is not None:
            self._keep(name, header, rows)

    def training_step(self, batch: tuple[Tensor, ...], index: int) -> Tensor:
        loss = self.loss(batch)
        self.log_row(loss=loss)
        return loss

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Lightning's hook: the gradients of the processes are averaged, so an unequal part counts by its size."""
        (loss if self.share == 1.0 else loss * self.share).backward(*args, **kwargs)

    @property
    def has_gradients(self) -> bool:
        """Whether anything is trained by gradients; a closed form has parameters that nothing updates but itself."""
        return any(p.requires_grad for p in self.parameters())

    def configure_optimizers(self) -> dict[str, Any] | None:
        if not self.has_gradients:
            return None
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
