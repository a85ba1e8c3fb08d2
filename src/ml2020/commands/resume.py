"""python train.py resume=FOLDER: go on with an interrupted run, or with what is missing of a sweep, search or study."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ml2020.core import capabilities, terminal
from ml2020.core.errors import TypedError, UserError, suggestion

ALLOWED = {"trainer.max_epochs": int, "trainer.threads": int, "sweep.n_trials": int, "hydra/launcher": str, "trace": bool}


def resume(typed: list[str]) -> None:
    """Do what `resume=FOLDER [trainer.max_epochs=n] [trainer.threads=n] [sweep.n_trials=n] [hydra/launcher=...]` says."""
    path, changes, launcher = _read(typed)
    if not path.is_dir():
        raise TypedError(f"there is no folder {path}")
    if (path / "study.json").is_file():
        from ml2020.studies.study import resume_study

        return resume_study(path, changes, launcher)
    if (path / "sweep_jobs.json").is_file():
        from ml2020.studies.sweep import resume_sweep

        return resume_sweep(path, changes, launcher)
    if (path / "search.json").is_file():
        from ml2020.studies.search import resume_search

        return resume_search(path, changes, launcher)
    from ml2020.core.folder import RunFolder

    folder = RunFolder.open(path)
    if strange := [*(["sweep.n_trials"] if "n_trials" in changes else []), *launcher]:
        raise TypedError(f"{strange[0]} is for sweeps and searches; {path} is a single run")
    resume_run(folder, changes)


def _read(typed: list[str]) -> tuple[Path, dict[str, Any], list[str]]:
    """The folder, {last part of a key: new value}, and words about the launcher. Raises TypedError for all that would change what is
    trained."""
    from ml2020.core.config import load, parse

    path, changes, launcher = None, {}, []
    overrides = parse(typed)
    for override in overrides.groups + overrides.values + overrides.for_hydra:
        key, value = override.key_or_group, override.value()
        if override.is_sweep_override():
            raise TypedError(f"{override.input_line} names several values; with resume= give one")
        if key == "resume":
            path = Path(os.path.expanduser(str(value))) if value else None
        elif key == "hydra/launcher" or key.startswith("hydra.launcher."):
            launcher.append(override.input_line)
        elif key not in ALLOWED:
            meant = suggestion(key, ALLOWED, 0) or f"; with resume= only {', '.join(ALLOWED)} may be given"
            raise TypedError(f"{key} cannot be changed in a run that goes on{meant}")
        elif type(value) is not ALLOWED[key] or (ALLOWED[key] is int and value < 1):
            raise TypedError(f"{key} takes {'a whole number of at least 1' if ALLOWED[key] is int else 'true or false'}, not {value}")
        elif key != "trace":
            changes[key.rpartition(".")[2]] = value
    if path is None:
        raise TypedError("say which folder: resume=outputs/<task>/<date>_<time>")
    if launcher:
        load("train", launcher, multirun=True)
    return path, changes, launcher


def resume_run(folder: Any, changes: dict[str, Any]) -> None:
    """Go on with an interrupted or failed run, or train a finished one further. One that cannot go on is left as it was."""
    config = folder.whole_config()
    capabilities.refuse(config, "resume", "go on after a stop")
    before = config["trainer"]["max_epochs"]
    epochs = changes.get("max_epochs", before)
    if epochs < before:
        raise TypedError(f"trainer.max_epochs={epochs} is less than the {before} of the run; it can only grow")
    if folder.status == "finished" and epochs == before:
        terminal.say(f"{folder.path} is finished; with trainer.max_epochs={2 * before} it would be trained further")
        return
    if folder.status == "finished" and not list((folder.path / "checkpoints").rglob("last.ckpt")):
        raise UserError(f"{folder.path} is finished, and holds no last.ckpt to train it further from")
    folder.lock()
    before = {name: (folder.path / name).read_text() for name in ("config.yaml", "run.json")}
    folder.go_on(changes)
    begun = (folder.path / "run.json").read_text()
    terminal.say(f"{config['task']['name']} · {config['task']['title']}", style="bold")
    from ml2020.core.run import start

    try:
        start(folder)
    except Exception:
        if (folder.path / "run.json").read_text() == begun:  # it never began: the folder stays as it was
            for name, text in before.items():
                folder.write_text(name, text)
        raise
