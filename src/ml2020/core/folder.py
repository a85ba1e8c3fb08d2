"""A run's folder: who made it, with what, how far it came. Plain files that need nothing but a text editor to be read."""

from __future__ import annotations

import fcntl
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

from ml2020.core.conf import CONF
from ml2020.core.errors import TypedError, UserError

SCHEMA = 1
_PACKAGES = ("torch", "torchvision", "pytorch-lightning", "hydra-core", "numpy")
# What a run needs to be measured again or to go on, beside what its homework needs, with a value of its type.
_OF_CONFIG = {"seed": 0, "quick": False, "trainer.max_epochs": 1, "optimizer.lr": 0.1, "task.table": {}}
_OF_CONFIG |= dict.fromkeys(("task.name", "task.title", "task.main.name", "task.main.goal"), "")
_OF_CONFIG |= {f"{block}._target_": "" for block in ("model", "data", "optimizer", "scheduler")}
_OF_FACTS = {"status": "", "task": "", "model": "", "data_option": "", "overrides": []}


class RunFolder:
    """One folder under outputs/. Created when the config is known to be right, locked for the life of the process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.facts: dict[str, Any] = {}
        self._lock = None

    @classmethod
    def create(cls, path: Path, facts: dict[str, Any], config: dict[str, Any]) -> RunFolder:
        """A new folder; a second one made within the same second gets a number behind its name."""
        parent, name = path.parent, path.name
        try:
            parent.mkdir(parents=True, exist_ok=True)
            for attempt in range(1, 1000):
                try:
                    path.mkdir()
                    break
                except FileExistsError:
                    if not any(path.iterdir()):
                        break
                    path = parent / f"{name}~{attempt + 1}"
        except OSError as error:
            there = next(place for place in path.parents if os.path.exists(place))
            if not there.is_dir():
                raise TypedError(f"{there} is a file, and runs go into a folder; type output_dir= with another one") from None
            raise UserError(f"the folder for the run, {path}, cannot be made: {error.strerror}; output_dir= chooses another") from None
        folder = cls(path)
        folder.lock()
        folder.write_config(config)
        folder.update(schema=SCHEMA, status="waiting", started=f"{datetime.now().astimezone():%Y-%m-%dT%H:%M:%S%z}", **facts)
        return folder

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """The folder of an earlier run, for reading."""
        file = path / "run.json"
        if not file.is_file() or not (path / "config.yaml").is_file():
            raise TypedError(f"{path} is not the folder of a run (it holds no run.json and config.yaml)")
        folder = cls(path)
        folder.reload()
        return folder

    def reload(self) -> None:
        """Read run.json again: the workers of a run write it too."""
        file = self.path / "run.json"
        try:
            self.facts = json.loads(file.read_text())
        except (ValueError, OSError, RecursionError):
            self.facts = None
        if not isinstance(self.facts, dict) or not {"status", "task"} <= set(self.facts):
            raise UserError(f"{file} cannot be read as the JSON of a run")

    def lock(self) -> None:
        """Refuse a second process on this folder; the system frees the lock when this one and its workers have ended."""
        self._lock = (self.path / ".lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(f"{self.path} is in use by another process") from None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """The lock for a while."""
        self.lock()
        try:
            yield
        finally:
            self.unlock()

    @property
    def lock_file(self) -> tuple[int, ...]:
        """The lock's file descriptor, for processes that work on this folder too."""
        return () if self._lock is None else (self._lock.fileno(),)

    def unlock(self) -> None:
        """Let others have the folder."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    @property
    def status(self) -> str:
        """The status in run.json; one that says it is running, or about to, and is not locked was interrupted.

        A job of a list (it has a number) may wait for its turn.
        """
        said = self.facts.get("status", "unknown")
        alive = said == "running" or (said == "waiting" and "job" not in self.facts)
        return "interrupted" if alive and self._lock is None and not in_use(self.path) else said

    def update(self, **facts: Any) -> None:
        """Change facts in run.json."""
        self.facts |= facts
        self.write_json("run.json", self.facts)

    def config(self) -> dict[str, Any]:
        """The resolved config that the run was made with."""
        try:
            content = yaml.safe_load((self.path / "config.yaml").read_text())
        except (yaml.YAMLError, ValueError, OSError, RecursionError):
            content = None
        blocks = [content.get(name) for name in ("task", "model", "data", "trainer")] if isinstance(content, dict) else [None]
        if not all(isinstance(block, dict) for block in blocks) or "seed" not in content:
            raise UserError(f"{self.path / 'config.yaml'} cannot be read as the config of a run")
        return content

    def whole_config(self) -> dict[str, Any]:
        """`config()` for going on with the run: with the trainer's keys that are newer than it.

        Raises UserError where a key that every run has is missing in config.yaml or run.json, or has a value of another type.
        """
        config = self.config()
        defaults = yaml.safe_load((CONF / "trainer" / "default.yaml").read_text())
        examples = _OF_CONFIG | {f"trainer.{key}": example for key, example in defaults.items() if key in config["trainer"]}
        for name, content, keys in (("config.yaml", config, examples), ("run.json", self.facts, _OF_FACTS)):
            for key, example in keys.items():
                value = content
                for part in key.split("."):
                    value = value.get(part) if isinstance(value, dict) else None
                if not _fits(value, example):
                    raise UserError(f"{self.path / name} has no {key} that fits: it is of another version, or was changed by hand")
        config["trainer"] = defaults | config["trainer"]
        return config

    def go_on(self, changes: dict[str, Any]) -> None:
        """Note that the run goes on, with `changes` to the trainer's keys."""
        config = self.whole_config()
        config["trainer"] |= changes
        self.write_config(config)
        self.update(resumed=[*self.facts.get("resumed", []), f"{datetime.now().astimezone():%Y-%m-%dT%H:%M:%S%z}"])

    def metrics(self) -> dict[str, Any]:
        """The content of metrics.json. Raises UserError where there is none, half of one, or another file of that name."""
        try:
            content = json.loads((self.path / "metrics.json").read_text())
            values = [value for split, values in content.items() if split != "nonfinite" for value in values.values()]
            good = all(isinstance(value, int | float | str | None) for value in values)
        except (OSError, ValueError, AttributeError, RecursionError):
            good = False
        if not good:
            raise UserError(f"{self.path} holds no readable metrics.json")
        return content

    def write_config(self, config: dict[str, Any]) -> None:
        self.write_text("config.yaml", yaml.safe_dump(config, sort_keys=False, allow_unicode=True))

    def write_json(self, name: str, content: Any) -> None:
        self.write_text(name, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")

    def write_text(self, name: str, text: str) -> None:
        """Write beside the target, then rename: a reader never sees half a file."""
        self.write_bytes(name, text.encode("utf8"))

    def write_bytes(self, name: str, content: bytes) -> None:
        """The same of bytes."""
        target = self.path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        half = target.with_name(target.name + ".tmp")
        half.write_bytes(content)
        os.replace(half, target)

    def remove(self) -> None:
        """Leave nothing of a run that never began."""
        self.unlock()
        shutil.rmtree(self.path, ignore_errors=True)
        for parent in list(self.path.parents)[:2]:
            try:
                parent.rmdir()
            except OSError:
                break


def in_use(path: Path) -> bool:
    """Whether a process works in this folder: its lock is not free."""
    try:
        with (path / ".lock").open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def _fits(value: Any, example: Any) -> bool:
    """Whether a value is of the type of `example`: an int does for a float, anything for null."""
    if example is None or isinstance(example, bool) or isinstance(value, bool):
        return example is None or (isinstance(example, bool) and isinstance(value, bool))
    return isinstance(value, int | float if isinstance(example, float) else type(example))


def new_run(config: dict[str, Any], choices: dict[str, str | None], typed: list[str], path: Path | None = None) -> RunFolder:
    """The folder of a new run, with what run.json says of it before it begins."""
    if path is None:
        name = f"{datetime.now():%Y-%m-%d_%H-%M-%S}" + (f"_{config['name']}" if config["name"] else "")
        path = Path(config["output_dir"]) / config["task"]["name"] / name
    facts = {
        "task": config["task"]["name"],
        "seed": config["seed"],
        "command": shlex.join(["python", "train.py", *typed]),
        "overrides": [word for word in typed if not word.startswith("task=")],
        "model": choices["model"],
        "data_option": choices["data"],
    }
    return RunFolder.create(path, facts, config)


def machine_facts() -> dict[str, Any]:
    """What the run was made with, as far as a later reader could need it."""
    return {
        "git": _git_commit(),
        "versions": {"python": platform.python_version()} | {name: metadata.version(name) for name in _PACKAGES},
        "machine": {
            "system": f"{platform.system()} {platform.machine()}",
            "processor": _processor(),
            "cores": os.cpu_count(),
        },
    }


def _git_commit() -> str | None:
    root = Path(__file__).resolve().parents[3]
    try:
        commit = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, timeout=5, check=True
        ).stdout.strip()
        dirty = subprocess.run(["git", "status", "--porcelain"], cwd=root, capture_output=True, text=True, timeout=5).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
    return commit + ("+changes" if dirty else "")


def _processor() -> str:
    try:
        return re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())[1]
    except (OSError, TypeError):
        return platform.processor() or sys.platform
