"""Models that add up sums in a pass instead of descending: they stop, resume and share their work like all others."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from ml2020.commands.resume import resume_run
from ml2020.commands.train import train
from ml2020.core.folder import RunFolder

ROOT = Path(__file__).parents[2]
SMALL = {
    "hw01_closed_form": ["task=hw01_regression", "data.batch_size=700"],
    "hw01_best": ["task=hw01_regression", "data.batch_size=700", "model.passes=3"],
    "hw02_generative": ["task=hw02_classification", "data.train_size=3001", "data.batch_size=500"],
    "hw02_newton": ["task=hw02_classification", "data.train_size=3001", "data.batch_size=500", "model.l2=1e-4"],
}
models = pytest.mark.parametrize("model", SMALL)


def words(model: str) -> list[str]:
    return [f"model={model}", *SMALL[model], "trainer.threads=1"]


@pytest.fixture(scope="module")
def whole(run_task: Callable[..., RunFolder]) -> Callable[[str], RunFolder]:
    """The run that nothing stops, once for each model."""
    made: dict[str, RunFolder] = {}
    return lambda model: made.setdefault(model, run_task(*words(model))) if model not in made else made[model]


def weights(run: Path) -> dict[str, torch.Tensor]:
    return torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


@models
def test_stopped_in_the_middle_of_a_pass_it_ends_with_the_same_bits(
    model: str, whole: Callable[[str], RunFolder], tmp_path: Path, stopped_at: Callable
):
    with stopped_at(4):
        train([*words(model), f"output_dir={tmp_path}"])
    (run,) = tmp_path.glob("*/*")
    resume_run(RunFolder.open(run), {})
    assert (run / "metrics.json").read_text() == (whole(model).path / "metrics.json").read_text()
    assert all(torch.equal(tensor, weights(whole(model).path)[name]) for name, tensor in weights(run).items())


@pytest.mark.parametrize("model", [pytest.param(name, marks=() if name == "hw02_newton" else pytest.mark.full) for name in SMALL])
def test_two_processes_find_the_weights_of_one(model: str, whole: Callable[[str], RunFolder], tmp_path: Path):
    # 3,001 rows in batches of 500: the last batch has one row, so one of the two processes has none of it.
    line = [sys.executable, "train.py", *words(model), "trainer.devices=2", f"output_dir={tmp_path}"]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    (run,) = tmp_path.glob("*/*")
    assert RunFolder.open(run).facts["processes"] == 2
    for name, tensor in weights(whole(model).path).items():
        torch.testing.assert_close(weights(run)[name], tensor, rtol=1e-9, atol=1e-9)
    one, two = (json.loads((path / "metrics.json").read_text()) for path in (whole(model).path, run))
    assert two["main"]["value"] == pytest.approx(one["main"]["value"], abs=1e-9)
