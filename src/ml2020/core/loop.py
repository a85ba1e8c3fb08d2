"""What happens around the steps of a phase: the history, the bar, the average of the weights, the checkpoints.

One callback with few hooks. Lightning's own loggers, bar and checkpoint callbacks cost about half the speed of a small network
(docs/performance.md), and write a checkpoint in a way that a kill can tear (docs/core.md).
"""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from ml2020.core import terminal
from ml2020.core.bar import Bar
from ml2020.core.ema import Average
from ml2020.core.errors import UserError
from ml2020.core.history import History
from ml2020.core.module import Module, Phase

CHECKPOINT_SECONDS = 60


class Stopped(SystemExit):
    """Ended by a signal between two steps, after a checkpoint; the exit status is 128 + signal."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.number = number


class Conductor(pl.Callback):
    """Watches over all phases of one run. `main` is {"name": "val/acc", "goal": "max"}."""

    def __init__(self, folder: Path, history: History, main: dict[str, str], log_every: int, ema_decay: float, bar: bool) -> None:
        self.folder, self.history, self.main = folder, history, main
        self.log_every, self.ema_decay = log_every, ema_decay
        self.bar = Bar(bar)
        self.average: Average | None = None
        self.phase: Phase | None = None
        self.step = 0  # training steps over all phases: the x axis of every plot
        self.epoch = 0
        self.best: float | None = None
        self.signal = 0
        self.started = self.saved = time.monotonic()

    def begin(self, phase: Phase, number: int, epochs: int, module: Module) -> None:
        """Before the fit of a phase."""
        self.phase, self.phase_number = phase, number
        self.best = None
        self.handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
        self.average = Average(module, self.ema_decay) if self.ema_decay else None
        self.bar.begin(phase.name, number, epochs, len(phase.loader))

    def place(self, file: str) -> Path:
        """Where a checkpoint of this phase stands: the first phase of a plain homework needs no folder of its own."""
        return self.folder / "checkpoints" / ("" if self.phase.name == "fit" else self.phase.name) / file

    # Hooks of Lightning, in the order in which they come.

    def on_train_start(self, trainer: pl.Trainer, module: Module) -> None:
        if threading.current_thread() is threading.main_thread():  # after Lightning's own handlers, which exit with 0
            for number in self.handlers:
                signal.signal(number, self._heed)

    def _heed(self, number: int, frame: Any) -> None:
        if self.signal:  # a second Ctrl-C does not wait
            raise KeyboardInterrupt
        self.signal = number

    def on_train_batch_end(self, trainer: pl.Trainer, module: Module, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.step += 1
        if self.average is not None:
            self.average.update()
        if self.step % self.log_every == 0:
            self.flush(trainer, module)
        if self.signal:
            self.save(trainer)
            raise Stopped(self.signal)
        if self.bar.due():
            self.bar.step(trainer.current_epoch, batch_idx + 1)
            last = batch_idx + 1 == len(self.phase.loader)  # validation follows, and saves
            if not last and time.monotonic() - self.saved > CHECKPOINT_SECONDS:
                self.save(trainer)

    def on_validation_epoch_start(self, trainer: pl.Trainer, module: Module) -> None:
        if self.average is not None and not trainer.sanity_checking:
            self.average.swap()

    def on_validation_end(self, trainer: pl.Trainer, module: Module) -> None:
        if trainer.state.fn != "fit":
            return
        values = {f"val/{name}": value for name, value in module.results["val"].items()}
        self.flush(trainer, module)
        self.history.row(self.step, trainer.current_epoch, self.phase.name, self.seconds, values)
        value = values.get(self.main["name"])
        if value is not None and self.better(value):
            self.best = value
            self.save_weights(module, "best.ckpt", value)
        if self.average is not None:
            self.average.swap()
        self.bar.validated(trainer.current_epoch, self.main["name"], value)
        self.save(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, module: Module) -> None:
        self.epoch += 1

    def on_train_end(self, trainer: pl.Trainer, module: Module) -> None:
        if self.average is not None:  # from here on the averaged weights are the module's
            self.average.swap()
        if threading.current_thread() is threading.main_thread():  # a signal between two fits ends the run at once
            for number, handler in self.handlers.items():
                signal.signal(number, handler)
        self.bar.end()

    # The pieces.

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def flush(self, trainer: pl.Trainer, module: Module) -> None:
        """Write the means of the training steps since the last row."""
        means = module.means.take()
        if not means:
            return
        means["train/lr"] = trainer.optimizers[0].param_groups[0]["lr"]
        self.history.row(self.step, trainer.current_epoch, self.phase.name, self.seconds, means)
        self.bar.loss = means.get("train/loss")
        if self.bar.loss is not None and not torch.isfinite(torch.tensor(self.bar.loss)):
            raise UserError(f"the loss is {self.bar.loss} at step {self.step}; a smaller optimizer.lr or trainer.clip_norm=1 may help")

    def better(self, value: float) -> bool:
        return self.best is None or (value > self.best if self.main["goal"] == "max" else value < self.best)

    def save(self, trainer: pl.Trainer) -> None:
        """last.ckpt: everything that a run needs to go on. Written beside its target and renamed, so that a kill cannot tear it."""
        target = self.place("last.ckpt")
        target.parent.mkdir(parents=True, exist_ok=True)
        half = target.with_suffix(".tmp")
        torch.save(trainer._checkpoint_connector.dump_checkpoint(), half)
        os.replace(half, target)
        self.saved = time.monotonic()

    def save_weights(self, module: Module, file: str, value: float | None) -> None:
        """The weights alone, as they are validated: plain tensors and numbers."""
        target = self.place(file)
        target.parent.mkdir(parents=True, exist_ok=True)
        half = target.with_suffix(".tmp")
        torch.save({"state_dict": module.state_dict(), "step": self.step, "phase": self.phase.name, "main": value}, half)
        os.replace(half, target)

    @property
    def state_key(self) -> str:
        return "Conductor"

    def state_dict(self) -> dict[str, Any]:
        average = None if self.average is None else self.average.state_dict()
        return {
            "step": self.step,
            "epoch": self.epoch,
            "phase": self.phase_number,
            "best": self.best,
            "average": average,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.step, self.epoch, self.best = state["step"], state["epoch"], state["best"]
        if self.average is not None:
            self.average.load_state_dict(state["average"])


def load_weights(module: Module, file: Path) -> dict[str, Any]:
    """Put the weights of a checkpoint (averaged ones, where there are) into the module; give the rest of the checkpoint."""
    if not file.is_file():
        raise UserError(f"there is no checkpoint {file}")
    try:
        checkpoint = torch.load(file, map_location="cpu", weights_only=True)
        weights = checkpoint.pop("state_dict")
        average = checkpoint.get("callbacks", {}).get("Conductor", {}).get("average")
        module.load_state_dict(weights | (average["tensors"] if average else {}))
    except Exception as error:  # torch raises many kinds for a file that is torn, foreign or of another shape
        terminal.note(f"{type(error).__name__}: {error}")
        raise UserError(f"{file} cannot be read as a checkpoint of this model: {str(error).splitlines()[0][:120]}") from error
    return checkpoint
