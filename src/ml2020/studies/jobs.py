"""A list of runs, through any launcher of Hydra's. Each trains in a process of its own: one that raises or dies loses no other.

Every job has its folder, with its checked config, before the first one begins. So a launcher on another machine needs nothing but the
folder, and what became of the jobs can be read from the folders alone, also after a kill.
"""

from __future__ import annotations

import importlib
import re
import shlex
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from ml2020.core import forks, processes, terminal
from ml2020.core.conf import dotted
from ml2020.core.errors import TypedError, UserError
from ml2020.core.folder import RunFolder, new_run
from ml2020.studies.launch import through_launcher
from ml2020.studies.watch import Watch

_MAY_DIFFER = ("trainer.threads", "trace", "output_dir", "cache_dir", "data.cache_dir")  # where and how, not what
ENDED = ("finished", "failed", "pruned")
_DEATHS = 2  # of a launcher's worker, after which the job that it had is called failed


@dataclass
class Job:
    """One run of a list: its number, what tells it from the others, what would be typed for it, and where it goes."""

    number: int
    label: str
    words: list[str]
    folder: Path
    facts: dict[str, Any] = field(default_factory=dict)  # for its run.json

    @cached_property
    def composed(self) -> tuple[dict[str, Any], dict[str, str | None]]:
        """The checked config and the option of each group; one thread unless another number was typed."""
        from ml2020.core.config import load, plain

        words = self.words if any(w.startswith("trainer.threads=") for w in self.words) else ["trainer.threads=1", *self.words]
        cfg, choices = load("train", words)
        return plain(cfg), choices

    def make(self) -> None:
        """Its new folder, waiting."""
        config, choices = self.composed
        folder = new_run(config, choices, self.words, self.folder)
        folder.update(job=self.number, **self.facts)
        folder.unlock()


def run_jobs(jobs: list[Job], for_hydra: Sequence[str] = (), changes: dict[str, Any] | None = None) -> None:
    """Bring every job to its end: finished ones are skipped, half-finished ones go on, failed ones are tried again.

    `for_hydra` are words such as hydra/launcher=joblib; `changes` are trainer keys for jobs that go on (resume= with
    trainer.threads=...).
    """
    missing = [job for job in jobs if prepare(job, changes or {}, len(jobs))]
    if missing:
        warm_up(missing[0].composed[0], for_hydra)
        with Watch(missing, len(jobs)):
            through_launcher(lambda launch: attempt(missing, launch), train_job, jobs[0].folder.parent, for_hydra)


def prepare(job: Job, changes: dict[str, Any], count: int) -> bool:
    """Whether a job is still to be done; then its folder waits for whoever trains it."""
    if not (job.folder / "run.json").is_file():
        job.make()
        return True
    folder = RunFolder.open(job.folder)
    if folder.status in ("finished", "pruned"):
        terminal.say(f"{job.number + 1}/{count}  {job.label}: {folder.status} before")
        return False
    folder.lock()
    if folder.status != "waiting":
        folder.go_on(changes)
    folder.update(status="waiting", error=None, job=job.number)
    folder.unlock()
    return True


def attempt(jobs: list[Job], launch: Callable[..., Sequence[Any]]) -> None:
    """Launch the jobs; where a launcher's own worker dies with its jobs, launch again what did not end."""
    deaths = dict.fromkeys((job.number for job in jobs), 0)
    while jobs:
        failure: Exception | None = None
        try:
            returns = launch([subdir(job) for job in jobs], initial_job_idx=jobs[0].number)
            note_refusals(jobs, returns)
        except Exception as error:
            failure = error
        states = {job.number: wait_for(job.folder) for job in jobs}
        if failure is not None and all(state == "waiting" for state in states.values()):
            raise UserError(f"the launcher did not begin: {str(failure).strip().splitlines()[0]}") from failure
        jobs = [job for job in jobs if states[job.number] not in ENDED]
        for job in jobs:
            deaths[job.number] += states[job.number] != "waiting"
            if failure is None or deaths[job.number] >= _DEATHS:
                fail(job.folder, "it was left without an end" if failure is None else "the launcher's worker died, twice")
        jobs = [job for job in jobs if RunFolder.open(job.folder).status not in ENDED]
        if jobs:
            terminal.say(f"a worker of the launcher died; {len(jobs)} jobs are launched again")
            for job in jobs:
                prepare(job, {}, len(jobs))


def subdir(job: Job) -> list[str]:
    """All that Hydra needs to know of a job: its folder, which holds the checked config (composing it again would only cost time)."""
    return [f"hydra.sweep.subdir='{job.folder.name}'"]


def note_refusals(jobs: list[Job], returns: Sequence[Any]) -> None:
    """A job that Hydra itself could not begin is a failed one."""
    from hydra.core.utils import JobStatus

    for job, made in zip(jobs, returns, strict=True):
        if made.status != JobStatus.COMPLETED and RunFolder.open(job.folder).status == "waiting":
            fail(job.folder, (str(made._return_value).strip().splitlines() or ["no message"])[0])


def fail(path: Path, sentence: str) -> None:
    RunFolder.open(path).update(status="failed", error=sentence)


def wait_for(path: Path) -> str:
    """The state of a job, once no process works on it: a launcher may give up before its last job has ended."""
    while (status := RunFolder.open(path).status) == "running":
        time.sleep(0.2)
    return status


def train_job(_: Any) -> None:
    """Hydra's task function, in whatever process the launcher chose: train the run of this job's folder."""
    from hydra.core.hydra_config import HydraConfig

    train_in(Path(HydraConfig.get().runtime.output_dir))


def train_in(path: Path) -> None:
    """One job, in processes of its own; what becomes of it stands in its run.json."""
    folder = RunFolder.open(path)
    try:
        folder.lock()
    except UserError:
        return  # another process has it
    try:
        if folder.facts["status"] == "waiting":
            folder.update(started=f"{datetime.now().astimezone():%Y-%m-%dT%H:%M:%S%z}")
        config = folder.config()
        forks.warm_up(needed(config))  # for launchers whose processes are not this sweep's own
        world = 1 if config["trainer"]["devices"] == 1 and config["trainer"]["gpus"] in (None, 0, 1) else _world(config)
        processes.launch(path, world, output=path / "output.log", keep=folder.lock_file, forked=True)
    except UserError as error:
        folder.reload()
        folder.update(status="failed", error=str(error))
    finally:  # a SystemExit: this process was told to stop, and so was the job, after a checkpoint
        folder.unlock()


def warm_up(config: dict[str, Any], for_hydra: Sequence[str]) -> None:
    """Begin to import what jobs like this one need: in the server they are forked from, and in this process what draws the picture."""
    if not any(word.startswith("hydra/launcher=") for word in for_hydra):  # other launchers have processes of their own
        forks.warm_up(needed(config))
    threading.Thread(target=importlib.import_module, args=("ml2020.studies.picture",), daemon=True).start()


def needed(config: dict[str, Any]) -> list[str]:
    """The modules of a run's model and data."""
    return [config[part]["_target_"].rpartition(".")[0] for part in ("model", "data")]


def _world(config: dict[str, Any]) -> int:
    from ml2020.core.devices import resolve  # asks torch how many GPUs there are

    return resolve(config["trainer"])[1]


def same_config(folder: RunFolder, config: dict[str, Any]) -> None:
    """Refuse a folder whose run was made with another config. Raises TypedError naming the first key that differs."""
    ours, theirs = dotted(config), dotted(folder.config())
    for key in sorted(ours.keys() | theirs.keys()):
        words = key.startswith("task.") and not key.startswith(("task.name", "task.main."))  # for the terminal and for searches
        if ours.get(key) != theirs.get(key) and not words and key not in _MAY_DIFFER:
            raise TypedError(
                f"{folder.path} was made with {key}={theirs.get(key)}, not {ours.get(key)}; "
                "give the new study a name of its own (name=WORD), or remove the old folder"
            )


def check_all(jobs: list[Job]) -> None:
    """Check every word of every job before the first begins, and that folders which are there were made with them."""
    for job in jobs:
        config, _ = job.composed
        if (job.folder / "run.json").is_file():
            same_config(RunFolder.open(job.folder), config)


def safe(text: str, most: int = 60, signs: str = "") -> str:
    """A text as a part of a folder's name; `signs` are kept as well."""
    return re.sub(rf"[^\w.{signs}-]+", "-", text).strip("-")[:most] or "run"


def command(words: Sequence[str]) -> str:
    return shlex.join(["python", "train.py", *words])
