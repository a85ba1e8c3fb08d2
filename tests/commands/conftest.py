"""Run folders written by hand: what a run leaves, without the run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

MakeRun = Callable[..., Path]

CONFIG = {
    "seed": 0,
    "quick": False,
    "task": {"name": "hw03_cnn", "title": "a title", "main": {"name": "val/acc", "goal": "max"}, "quick": {"trainer.max_epochs": 1}},
    "trainer": {"max_epochs": 10},
    "optimizer": {"_target_": "torch.optim.Adam", "lr": 0.001},
    "model": {"_target_": "ml2020.tasks.hw03_cnn.model.Classifier", "net": {"dense": []}, "brings": {"optimizer.lr": 0.1}},
    "data": {"seed": 4},
}
DATA = {
    "name": "drawings",
    "kind": "rendered",
    "licence": "free",
    "fingerprint": "aaaa",
    "counts": {"for training": 3000, "for the test": 9},
}
METRICS = {"main": {"name": "val/acc", "goal": "max", "value": 0.5}, "val": {"acc": 0.5, "loss": 1.0}, "test": {"acc": 0.4}}


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`base` with `changes` put in, block by block."""
    both = {key: merged(base[key], value) if isinstance(value, dict) and key in base else value for key, value in changes.items()}
    return base | both


@pytest.fixture
def outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The default output folder, in an empty working folder; a cache that is not there yet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ML2020_OUTPUT_DIR", raising=False)
    monkeypatch.setenv("ML2020_CACHE_DIR", str(tmp_path / "cache"))
    return Path("outputs")


@pytest.fixture
def make_run(outputs: Path) -> MakeRun:
    """make_run(name, config={...}, metrics={...}, status=..., ...): the folder outputs/hw03_cnn/<name> of a run."""

    def make(name: str, config: dict | None = None, metrics: dict | None = METRICS, **facts: Any) -> Path:
        path = outputs / "hw03_cnn" / name
        path.mkdir(parents=True)
        said = {"schema": 1, "status": "finished", "started": f"2026-11-23T{10 + len(list(outputs.rglob('run.json'))):02}:00:00+0000"}
        said |= {"task": "hw03_cnn", "model": "hw03_cnn", "data_option": "hw03_sample", "seed": 0, "command": "python train.py"}
        said |= {"seconds": 12.3, "parameters": 1000, "data": DATA, "overrides": []}
        (path / "config.yaml").write_text(yaml.safe_dump(merged(CONFIG, config or {})))
        (path / "run.json").write_text(json.dumps(said | facts))
        if metrics is not None:
            (path / "metrics.json").write_text(json.dumps(metrics))
        return path

    return make
