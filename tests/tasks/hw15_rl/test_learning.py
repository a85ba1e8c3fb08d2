"""Whole runs: what is learnt, and going on after a stop."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from ml2020.commands.resume import resume_run
from ml2020.commands.train import train
from ml2020.core.folder import RunFolder
from ml2020.tasks.hw15_rl import figures

TIMES = ("seconds", "train/steps_per_second")
SHORT = ["task=hw15_rl", "data=hw15_cartpole", "data.updates=4", "data.val_episodes=2", "data.test_episodes=2", "trainer.max_epochs=2"]
SMALL = {
    "hw15_ppo": ["model.envs=2", "model.horizon=64"],
    "hw15_reinforce": ["model.envs=2"],
    "hw15_actor_critic": ["model.envs=2", "trainer.log_every=1"],
    "hw15_dqn": ["model.envs=2", "model.warm_up=20", "model.target_every=2", "trainer.log_every=1"],
}


def history(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open() as file:
        return [{name: value for name, value in row.items() if name not in TIMES} for row in csv.DictReader(file)]


@pytest.mark.parametrize(
    ("model", "step"), [("hw15_dqn", 6), *(pytest.param(name, 3, marks=pytest.mark.full) for name in SMALL if name != "hw15_dqn")]
)
def test_a_stopped_run_ends_with_the_same_bits(
    model: str, step: int, run_task: Callable[..., RunFolder], tmp_path: Path, stopped_at: Callable
):
    # About 5 s each. The environments stand in the middle of their episodes; the memory of hw15_dqn is in the checkpoint too.
    words = [*SHORT, f"model={model}", *SMALL[model]]
    whole = run_task(*words)
    with stopped_at(step):
        train([*words, "trainer.threads=1", f"output_dir={tmp_path}"])
    (run,) = tmp_path.glob("*/*")
    resume_run(RunFolder.open(run), {})
    assert (run / "metrics.json").read_text() == (whole.path / "metrics.json").read_text()
    assert history(run) == history(whole.path)
    one, two = (torch.load(path / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"] for path in (run, whole.path))
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.full
def test_cartpole_is_solved_in_under_half_a_minute(run_task: Callable[..., RunFolder]):
    # About 15 s of one free thread. The environment calls 475 of 500 solved.
    run = run_task("task=hw15_rl", "data=hw15_cartpole")
    test = run.metrics()["test"]
    assert test["return"] >= 475 and test["solved"] >= 0.9
    assert {"episode.gif", "film.png", "return.png", "actions.png", "value.png"} <= {
        file.name for file in (run.path / "figures").iterdir()
    }


def test_the_interquartile_mean_is_that_of_the_middle_half():
    assert figures.iqm([-900.0, 1.0, 2.0, 3.0, 50.0]) == 2.0
    low, high = figures.interval([200.0] * 5)
    assert low == high == 200.0
    low, high = figures.interval([100.0, 200.0, 210.0, 220.0, 300.0])
    assert 100 < low < 210 < high < 300


def test_a_study_is_drawn_with_curves_that_end_at_different_steps():
    rows = [
        {
            "label": label,
            "test/return": 10.0 * seed + shift,
            "test/sampled_return": 10.0 * seed - shift,
            "history": [{"val/return": float(k), "val/env_steps": 100.0 * k + seed} for k in range(1, 4)],
        }
        for label, shift in (("a", 0.0), ("b", 50.0))
        for seed in range(5)
    ]
    figure = figures.study(rows, [])
    left, right = figure.axes
    assert [text.get_text() for text in left.get_legend().get_texts()] == ["a", "b"]
    assert [bar.get_width() for bar in right.patches] == [20.0, 70.0]  # the middle three of 0, 10, 20, 30, 40
    assert [line.get_xdata()[0] for line in right.lines if line.get_marker() == "D"] == [20.0, -30.0]
    bottom, top = left.get_ylim()
    assert bottom < 1 < 3 < top  # validation goes from 1 to 3
