"""Lists of jobs: what is planned, what is skipped, what a failing job does to the others, and the files that sum up."""

from __future__ import annotations

import csv
import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from ml2020.core.config import load
from ml2020.core.errors import TypedError, UserError
from ml2020.core.folder import RunFolder
from ml2020.studies import jobs, study, summary
from ml2020.studies.study import check, plan, run_study, table

TYPED = ["task=hw01_regression", "quick=true"]


def finished(folder: Path, label: str, seed: int, acc: float, status: str = "finished") -> None:
    """A run's folder as a finished run leaves it, with one metric."""
    folder.mkdir(parents=True)
    facts = {
        "status": status,
        "task": "toy",
        "label": label,
        "overrides": [f"seed={seed}"],
        "seed": seed,
        "seconds": 1.0,
        "error": None,
    }
    (folder / "run.json").write_text(json.dumps(facts))
    (folder / "config.yaml").write_text("task: {name: toy}\nmodel: {}\ndata: {}\ntrainer: {}\nseed: 0\n")
    content = {"main": {"name": "val/acc", "goal": "max", "value": acc}, "val": {"acc": acc}, "test": {"acc": acc / 2}}
    (folder / "metrics.json").write_text(json.dumps(content))


def test_jobs_are_arms_times_grid_times_seeds_seed_by_seed(tmp_path: Path):
    block = check({"arms": {"a": [], "b": ["model.tta=none"]}, "grid": {"optimizer.lr": [0.1, 0.2]}, "seeds": [0, 1]}, "toy")
    made = plan(block, ["task=hw03_cnn"], tmp_path)
    assert [job.label for job in made[:4]] == ["a, lr 0.1, seed 0", "a, lr 0.2, seed 0", "b, lr 0.1, seed 0", "b, lr 0.2, seed 0"]
    assert len(made) == 8 and made[7].words == ["task=hw03_cnn", "model.tta=none", "optimizer.lr=0.2", "seed=1"]
    assert made[3].folder.name == "003_b-lr-0.2_seed0"


@pytest.mark.parametrize(
    ("block", "sentence"),
    [
        ({"arm": {}}, "has no key arm"),
        ({"arms": ["x"]}, "study.arms takes label"),
        ({"grid": {"optimizer.lr": 0.1}}, "study.grid takes key"),
        ({"search": {"optimizer.lr": 3}}, "study.search takes key: range"),
        ({"figure": "os.system"}, "study.figure names a function of a homework"),
    ],
)
def test_a_wrong_block_is_one_sentence(block: dict, sentence: str):
    with pytest.raises(TypedError, match=sentence):
        check(block, "toy")


def test_what_a_study_varies_cannot_be_typed(tmp_path: Path):
    block = check({"arms": {"a": ["model.tta=none"]}, "seeds": [0, 1]}, "toy")
    with pytest.raises(TypedError, match=r"model.tta= cannot be typed here"):
        plan(block, ["model.tta=flip"], tmp_path)


def test_a_seed_that_is_typed_stands_alone(tmp_path: Path):
    block = check({"arms": {"a": ["model.tta=none"]}, "seeds": [0, 1]}, "toy")
    (job,) = plan(block, ["task=hw03_cnn", "seed=3"], tmp_path)
    assert job.words == ["task=hw03_cnn", "model.tta=none", "seed=3"] and job.folder.name == "000_a_seed3"


def test_a_jobs_command_says_what_its_experiment_says(tmp_path: Path):
    """So that the job can be typed alone; what an arm says is stronger than the file."""
    block = check({"arms": {"a": ["trainer.max_epochs=20", "data.labels=500"]}}, "toy")
    (job,) = plan(block, ["experiment=hw04_tweets", "data_dir=PATH"], tmp_path)
    words = shlex.split(job.facts["command"])
    assert words[:2] == ["python", "train.py"] and words[-1] == "seed=0" and not any("experiment" in word for word in words)
    cfg, choices = load("train", [word for word in words[2:] if not word.startswith("seed=")])
    whole, same = load("train", ["experiment=hw04_tweets", "data_dir=PATH", "trainer.max_epochs=20", "data.labels=500"])
    whole.study = None
    assert cfg == whole and choices | {"experiment": "hw04_tweets"} == same


def test_the_summary_ranks_by_the_main_metric_and_keeps_what_failed(tmp_path: Path):
    finished(tmp_path / "0_a", "a", 0, 0.25)
    finished(tmp_path / "1_b", "b", 0, 0.75)
    finished(tmp_path / "2_c", "c", 0, 0.5, status="failed")
    (tmp_path / "3_d").mkdir()
    (tmp_path / "3_d" / "run.json").write_text("{")
    rows = summary.write(tmp_path)
    assert [row["folder"] for row in rows] == ["1_b", "0_a", "2_c", "3_d"]
    assert [row["status"] for row in rows] == ["finished", "finished", "failed", "unreadable"]
    assert [row["main"] for row in rows] == [0.75, 0.25, None, None] and rows[0]["test/acc"] == 0.375
    assert json.loads((tmp_path / "sweep.json").read_text())["jobs"] == rows
    with (tmp_path / "sweep.csv").open() as file:
        assert [row["main"] for row in csv.DictReader(file)] == ["0.75", "0.25", "", ""]


def test_only_a_sweep_or_a_study_is_summed_up(tmp_path: Path):
    finished(tmp_path / "0_a", "a", 0, 0.25)
    with pytest.raises(TypedError, match="is not the folder of a sweep or study"):
        summary.summarize(tmp_path)
    assert not (tmp_path / "sweep.csv").exists()
    (tmp_path / "study.json").write_text("{}")
    assert summary.summarize(tmp_path)[0]["main"] == 0.25


def test_a_table_has_means_and_standard_deviations_over_the_seeds(tmp_path: Path):
    for seed, acc in enumerate((0.5, 0.6, 0.7)):
        finished(tmp_path / f"{seed}_a", "a", seed, acc)
    lines = table(check({"table": ["val/acc", "test/acc"]}, "toy"), summary.write(tmp_path))
    assert lines[0] == ["", "val/acc mean", "val/acc sd", "test/acc mean", "test/acc sd", "seeds"]
    assert lines[1] == ["a", "0.6000", "0.1000", "0.3000", "0.0500", "3"]


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Jobs run in this process, and are noted."""
    begun: list[str] = []

    def launch(path: Path, world: int, **_: Any) -> None:
        from ml2020.core.run import carry_out

        begun.append(path.name)
        carry_out(path)

    monkeypatch.setattr(jobs.processes, "launch", launch)
    monkeypatch.setattr(jobs.forks, "warm_up", lambda modules: None)
    return begun


def toy_study(output: Path, arms: dict[str, list[str]], **typed: Any) -> None:
    words = [*TYPED, "trainer.max_epochs=1", f"output_dir={output}"]
    cfg, choices = load("train", words)
    cfg.study = {"arms": arms, "seeds": [0], "table": ["val/acc"]}
    run_study(cfg, choices | {"experiment": "toy"}, words)


def test_a_failing_job_is_listed_and_the_others_are_trained_and_kept(tmp_path: Path, here: list[str], capsys: pytest.CaptureFixture):
    arms = {"good": [], "bad": ["optimizer.lr=1e30"], "also good": ["model.l2=0.5"]}
    with pytest.raises(UserError, match="1 of 3 jobs did not finish"):
        toy_study(tmp_path, arms)
    folder = tmp_path / "hw01_regression" / "sweeps" / "toy_quick"
    by_label = {row["label"]: row for row in summary.rows(folder)}
    assert by_label["bad"]["status"] == "failed" and "loss is" in by_label["bad"]["error"]
    assert by_label["good"]["main"] is not None and by_label["also good"]["main"] is not None
    assert "failed: 001_bad_seed0" in capsys.readouterr().out
    here.clear()
    with pytest.raises(UserError):
        toy_study(tmp_path, arms)  # the same again: only what is missing
    assert here == ["001_bad_seed0"]


def test_a_study_whose_words_changed_does_not_mix_with_the_old_one(tmp_path: Path, here: list[str]):
    toy_study(tmp_path, {"one": []})
    before = {file: file.read_bytes() for file in tmp_path.rglob("*.json")}
    with pytest.raises(TypedError, match=r"was made with model.l2=0.0, not 0.5; give the new study a name"):
        toy_study(tmp_path, {"one": ["model.l2=0.5"]})
    assert {file: file.read_bytes() for file in tmp_path.rglob("*.json")} == before


def test_a_half_finished_job_goes_on(tmp_path: Path, here: list[str], monkeypatch: pytest.MonkeyPatch):
    from ml2020.core import run

    with monkeypatch.context() as patch, pytest.raises(UserError, match="did not finish"):
        patch.setattr(run.Run, "measure", lambda self: (_ for _ in ()).throw(UserError("the disk is full")))
        toy_study(tmp_path, {"one": []})
    (path,) = (tmp_path / "hw01_regression" / "sweeps").glob("*/000*")
    fitted = (path / "checkpoints" / "last.ckpt").stat().st_mtime_ns
    toy_study(tmp_path, {"one": []})
    assert RunFolder.open(path).status == "finished" and len(RunFolder.open(path).facts["resumed"]) == 1
    assert (path / "checkpoints" / "last.ckpt").stat().st_mtime_ns == fitted  # the fit was done, and was not done again


def test_every_experiment_composes_and_its_first_lines_say_how_to_run_it(all_experiments: list[str]):
    for name in all_experiments:
        cfg, choices = load("train", [f"experiment={name}"])
        assert f"python train.py experiment={name}" in study.comment(name)
        if cfg.study is not None:
            from omegaconf import OmegaConf

            block = check(OmegaConf.to_container(cfg.study), name) | {"seeds": [0]}
            for job in plan(block, [f"experiment={name}"], Path("x")):
                assert job.composed[0]["task"]
        assert choices["task"]


@pytest.fixture
def all_experiments() -> list[str]:
    from ml2020.core.conf import options

    return options("experiment")
