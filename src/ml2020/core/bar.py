"""The progress bar: phase, epoch, loss and main metric; redrawn by time, not by step, because drawing costs more than a step."""

from __future__ import annotations

import time

from ml2020.core import terminal

REFRESH_SECONDS = 0.2


class Bar:
    """One bar a phase on a terminal; elsewhere one plain line an epoch."""

    def __init__(self, wanted: bool) -> None:
        self.wanted = wanted
        self.loss: float | None = None
        self.drawn = None
        self.next = 0.0
        self.metric = ""

    def begin(self, phase: str, number: int, epochs: int, steps: int) -> None:
        """Before a phase of `epochs` times `steps`."""
        self.label = "" if phase == "fit" and number == 0 else f"phase {number + 1}, {phase}   "
        self.epochs, self.steps, self.metric = epochs, steps, ""
        self.started = time.monotonic()
        if self.wanted and terminal.live():
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

            columns = (
                TextColumn("{task.description}"),
                BarColumn(bar_width=16),
                TextColumn("{task.fields[numbers]}"),
                TimeElapsedColumn(),
            )
            self.drawn = Progress(*columns, console=terminal.console(), auto_refresh=False, transient=True)
            self.drawn.start()
            self.task = self.drawn.add_task(self._title(0), total=epochs * steps, numbers="")

    def due(self) -> bool:
        """Whether it is time to draw again."""
        if (now := time.monotonic()) < self.next:
            return False
        self.next = now + REFRESH_SECONDS
        return True

    def step(self, epoch: int, batch: int) -> None:
        if self.drawn is not None:
            numbers = (f"loss {self.loss:.3f}  " if self.loss is not None else "") + self.metric
            self.drawn.update(self.task, completed=epoch * self.steps + batch, description=self._title(epoch), numbers=numbers)
            self.drawn.refresh()

    def validated(self, epoch: int, name: str, value: float | None) -> None:
        """After a validation: the metric, kept in the log and printed where there is no bar."""
        self.metric = f"{name} {value:.3f}" if value is not None else ""
        loss = f"loss {self.loss:.3f}   " if self.loss is not None else ""
        line = f"{self._title(epoch)}   {loss}{self.metric}   {time.monotonic() - self.started:.0f} s"
        if self.drawn is not None:
            terminal.note(line)
            self.step(epoch, self.steps)
        elif self.wanted:
            terminal.say(line)
        else:
            terminal.note(line)

    def end(self) -> None:
        if self.drawn is not None:
            self.drawn.stop()
            self.drawn = None

    def _title(self, epoch: int) -> str:
        return f"{self.label}epoch {epoch + 1}/{self.epochs}"
