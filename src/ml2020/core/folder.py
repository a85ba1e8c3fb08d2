"""A run's folder: who made it, with what, how far it came. Plain files that need nothing but a text editor to be read."""

from __future__ import annotations

import fcntl
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

from ml2020.core.errors import TypedError, UserError

SCHEMA = 1
_PACKAGES = ("torch", "torchvision", "pytorch-lightning", "hydra-core", "numpy")


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
            raise UserError(f"the folder for the run, {path}, cannot be made: {error.strerror}") from None
        folder = cls(path)
        folder.lock()
        folder.write_text("config.yaml", yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
        folder.update(schema=SCHEMA, status="running", started=f"{datetime.now().astimezone():%Y-%m-%dT%H:%M:%S%z}", **facts)
        return folder

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """The folder of an earlier run, for reading."""
        file = path / "run.json"
        if not file.is_file() or not (path / "config.yaml").is_file():
            raise TypedError(f"{path} is not the folder of a run (it holds no run.json and config.yaml)")
        folder = cls(path)
        try:
            folder.facts = json.loads(file.read_text())
        except ValueError:
            raise UserError(f"{file} cannot be read as JSON") from None
        return folder

    def lock(self) -> None:
        """Refuse a second process on this folder; the system frees the lock when this one ends."""
        self._lock = (self.path / ".lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(f"{self.path} is in use by another process") from None

    def update(self, **facts: Any) -> None:
        """Change facts in run.json."""
        self.facts |= facts
        self.write_json("run.json", self.facts)

    def config(self) -> dict[str, Any]:
        """The resolved config that the run was made with."""
        try:
            return yaml.safe_load((self.path / "config.yaml").read_text())
        except yaml.YAMLError:
            raise UserError(f"{self.path / 'config.yaml'} cannot be read as YAML") from None

    def write_json(self, name: str, content: Any) -> None:
        self.write_text(name, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")

    def write_text(self, name: str, text: str) -> None:
        """Write beside the target, then rename: a reader never sees half a file."""
        target = self.path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        half = target.with_name(target.name + ".tmp")
        half.write_text(text, encoding="utf8")
        os.replace(half, target)

    def remove(self) -> None:
        """Leave nothing of a run that never began."""
        if self._lock is not None:
            self._lock.close()
        shutil.rmtree(self.path, ignore_errors=True)
        for parent in list(self.path.parents)[:2]:
            try:
                parent.rmdir()
            except OSError:
                break


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
