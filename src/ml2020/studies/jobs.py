"""Many runs, each in a process of its own: a job that raises, is killed or runs out of memory loses no other."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml2020.core import processes, terminal
from ml2020.core.conf import dotted
from ml2020.core.errors import TypedError, UserError
from ml2020.core.folder import RunFolder


@dataclass
class Job:
    """One run of a list: what it is called, what would be typed for it, and where it goes."""

    label: str
    words: list[str]
    folder: Path


def run_jobs(jobs: list[Job], make: Any, changes: dict[str, Any] | None = None) -> None:
    """Bring every job to its end: finished ones are skipped, half-finished ones go on, new ones are made by `make(job)`.

    `changes` are trainer keys for jobs that go on (resume= with trainer.threads=...).
    """
    began, done = time.monotonic(), 0
    for number, job in enumerate(jobs, start=1):
        label = f"{number}/{len(jobs)}  {job.label}"
        folder = RunFolder.open(job.folder) if (job.folder / "run.json").is_file() else None
        if folder is not None and folder.status == "finished":
            terminal.say(f"{label}: finished before")
            continue
        if folder is not None:
            folder.lock()
            folder.go_on(changes or {})
        else:
            folder = make(job)
        train_in(folder, label)
        done += 1
        if left := len(jobs) - number:
            terminal.note(f"about {left * (time.monotonic() - began) / done / 60:.0f} minutes for {left} more")


def train_in(folder: RunFolder, label: str) -> None:
    """One job, in processes of its own; what becomes of it stands in its run.json, and in one line here."""
    began = time.monotonic()
    config = folder.config()
    world = 1 if config["trainer"]["devices"] == 1 and config["trainer"]["gpus"] in (None, 0, 1) else _world(config)
    try:
        processes.launch(folder.path, world, output=folder.path / "output.log", keep=folder.lock_file)
        folder.reload()
    except UserError as error:
        folder.reload()
        folder.update(status="failed", error=str(error))
    except SystemExit:  # this process was told to stop: so was the job, after a checkpoint
        folder.unlock()
        raise
    folder.unlock()
    terminal.say(f"{label}: {_ending(folder)}   {time.monotonic() - began:.0f} s")


def _world(config: dict[str, Any]) -> int:
    from ml2020.core.devices import resolve  # asks torch how many GPUs there are

    return resolve(config["trainer"])[1]


def _ending(folder: RunFolder) -> str:
    """How a job ended, in some words."""
    if folder.facts["status"] != "finished":
        return f"{folder.facts['status']}: {folder.facts.get('error') or 'no sentence'}"
    main = folder.metrics()["main"]
    return f"{main['name']} {main['value']:.3f}"


def same_config(folder: RunFolder, config: dict[str, Any]) -> None:
    """Refuse a folder whose run was made with another config. Raises TypedError naming the first key that differs."""
    ours, theirs = dotted(config), dotted(folder.config())
    for key in sorted(ours.keys() | theirs.keys()):
        if ours.get(key) != theirs.get(key) and key not in ("trainer.threads", "trace", "output_dir", "cache_dir"):
            raise TypedError(
                f"{folder.path} was made with {key}={theirs.get(key)}, not {ours.get(key)}; "
                "give the new study a name of its own (name=WORD), or remove the old folder"
            )
