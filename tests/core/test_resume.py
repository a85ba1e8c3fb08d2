"""A run that is stopped anywhere ends with the same bits as one that is not: checked on the toy homework of three phases."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ml2020.commands.resume import resume_run
from ml2020.core import build as building
from ml2020.core import checkpoints, loop
from ml2020.core.config import load, plain
from ml2020.core.errors import TypedError, UserError
from ml2020.core.folder import RunFolder, new_run
from ml2020.core.run import start

WORDS = ["task=hw03_cnn", "trainer.threads=1", "trainer.log_every=2", "trainer.ema_decay=0.9", "trainer.max_epochs=3"]
STEPS = 2 * 6 + 3 * 9 + 9  # first: 42 in batches of 8; second: 72 in batches of 8; third: nine steps


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Callable[..., RunFolder]:
    """Makes the folder of a toy run."""
    monkeypatch.setattr(building, "ALLOWED", (*building.ALLOWED, "toy."))
    monkeypatch.syspath_prepend(Path(__file__).parent)

    def make(path: Path, kind: str = "Plane", goal: str = "min", **trainer: Any) -> RunFolder:
        cfg, choices = load("train", WORDS)
        config = plain(cfg)
        config["model"], config["data"] = {"_target_": f"toy.{kind}"}, {"_target_": "toy.Numbers"}
        config["task"] |= {"name": "toy", "title": "a toy", "main": {"name": "val/mse", "goal": goal}, "table": {"val/mse": "error"}}
        config["trainer"] |= {"bar": False, "channels_last": False} | trainer
        config["optimizer"]["lr"], config["scheduler"] = 0.01, {"_target_": "ml2020.core.optim.cosine", "warmup": 0.1, "final": 0.1}
        return new_run(config, choices, [], path)

    return make


def content(folder: Path) -> dict[str, Any]:
    with (folder / "metrics.csv").open() as file:
        rows = [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]
    board = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    weights = {str(f.relative_to(folder)): torch.load(f, weights_only=True)["state_dict"] for f in folder.rglob("*.ckpt")}
    return {
        "metrics": (folder / "metrics.json").read_text(),
        "rows": rows,
        # Sorted: the files of one process within one second are not read in the order in which they were made.
        "events": {tag: sorted((e.step, e.value) for e in board.Scalars(tag)) for tag in board.Tags()["scalars"]},
        "weights": {f"{file}:{name}": tensor.tolist() for file, state in weights.items() for name, tensor in state.items()},
    }


@pytest.fixture(scope="module")
def undisturbed() -> dict[str, Any]:
    return {}


def whole(undisturbed: dict[str, Any], toy: Callable[..., RunFolder], path: Path, **trainer: Any) -> dict[str, Any]:
    """The run that nothing stops, once for each setting."""
    key = json.dumps(trainer, sort_keys=True)
    if key not in undisturbed:
        start(toy(path / "whole", **trainer))
        undisturbed[key] = content(path / "whole")
    return undisturbed[key]


def test_the_phases_run_in_order_and_leave_what_they_should(toy: Callable[..., RunFolder], tmp_path: Path):
    start(toy(tmp_path / "run"))
    with (tmp_path / "run" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(dict.fromkeys(row["phase"] for row in rows)) == ["first", "second", "third"]
    assert int(rows[-1]["step"]) == STEPS
    places = {str(f.relative_to(tmp_path / "run" / "checkpoints")) for f in (tmp_path / "run").rglob("*.ckpt")}
    each = {f"{phase}/{name}.ckpt" for phase in ("first", "second", "third") for name in ("best", "last")}
    assert places == each | {"label/last.ckpt", "final.ckpt"}
    final = torch.load(tmp_path / "run" / "checkpoints" / "final.ckpt", weights_only=True)
    assert len(final["labels"]) == 30


@pytest.mark.parametrize(("keep", "place"), [("best", 0), ("last", -1)])
def test_the_weights_of_the_last_validation_are_kept_if_asked_for(keep: str, place: int, toy: Callable[..., RunFolder], tmp_path: Path):
    """The error falls with every epoch, so that the first is the best where more is better."""
    start(toy(tmp_path / "run", "OnePhase", goal="max", keep=keep))
    with (tmp_path / "run" / "metrics.csv").open() as file:
        errors = [float(row["val/mse"]) for row in csv.DictReader(file) if row["val/mse"]]
    assert errors == sorted(errors, reverse=True) and len(set(errors)) == 3
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["val"]["mse"] == pytest.approx(errors[place], rel=1e-6)
    last = torch.load(tmp_path / "run" / "checkpoints" / "best.ckpt", weights_only=True)
    assert last["main"] == pytest.approx(errors[place], rel=1e-6)


# In the first epoch, at an epoch's last batch, at a phase's last step, in the second phase, in the third, at the last step of all.
@pytest.mark.parametrize("step", [1, 5, 6, 12, 13, 20, 21, 39, 40, 46, STEPS])
def test_a_run_stopped_at_any_step_ends_with_the_same_bits(
    step: int, toy: Callable[..., RunFolder], undisturbed: dict, tmp_path: Path, stopped_at: Callable
):
    expected = whole(undisturbed, toy, tmp_path)
    folder = toy(tmp_path / "run")
    with stopped_at(step) as end:
        start(folder)
    assert end.value.code == 143
    again = RunFolder.open(folder.path)
    assert again.status == "interrupted"
    resume_run(again, {})
    assert RunFolder.open(folder.path).status == "finished"
    assert content(folder.path) == expected


@pytest.mark.parametrize("phase", ["label", "second", "third"])
def test_a_run_that_dies_between_two_phases_ends_with_the_same_bits(
    phase: str, toy: Callable[..., RunFolder], undisturbed: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    expected = whole(undisturbed, toy, tmp_path)
    folder = toy(tmp_path / "run")
    from toy import Plane

    def dies(self: Any, begun: Any) -> None:
        if begun.name == phase:
            raise OSError("the machine is gone")
        Plane.real_start(self, begun)

    Plane.real_start = Plane.on_phase_start
    with monkeypatch.context() as patch, pytest.raises(OSError, match="gone"):
        patch.setattr(Plane, "on_phase_start", dies)
        start(folder)
    resume_run(RunFolder.open(folder.path), {})
    assert content(folder.path) == expected


OTHERS = [{"accumulate": 2}, {"check_val_every": 2}, {"patience": 1}, {"ema_decay": 0.0}, {"precision": "64-true"}]


@pytest.mark.parametrize("trainer", OTHERS)
@pytest.mark.parametrize("step", [9, 17])
def test_the_same_holds_with_other_settings(
    trainer: dict, step: int, toy: Callable[..., RunFolder], undisturbed: dict, tmp_path: Path, stopped_at: Callable
):
    expected = whole(undisturbed, toy, tmp_path, **trainer)
    folder = toy(tmp_path / "run", **trainer)
    with stopped_at(step):
        start(folder)
    resume_run(RunFolder.open(folder.path), {})
    assert content(folder.path) == expected


def test_a_run_killed_before_its_first_checkpoint_starts_again_in_its_folder(
    toy: Callable[..., RunFolder], undisturbed: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    expected = whole(undisturbed, toy, tmp_path)
    folder = toy(tmp_path / "run")
    with monkeypatch.context() as patch, pytest.raises(RuntimeError):
        patch.setattr(loop.Conductor, "save", lambda *args: (_ for _ in ()).throw(RuntimeError("killed")))
        start(folder)
    assert (folder.path / "metrics.csv").is_file()
    resume_run(RunFolder.open(folder.path), {})
    assert content(folder.path) == expected


def test_a_finished_run_can_be_trained_further_and_its_schedule_is_stretched(toy: Callable[..., RunFolder], tmp_path: Path):
    folder = toy(tmp_path / "run", kind="OnePhase", max_epochs=2)
    start(folder)
    before = (folder.path / "metrics.json").read_text()
    with pytest.raises(TypedError, match="can only grow"):
        resume_run(RunFolder.open(folder.path), {"max_epochs": 1})
    resume_run(RunFolder.open(folder.path), {})  # says that it is finished, and does nothing
    assert (folder.path / "metrics.json").read_text() == before
    resume_run(RunFolder.open(folder.path), {"max_epochs": 5})
    with (folder.path / "metrics.csv").open() as file:
        rates = {int(row["step"]): float(row["train/lr"]) for row in csv.DictReader(file) if row["train/lr"]}
    # 30 steps: 3 of them rise, 27 fall by half a cosine from 0.01 to 0.001; the rate that is logged is the one of the next step.
    falling = [0.001 + 0.009 * (1 + math.cos(math.pi * (step - 3) / 27)) / 2 for step in range(31)]
    assert max(rates) == 30
    assert [rates[step] for step in (14, 20, 28)] == pytest.approx([falling[step] for step in (14, 20, 28)])


def test_a_second_process_is_refused(toy: Callable[..., RunFolder], tmp_path: Path):
    folder = toy(tmp_path / "run")
    with pytest.raises(UserError, match="in use by another process"):
        RunFolder.open(folder.path).lock()
    assert folder.status == "waiting"
    folder.unlock()
    assert RunFolder.open(folder.path).status == "interrupted"


def test_a_torn_checkpoint_is_one_sentence(toy: Callable[..., RunFolder], tmp_path: Path, stopped_at: Callable):
    folder = toy(tmp_path / "run")
    with stopped_at(9):
        start(folder)
    file = folder.path / "checkpoints" / "first" / "last.ckpt"
    file.write_bytes(file.read_bytes()[:500])
    with pytest.raises(UserError, match="cannot be read: it is torn"):
        resume_run(RunFolder.open(folder.path), {})


def test_random_states_go_on_where_they_were():
    import random

    import numpy as np

    state = checkpoints.random_states()
    first = [torch.rand(3).tolist(), np.random.rand(3).tolist(), random.random(), np.random.randn()]
    checkpoints.set_random_states(state)
    assert [torch.rand(3).tolist(), np.random.rand(3).tolist(), random.random(), np.random.randn()] == first
