"""What a list of jobs says while it runs: a line for each that has ended, read from the folders, whoever trains them."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml2020.core import terminal
from ml2020.core.errors import UserError
from ml2020.core.folder import RunFolder

if TYPE_CHECKING:
    from ml2020.studies.jobs import Job

_EVERY = 0.3  # seconds between two looks


class Watch:
    """Looks at the folders of jobs from a thread, until it is closed."""

    def __init__(self, jobs: list[Job], count: int) -> None:
        self.left, self.count = list(jobs), count
        self.told, self.began = 0, time.monotonic()
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._look_on, daemon=True)

    def __enter__(self) -> Watch:
        self.thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.over.set()
        self.thread.join()
        self.look()

    def add(self, jobs: list[Job]) -> None:
        """More jobs, of a search that goes on."""
        self.left += jobs

    def _look_on(self) -> None:
        while not self.over.wait(_EVERY):
            self.look()

    def look(self) -> None:
        """Say what has ended since the last look."""
        for job in list(self.left):
            if (words := ending(job.folder)) is None:
                continue
            self.left.remove(job)
            self.told += 1
            terminal.say(f"{job.number + 1}/{self.count}  {job.label}: {words}")
            if self.left:
                minutes = len(self.left) * (time.monotonic() - self.began) / self.told / 60
                terminal.note(f"about {minutes:.0f} minutes for {len(self.left)} more")


def ending(path: Path) -> str | None:
    """How a job ended, in some words; None while it has not."""
    try:
        folder = RunFolder.open(path)
        status, facts = folder.facts["status"], folder.facts
        if status == "finished":
            main = folder.metrics()["main"]
            return f"{main['name']} {main['value']:.4g}   {facts['seconds']:.0f} s"
        if status == "pruned":
            return f"pruned after step {facts.get('steps', 0):,}   {facts['seconds']:.0f} s"
        return f"failed: {facts.get('error') or 'no sentence'}" if status == "failed" else None
    except (UserError, KeyError):  # between two writes, or not there yet
        return None
