"""What happens around the steps of a phase: the history, the bar, the average of the weights, the checkpoints.

One callback with few hooks. Lightning's own loggers, bar and checkpoint callbacks cost about half the speed of a small network
(docs/performance.md), and write a checkpoint in a way that a kill can tear (docs/core.md).
"""

from __future__ import annotations

import math
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from ml2020.core import checkpoints, processes
from ml2020.core.bar import Bar
from ml2020.core.ema import Average
from ml2020.core.errors import UserError
from ml2020.core.history import History
from ml2020.core.module import Module, Phase
from ml2020.core.pruning import Pruned, Trial
from ml2020.core.signals import heeded

_SAVE = 1  # what a rank may ask for between two steps; a signal's number (2, 15) asks for a stop, after a save
_GPU_STEPS = 10  # between two questions of the ranks on GPUs, where asking waits for the device


class Stopped(SystemExit):
    """Ended by a signal between two steps, after a checkpoint; the exit status is 128 + signal."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.number = number


def stop(number: int, frame: Any) -> None:
    """Outside a fit a signal ends the run at once; in a fit the Conductor ends it between two steps."""
    raise Stopped(number)


class Conductor(pl.Callback):
    """Watches over all phases of one run. `main` is {"name": "val/acc", "goal": "max"}; `trainer` the block of the config.

    Its state, in every checkpoint, is what Lightning's leaves out: steps over all phases, means not yet written, random states of every
    rank, averaged weights, and how far the history had come.
    """

    def __init__(self, folder: Path, history: History, main: dict[str, str], trainer: dict[str, Any]) -> None:
        self.folder, self.history, self.main = folder, history, main
        self.log_every, self.ema_decay = trainer["log_every"], trainer["ema_decay"]
        self.accumulate, self.patience = trainer["accumulate"], trainer["patience"]
        self.every, self.keep = trainer["checkpoint_seconds"], trainer["keep"]
        self.chief = processes.place().rank == 0
        self.bar = Bar(trainer["bar"] and self.chief)
        self.average: Average | None = None
        self.trial: Trial | None = None
        self.phase: Phase | None = None
        self.step = 0  # training steps over all phases: the x axis of every plot
        self.carried: list[dict[str, Any]] = []  # optimizers of the phase before, for a phase that goes on with them
        self.signal = 0
        self.signals = ExitStack()
        self.earlier = 0.0  # seconds before this process began
        self.started = self.saved = time.monotonic()

    def begin(self, phase: Phase, number: int, epochs: int, module: Module, going_on: bool) -> None:
        """Before the fit of a phase; `going_on` where it was interrupted."""
        self._enter(phase, number, epochs, module)
        self.going_on, self.several = going_on, processes.together()
        self.restored: dict[str, Any] | None = None
        self.average = Average(module, self.ema_decay) if self.ema_decay else None
        self.bar.begin(phase.name, number, epochs, len(phase.loader))

    def _enter(self, phase: Phase, number: int, epochs: int, module: Module) -> None:
        self.phase, self.phase_number, self.epochs, self.module = phase, number, epochs, module
        self.phase_step, self.epoch, self.best, self.waited, self.over = 0, 0, None, 0, False

    def place(self, file: str) -> Path:
        """Where a checkpoint of this phase stands."""
        return place(self.folder, self.phase.name, file)

    # Hooks of Lightning, in the order in which they come.

    def on_train_start(self, trainer: pl.Trainer, module: Module) -> None:
        """Take over the signals; put optimizers and schedules where this phase begins."""
        self.signals.enter_context(heeded(self._heed))  # after Lightning's own handlers, which exit with 0
        if self.average is not None:
            self.average.follow()
        if self.carried and not self.going_on and "optimizer" not in self.phase.reset:
            for optimizer, state in zip(trainer.optimizers, self.carried, strict=True):
                rates = [group["lr"] for group in optimizer.param_groups]
                optimizer.load_state_dict(state)
                for group, rate in zip(optimizer.param_groups, rates, strict=True):
                    group["lr"] = group["initial_lr"] = rate
        if self.restored and self.restored["epochs"] != self.epochs:
            self.over = False
            module.plan.stretch(trainer)

    def _heed(self, number: int, frame: Any) -> None:
        if self.signal:  # a second Ctrl-C does not wait
            raise KeyboardInterrupt
        self.signal = number

    def on_train_batch_start(self, trainer: pl.Trainer, module: Module, batch: Any, batch_idx: int) -> None:
        """The share of the samples that is here; at the first batch of a resumed fit, the random states."""
        module.share = self.phase.loader.share
        if self.restored is not None:  # now that everything is drawn which the start of a fit draws
            checkpoints.set_random_states(self.restored["random"])
            self.restored = None

    def on_train_batch_end(self, trainer: pl.Trainer, module: Module, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Count, average, write a row when it is due, and heed signals."""
        self.step += 1
        self.phase_step += 1
        if self.average is not None:
            self.average.update()
        if self.step % self.log_every == 0:
            self.flush(trainer, module)
        if self.phase.steps is not None and self.phase_step >= self.phase.steps:
            self.over = trainer.should_stop = True
        elif batch_idx + 1 < len(self.phase.loader) and (batch_idx + 1) % self.accumulate == 0:
            self.heed(trainer)  # after an epoch's last batch comes a validation, and then on_train_epoch_end
        if self.bar.due():
            self.bar.step(trainer.current_epoch, batch_idx + 1)

    def on_validation_epoch_start(self, trainer: pl.Trainer, module: Module) -> None:
        """Validate the averaged weights."""
        if self.average is not None and not trainer.sanity_checking:
            self.average.swap()

    def on_validation_end(self, trainer: pl.Trainer, module: Module) -> None:
        """A row of the history, the best weights, and whether it goes on."""
        if trainer.state.fn != "fit":
            return
        values = processes.told({f"val/{name}": value for name, value in module.results["val"].items()})
        self.flush(trainer, module)
        self.history.row(self.step, trainer.current_epoch, self.phase.name, self.seconds, values)
        value = values.get(self.main["name"])
        if value is not None:
            self.judge(module, value)
            self.compare(value)
        if self.average is not None:
            self.average.swap()
        self.bar.validated(trainer.current_epoch, self.main["name"], value)
        if self.patience and self.waited >= self.patience:
            self.over = trainer.should_stop = True

    def on_train_epoch_end(self, trainer: pl.Trainer, module: Module) -> None:
        """A checkpoint of the whole epoch, its validation included."""
        self.epoch += 1
        self.over = self.over or self.epoch >= self.epochs
        if self.phase.val_loader is None:
            self.flush(trainer, module)
        self.heed(trainer, save=True)

    def on_train_end(self, trainer: pl.Trainer, module: Module) -> None:
        """Leave the averaged weights in the module, and give the signals back."""
        if self.average is not None:  # from here on the averaged weights are the module's
            self.average.swap()
        self.carried = [optimizer.state_dict() for optimizer in trainer.optimizers]
        self.signals.close()  # between two fits a signal ends the run at once
        self.bar.end()

    # The pieces.

    @property
    def seconds(self) -> float:
        return self.earlier + time.monotonic() - self.started

    def flush(self, trainer: pl.Trainer, module: Module) -> None:
        """Write the means of the training steps since the last row."""
        means = module.means.take()
        if not means:
            return
        if module.has_gradients:
            means["train/lr"] = trainer.optimizers[0].param_groups[0]["lr"]
        self.history.row(self.step, trainer.current_epoch, self.phase.name, self.seconds, means)
        self.bar.loss = means.get("train/loss")
        if self.bar.loss is not None and not math.isfinite(self.bar.loss):
            raise UserError(f"the loss is {self.bar.loss} at step {self.step}; a smaller optimizer.lr or trainer.clip_norm=1 may help")

    def compare(self, value: float) -> None:
        """Tell a search how far this trial is. Raises Pruned where it breaks the trial off: in every process at once."""
        if self.trial is not None or self.several:
            number = len(self.history.series(self.main["name"])[0]) - 1
            if processes.told(self.trial.report(number, value) if self.trial is not None else False):
                raise Pruned

    def judge(self, module: Module, value: float) -> None:
        """Keep the weights if they are the best so far, or if the last are asked for; count the validations without a better one."""
        better = self.best is None or (value > self.best if self.main["goal"] == "max" else value < self.best)
        self.best, self.waited = (value, 0) if better else (self.best, self.waited + 1)
        if self.chief and (better or self.keep == "last"):
            content = {"state_dict": module.state_dict(), "step": self.step, "phase": self.phase.name, "main": value}
            module.on_save_checkpoint(content)
            checkpoints.write(content, self.place("best.ckpt"))

    def heed(self, trainer: pl.Trainer, save: bool = False) -> None:
        """Save when it is time, stop after a signal. All ranks must do the same, so they ask the first."""
        if not save and self.several and trainer.strategy.root_device.type != "cpu" and self.step % _GPU_STEPS:
            return
        due = save or time.monotonic() - self.saved > self.every
        ask = self.signal or (_SAVE if due else 0) if self.chief else 0
        ask = processes.highest(ask) if self.several else ask
        if ask:
            self.save(trainer)
        if ask > _SAVE:
            raise Stopped(ask)

    def save(self, trainer: pl.Trainer) -> None:
        """last.ckpt: everything that a run needs to go on from here."""
        self._ask_ranks()
        if self.chief:
            checkpoints.write(trainer._checkpoint_connector.dump_checkpoint(), self.place("last.ckpt"))
        self.saved = time.monotonic()

    def _ask_ranks(self) -> None:
        """What every rank has for itself, for the checkpoint that rank 0 writes."""
        self.ranks = processes.gathered({"random": checkpoints.random_states(), "means": self.module.means.state_dict()})

    def save_start(self, phase: Phase, number: int, module: Module) -> None:
        """last.ckpt of a phase that is about to begin: what the phases before have left."""
        self._enter(phase, number, 0, module)
        self.average = None
        self._ask_ranks()
        if self.chief:
            content = {"state_dict": module.state_dict(), "callbacks": {self.state_key: self.state_dict()}}
            module.on_save_checkpoint(content)
            checkpoints.write(content, self.place("last.ckpt"))

    @property
    def state_key(self) -> str:
        return "Conductor"

    def state_dict(self) -> dict[str, Any]:
        """The part of a checkpoint that Lightning leaves out (see the class)."""
        return {
            "step": self.step,
            "phase": self.phase_number,
            "phase_step": self.phase_step,
            "epoch": self.epoch,
            "epochs": self.epochs,
            "over": self.over,
            "loader": None if self.epochs == 0 else self.phase.loader.state_dict(),
            "best": self.best,
            "waited": self.waited,
            "carried": self.carried if self.epochs == 0 else [],
            "seconds": self.seconds,
            "history": self.history.position(),
            "ranks": self.ranks,
            "average": None if self.average is None else self.average.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Back to where a checkpoint was taken; the random states wait for the first batch."""
        for name in ("step", "phase_step", "epoch", "best", "waited", "over"):
            setattr(self, name, state[name])
        mine = state["ranks"][processes.place().rank]
        self.module.means.load_state_dict(mine["means"])
        self.restored = {"random": mine["random"], "epochs": state["epochs"]}
        if self.average is not None:
            self.average.load_state_dict(state["average"])


def place(folder: Path, phase: str, file: str) -> Path:
    """Where a checkpoint of a phase stands: the one phase of a plain homework needs no folder of its own."""
    return folder / "checkpoints" / ("" if phase == "fit" else phase) / file
