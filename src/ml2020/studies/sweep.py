"""`python train.py -m ...`: every combination of the typed values, as jobs in one folder that can be resumed."""

from __future__ import annotations

import itertools
import json
from datetime import datetime
from pathlib import Path
from typing import Any

from ml2020.core import terminal
from ml2020.core.config import parse
from ml2020.core.errors import TypedError, UserError
from ml2020.core.folder import RunFolder
from ml2020.studies import summary
from ml2020.studies.jobs import Job, check_all, command, run_jobs, safe, warm_up

SCHEMA = 1
_YAML = {"True": "true", "False": "false", "None": "null"}  # as they are typed, not as Python says them


def new_sweep(cfg: Any, typed: list[str]) -> None:
    """Run every job of the typed words, then sum up. `cfg` is the checked config of their first values."""
    if cfg.sweep.method == "optuna":
        from ml2020.studies.search import new_search

        return new_search(cfg, typed)
    folder = new_folder(cfg)
    jobs = expand(typed, folder)
    warm_up(jobs[0].composed[0], [o.input_line for o in parse(typed).for_hydra])
    check_all(jobs)
    run(folder, jobs, typed)


def new_folder(cfg: Any) -> Path:
    """Where a new sweep goes: <output>/<task>/sweeps/<date>_<time>[_<name>]; it is not made yet."""
    word = f"{datetime.now():%Y-%m-%d_%H-%M-%S}" + (f"_{cfg.name}" if cfg.name else "")
    parent = Path(cfg.output_dir) / cfg.task.name / "sweeps"
    return next(path for n in range(1, 1000) if not (path := parent / (word if n == 1 else f"{word}~{n}")).exists())


def expand(typed: list[str], folder: Path) -> list[Job]:
    """The jobs of the typed words: the product of the values of every swept key, the last key running fastest."""
    overrides = in_order(typed)
    if ranges := [o.input_line for o in overrides if o.is_sweep_override() and not o.is_discrete_sweep()]:
        raise TypedError(f"{ranges[0]} has no end of values; a search draws from it: python train.py -m sweep=optuna {ranges[0]}")
    swept = [o.get_key_element() for o in overrides if o.is_sweep_override()]
    lines = [list(line) for line in itertools.product(*map(values, overrides))]
    return [Job(number, label_of(line, swept), line, folder / place(number, line, swept)) for number, line in enumerate(lines)]


def values(override: Any) -> list[str]:
    """The words that an override stands for: one, or one a value."""
    if not override.is_sweep_override():
        return [override.input_line]
    return [f"{override.get_key_element()}={_YAML.get(value, value)}" for value in override.sweep_string_iterator()]


def in_order(typed: list[str]) -> list[Any]:
    """The overrides of the typed words, in their order, without those for Hydra."""
    sorted_out = [parse([word]) for word in typed]
    return [override for one in sorted_out for override in one.groups + one.values]


def label_of(words: list[str], swept: list[str]) -> str:
    """What tells a job from the others of its sweep."""
    return " ".join(word for word in words if word.partition("=")[0] in swept) or "the only one"


def place(number: int, words: list[str], swept: list[str]) -> str:
    """The name of a job's folder."""
    return f"{number}_{safe(','.join(w for w in words if w.partition('=')[0] in swept), 100, signs='=,+')}"


def run(
    folder: Path, jobs: list[Job], typed: list[str], changes: dict[str, Any] | None = None, launcher: list[str] | None = None
) -> None:
    """Bring the jobs to their end, behind the lock of the sweep's folder, and sum up."""
    for_hydra = launcher or [o.input_line for o in parse(typed).for_hydra]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"the folder of the sweep, {folder}, cannot be made: {error.strerror}; output_dir= chooses another") from None
    whole = RunFolder(folder)
    with whole.locked(), terminal.log_to(folder / "sweep.log"), summary.on_stop(folder):
        whole.write_json("sweep_jobs.json", {"schema": SCHEMA, "typed": typed, "jobs": [job.words for job in jobs]})
        terminal.say(f"{len(jobs)} jobs, in {folder}", style="bold")
        run_jobs(jobs, for_hydra, changes)
        summary.close(folder)


def read(folder: Path) -> dict[str, Any]:
    """What stands in the folder of a sweep: the typed words and the list of its jobs. Raises UserError where it cannot be read."""
    file = folder / "sweep_jobs.json"
    try:
        said = json.loads(file.read_text())
        if all(isinstance(words, list) for words in (said["typed"], said["jobs"], *said["jobs"])):
            return said
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        pass
    raise UserError(f"{file} cannot be read as the list of a sweep's jobs")


def resume_sweep(folder: Path, changes: dict[str, Any], launcher: list[str]) -> None:
    """`resume=FOLDER` of a sweep: what is missing or failed, with the same numbers and folders."""
    if "max_epochs" in changes:
        raise TypedError("trainer.max_epochs cannot be changed in a sweep that goes on")
    if "n_trials" in changes:
        raise TypedError("sweep.n_trials is of a search; this sweep has a fixed list of jobs")
    said = read(folder)
    jobs = expand(said["typed"], folder)
    same_list(folder, jobs, said)
    check_all(jobs)
    run(folder, jobs, said["typed"], changes, launcher)


def same_list(folder: Path, jobs: list[Job], said: dict[str, Any]) -> None:
    """Refuse a folder whose list of jobs is not what was typed for it any more. Raises TypedError."""
    if [job.words for job in jobs] != said["jobs"]:
        raise TypedError(f"{folder / 'sweep_jobs.json'} does not list the jobs of {command(['-m', *said['typed']])}: it was changed")
    for job in jobs:
        if (job.folder / "run.json").is_file():
            facts = RunFolder.open(job.folder).facts
            if facts.get("overrides") != [word for word in job.words if not word.startswith("task=")]:
                raise TypedError(f"{job.folder} is not job {job.number} of this sweep any more: its run.json was changed")
