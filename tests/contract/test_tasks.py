"""What every task owes its users; a new task is tested by existing."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ml2020.commands.evaluate import evaluate
from ml2020.core import capabilities
from ml2020.core.folder import RunFolder


def metrics(folder: RunFolder) -> dict:
    return json.loads((folder.path / "metrics.json").read_text())


def test_a_run_leaves_what_was_promised(quick_run: RunFolder):
    names = {file.name for file in quick_run.path.iterdir()}
    assert {"run.json", "config.yaml", "metrics.json", "metrics.csv", "train.log", "checkpoints", "figures"} <= names
    assert (quick_run.path / "figures" / "network.png").stat().st_size > 1000
    assert not list(quick_run.path.rglob("*.tmp"))


def test_run_json_says_who_what_and_on_what(quick_run: RunFolder):
    facts = quick_run.facts
    assert facts["status"] == "finished" and facts["schema"] == 1 and facts["threads"] == 1
    assert facts["seconds"] > 0 and facts["parameters"] > 0 and facts["versions"]["torch"]
    assert facts["data"]["name"] and facts["data"]["licence"] and facts["data"]["fingerprint"]
    assert all(count > 0 for count in facts["data"]["counts"].values())


def test_the_main_metric_is_a_validation_metric(quick_run: RunFolder):
    content = metrics(quick_run)
    assert content["main"]["name"].startswith("val/")
    assert content["main"]["value"] == content["val"][content["main"]["name"].split("/")[1]]
    assert "nonfinite" not in content


def test_every_checkpoint_loads_as_plain_data(quick_run: RunFolder):
    files = list(quick_run.path.rglob("*.ckpt"))
    assert {"best.ckpt", "last.ckpt"} <= {file.name for file in files}
    for file in files:
        assert torch.load(file, weights_only=True)["state_dict"]


def test_the_config_is_plain_and_resolved(quick_run: RunFolder):
    text = (quick_run.path / "config.yaml").read_text()
    assert "${" not in text and yaml.safe_load(text)["task"]["name"] == quick_run.facts["task"]


def test_event_files_hold_what_the_history_holds(quick_run: RunFolder):
    board = EventAccumulator(str(quick_run.path), size_guidance={"scalars": 0, "images": 0}).Reload()
    with (quick_run.path / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    for name in set(rows[0]) - {"step", "epoch", "phase", "seconds"}:
        kept = [(int(row["step"]), float(row[name])) for row in rows if row[name]]
        shown = [(event.step, event.value) for event in board.Scalars(name)]
        assert [step for step, _ in kept] == [step for step, _ in shown]
        assert [value for _, value in kept] == pytest.approx([value for _, value in shown], rel=1e-5)
    pictures = {file.stem for file in (quick_run.path / "figures").iterdir()}  # png, and gif
    assert set(board.Tags()["images"]) == pictures


def test_the_hparams_page_has_real_final_metrics(quick_run: RunFolder):
    board = EventAccumulator(str(quick_run.path)).Reload()
    tags = board.PluginTagToContent("hparams")
    assert {"_hparams_/experiment", "_hparams_/session_start_info", "_hparams_/session_end_info"} <= set(tags)
    assert board.Scalars("final/main")[0].value == pytest.approx(metrics(quick_run)["main"]["value"], rel=1e-5)


def test_eval_measures_the_same_in_a_folder_that_was_moved(quick_run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    moved = tmp_path / "elsewhere"
    shutil.copytree(quick_run.path, moved)
    seen = {}

    def keep(main: dict, results: dict) -> tuple:
        seen.update(results)
        return original(main, results)

    from ml2020.core import report

    original = report.metrics
    monkeypatch.setattr(report, "metrics", keep)
    assert evaluate([f"run={moved}", "do=test"]) == 0
    expected = metrics(quick_run)
    assert seen == {split: expected[split] for split in seen} and "val" in seen


def test_predict_writes_the_courses_file(quick_run: RunFolder, tmp_path: Path):
    if "predict" in capabilities.missing(quick_run.config()):
        pytest.skip("this homework has no submission")
    moved = tmp_path / "run"
    shutil.copytree(quick_run.path, moved)
    assert evaluate([f"run={moved}", "do=predict"]) == 0
    (file,) = moved.glob("submission.*")
    if file.suffix == ".npz":  # homework 11: pictures
        samples = np.load(file, allow_pickle=False)["samples"]
        assert len(samples) > 10 and samples.dtype == np.uint8 and samples.std() > 1
        return
    assert file.name == "submission.csv"
    with file.open() as stream:
        rows = list(csv.reader(stream))
    assert rows[0][0].lower() == "id" and len(rows) > 10
    assert [row[0].removeprefix("id_") for row in rows[1:4]] == ["0", "1", "2"]


def test_the_same_seed_gives_the_same_bits(quick_run: RunFolder, run_task: Callable[..., RunFolder]):
    again = run_task(f"task={quick_run.facts['task']}", "quick=true")
    assert metrics(again) == metrics(quick_run)
    name = next(n for n in ("checkpoints/final.ckpt", "checkpoints/last.ckpt") if (quick_run.path / n).is_file())
    one, two = (torch.load(run.path / name, weights_only=True)["state_dict"] for run in (again, quick_run))
    assert all(torch.equal(one[key], two[key]) for key in one)


# Rounding differs among processors, and a step that is too long multiplies it (hw03 at its own rate: 100,000 times in 20 steps).
GENTLE = {key: ["optimizer.lr=1e-4"] for key in ("hw03_cnn", "hw04_rnn", "hw13_meta", "hw14_lifelong", "hw15_rl")}


def golden(task: str) -> Path:
    return Path(__file__).parents[1] / "golden" / f"{task}.json"


def test_the_first_twenty_steps_follow_the_golden_curve(quick_run: RunFolder, run_task: Callable[..., RunFolder]):
    # Written anew by ML2020_GOLDEN=write make test, after a change that is meant to change the numbers.
    task = quick_run.facts["task"]
    words = ["trainer.log_every=1", "trainer.max_epochs=3", "trainer.channels_last=false", *GENTLE.get(task, [])]
    run = run_task(f"task={task}", "quick=true", *words)
    with (run.path / "metrics.csv").open() as file:
        losses = [float(row["train/loss"]) for row in csv.DictReader(file) if row["train/loss"]][:20]
    if os.environ.get("ML2020_GOLDEN") == "write":
        golden(task).write_text(json.dumps(losses) + "\n")
    if not golden(task).is_file():
        pytest.skip(f"{task} has no golden curve yet: ML2020_GOLDEN=write make test")
    assert losses == pytest.approx(json.loads(golden(task).read_text()), rel=1e-4)
