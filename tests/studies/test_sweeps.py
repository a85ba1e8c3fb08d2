"""Sweeps: which jobs there are, how they are ranked and drawn, and what happens when a launcher's worker dies."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.utils import JobStatus

from ml2020.core.conf import CONF
from ml2020.core.errors import TypedError, UserError
from ml2020.core.folder import RunFolder
from ml2020.studies import jobs, picture, summary, sweep

TYPED = ["task=hw01_regression", "quick=true", "optimizer.lr=0.1,1", "model.l2=0,1", "seed=0,1,2"]


def test_jobs_are_the_product_of_the_values_the_last_key_running_fastest(tmp_path: Path):
    made = sweep.expand(TYPED, tmp_path)
    assert len(made) == 12 and [job.number for job in made] == list(range(12))
    assert made[1].words == ["task=hw01_regression", "quick=true", "optimizer.lr=0.1", "model.l2=0", "seed=1"]
    assert made[7].label == "optimizer.lr=1 model.l2=0 seed=1"
    assert made[7].folder == tmp_path / "7_optimizer.lr=1,model.l2=0,seed=1"


def test_words_without_values_to_sweep_are_one_job(tmp_path: Path):
    (job,) = sweep.expand(["task=hw01_regression"], tmp_path)
    assert job.label == "the only one" and job.words == ["task=hw01_regression"]


def test_a_range_and_a_choice_are_lists_of_values(tmp_path: Path):
    made = sweep.expand(["task=hw01_regression", "data.hours=range(3,9,2)", "optimizer=choice(hw01_sgd,hw01_adam)"], tmp_path)
    assert [job.label for job in made][:3] == [f"data.hours=3 optimizer={name}" for name in ("hw01_sgd", "hw01_adam")] + [
        "data.hours=5 optimizer=hw01_sgd"
    ]


def test_an_interval_is_for_a_search(tmp_path: Path):
    with pytest.raises(TypedError, match=r"has no end of values; a search draws from it: python train.py -m sweep=optuna"):
        sweep.expand(["task=hw01_regression", "optimizer.lr=interval(0.1,1)"], tmp_path)


def test_a_list_of_jobs_that_was_changed_is_refused(tmp_path: Path):
    made = sweep.expand(TYPED, tmp_path)
    said = {"typed": TYPED, "jobs": [job.words for job in made]}
    sweep.same_list(tmp_path, made, said)
    said["jobs"][3] = [*said["jobs"][3][:-1], "seed=7"]
    with pytest.raises(TypedError, match=r"does not list the jobs of python train.py -m task=hw01_regression"):
        sweep.same_list(tmp_path, made, said)


def test_a_job_that_is_another_than_its_number_says_is_refused(tmp_path: Path):
    made = sweep.expand(TYPED, tmp_path)
    said = {"typed": TYPED, "jobs": [job.words for job in made]}
    ended(made[2].folder, 0.5, overrides=made[3].words[1:])
    with pytest.raises(TypedError, match=r"is not job 2 of this sweep any more"):
        sweep.same_list(tmp_path, made, said)


def ended(folder: Path, value: float | None, overrides: Sequence[str], status: str = "finished", goal: str = "min") -> None:
    """A job's folder as its end leaves it; `value` is val/rmse, and test/rmse is twice as much."""
    folder.mkdir(parents=True)
    seed = next((int(word[5:]) for word in overrides if word.startswith("seed=")), 0)
    facts = {"status": status, "task": "hw01_regression", "label": "", "overrides": list(overrides), "seed": seed, "seconds": 1.0}
    facts |= {"job": 0} if status == "waiting" else {}
    facts |= {"error": None if status == "finished" else "it broke", "command": "python train.py " + " ".join(overrides), "steps": 10}
    (folder / "run.json").write_text(json.dumps(facts | {"data": {"name": "toy data"}}))
    (folder / "config.yaml").write_text("task: {name: toy}\nmodel: {}\ndata: {}\ntrainer: {}\nseed: 0\n")
    if value is not None:
        content = {"main": {"name": "val/rmse", "goal": goal, "value": value}, "val": {"rmse": value}, "test": {"rmse": 2 * value}}
        (folder / "metrics.json").write_text(json.dumps(content))


def sweep_of(folder: Path, values: dict[tuple[str, ...], float | None]) -> list[dict[str, Any]]:
    for number, (words, value) in enumerate(values.items()):
        ended(folder / f"{number}_x", value, words, "finished" if value is not None else "failed")
    return summary.write(folder)


def test_seeds_become_a_mean_and_a_spread_and_the_least_error_comes_first(tmp_path: Path):
    values = {("optimizer.lr=1", "seed=0"): 5.0, ("optimizer.lr=1", "seed=1"): 7.0, ("optimizer.lr=10", "seed=0"): 4.0}
    found = sweep_of(tmp_path, values | {("optimizer.lr=10", "seed=1"): None})
    ranked = summary.groups(found, {"name": "val/rmse", "goal": "min"})
    assert [(one["words"], one["main"], one["seeds"], one["jobs"]) for one in ranked] == [
        ("optimizer.lr=10", 4.0, 1, 2),
        ("optimizer.lr=1", 6.0, 2, 2),
    ]
    assert ranked[1]["main_sd"] == pytest.approx(math.sqrt(2)) and ranked[1]["test"] == 12.0 and ranked[0]["main_sd"] is None
    lines = summary.table(ranked, {"name": "val/rmse", "goal": "min"})
    assert lines[0] == ("", "val/rmse", "test", "seeds") and lines[2] == ("optimizer.lr=1", "6 ± 1.4", "12 ± 2.8", "2")


def test_the_summary_names_what_failed_and_how_to_repeat_the_best(tmp_path: Path, capsys: pytest.CaptureFixture):
    sweep_of(tmp_path, {("optimizer.lr=1", "name=x"): 5.0, ("optimizer.lr=10", "name=x"): 4.0, ("optimizer.lr=30", "name=x"): None})
    with pytest.raises(UserError, match=r"1 of 3 jobs did not finish; to try them again: python train.py resume="):
        summary.close(tmp_path)
    said = capsys.readouterr().out
    assert "failed: 2_x: it broke" in said and "the best again: python train.py optimizer.lr=10\n" in said
    assert (tmp_path / "sweep.png").stat().st_size > 5_000


def test_a_pruned_job_is_no_failed_one(tmp_path: Path):
    ended(tmp_path / "0_x", 4.0, ["optimizer.lr=1"])
    ended(tmp_path / "1_x", None, ["optimizer.lr=2"], status="pruned")
    assert [row["status"] for row in summary.close(tmp_path)] == ["finished", "pruned"]


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ([("optimizer.lr=0.1",), ("optimizer.lr=1",), ("optimizer.lr=10",)], "line"),
        ([("optimizer=a",), ("optimizer=b",)], "bars"),
        ([("seed=0",), ("seed=1",)], "bars"),
        ([(f"optimizer.lr={a}", f"model.l2={b}") for a in (1, 2) for b in (3, 4)], "heat map"),
        ([(f"a.x={a}", f"a.y={2 * a}", f"a.z={3 * a}") for a in (1, 2, 3)], "panels"),
    ],
)
def test_the_picture_fits_what_was_swept(tmp_path: Path, words: list[tuple[str, ...]], kind: str):
    found = sweep_of(tmp_path, {line: float(number + 1) for number, line in enumerate(words)})
    figure = picture.sweep_picture(found, {"name": "val/rmse", "goal": "min"}, "toy data")
    axes = [one for one in figure.axes if one.get_label() != "<colorbar>"]
    drawn = {"panels": len(axes) > 1, "heat map": bool(axes[0].images), "bars": bool(axes[0].patches), "line": bool(axes[0].containers)}
    assert drawn[kind] and not any(drawn[other] for other in ("panels", "heat map") if other != kind)
    assert figure.get_suptitle().startswith("val/rmse (less is better") and "toy data" in [text.get_text() for text in figure.texts]
    if kind == "line":
        assert axes[0].get_xscale() == "log" and axes[0].get_xlabel() == "optimizer.lr"
        assert list(axes[0].containers[1].lines[0].get_ydata()) == [1.0, 2.0, 3.0]
    if kind == "heat map":
        assert axes[0].images[0].get_array().tolist() == [[1.0, 2.0], [3.0, 4.0]]


def waiting(folder: Path, count: int) -> list[jobs.Job]:
    """Jobs whose folders wait."""
    made = [jobs.Job(n, f"job {n}", [f"seed={n}"], folder / f"{n}_x") for n in range(count)]
    for job in made:
        ended(job.folder, 1.0, job.words, status="waiting")
    return made


def status(job: jobs.Job) -> str:
    return RunFolder.open(job.folder).status


@pytest.fixture
def ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that is tried again only waits again."""
    monkeypatch.setattr(jobs, "prepare", lambda job, *_: RunFolder.open(job.folder).update(status="waiting") is None)


def fake(ending: dict[int, list[str]], raising: int) -> Any:
    """A launcher: job n takes the next status of `ending[n]`; the first `raising` launches end with an error."""
    calls: list[int] = []

    def launch(lines: list[list[str]], initial_job_idx: int) -> list[Any]:
        calls.append(len(lines))
        for line in lines:
            number = int(line[0].removeprefix("hydra.sweep.subdir='").partition("_")[0])
            folder = RunFolder(launch.folder / f"{number}_x")
            folder.reload()
            folder.update(status=ending[number].pop(0))
        if len(calls) <= raising:
            raise RuntimeError("A worker process managed by the executor was unexpectedly terminated.")
        return [SimpleNamespace(status=JobStatus.COMPLETED) for _ in lines]

    launch.calls = calls
    return launch


def test_a_worker_of_the_launcher_that_dies_costs_no_job(tmp_path: Path, ready: None):
    made = waiting(tmp_path, 3)
    launch = fake({0: ["finished"], 1: ["running", "finished"], 2: ["waiting", "finished"]}, raising=1)
    launch.folder = tmp_path
    jobs.attempt(made, launch)
    assert [status(job) for job in made] == ["finished"] * 3 and launch.calls == [3, 2]


def test_a_job_that_kills_two_workers_is_failed_and_the_others_go_on(tmp_path: Path, ready: None):
    made = waiting(tmp_path, 2)
    launch = fake({0: ["running", "running"], 1: ["waiting", "waiting", "finished"]}, raising=2)
    launch.folder = tmp_path
    jobs.attempt(made, launch)
    assert [status(job) for job in made] == ["failed", "finished"] and launch.calls == [2, 2, 1]
    assert RunFolder.open(made[0].folder).facts["error"] == "the launcher's worker died, twice"


def test_a_launcher_that_cannot_begin_is_one_sentence(tmp_path: Path, ready: None):
    made = waiting(tmp_path, 2)
    launch = fake({0: ["waiting"], 1: ["waiting"]}, raising=1)
    launch.folder = tmp_path
    with pytest.raises(UserError, match=r"^the launcher did not begin: A worker process"):
        jobs.attempt(made, launch)


def test_a_job_that_hydra_refuses_is_failed_with_its_sentence(tmp_path: Path, ready: None):
    made = waiting(tmp_path, 1)
    refused = [SimpleNamespace(status=JobStatus.FAILED, _return_value=ValueError("no such thing\nmore"))]
    jobs.attempt(made, lambda lines, initial_job_idx: refused)
    assert status(made[0]) == "failed" and RunFolder.open(made[0].folder).facts["error"] == "no such thing"


def test_the_slurm_launcher_with_a_gpu_is_the_plugins_with_other_numbers():
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    with initialize_config_dir(str(CONF), version_base="1.3"):
        words = ["hydra/launcher=slurm_gpu", "hydra.launcher.partition=gpu"]
        launcher = compose("train", words, return_hydra_config=True).hydra.launcher
    assert launcher._target_.endswith("SlurmLauncher") and launcher.partition == "gpu" and launcher.tasks_per_node == 1
    assert (launcher.gpus_per_node, launcher.timeout_min, launcher.mem_gb) == (1, 240, 16)
