"""Searches: ranges, objectives, exactly as many trials as asked for, the same trials after a stop, and pruning."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from ml2020.core.config import load
from ml2020.core.errors import TypedError
from ml2020.core.folder import RunFolder
from ml2020.core.pruning import Trial
from ml2020.studies import search as searching
from ml2020.studies.objectives import Objective, objectives_of, values_of_run
from ml2020.studies.search import Search, at_once, pareto
from ml2020.studies.space import distributions, ranges

MAIN = {"name": "val/rmse", "goal": "min"}


def test_ranges_are_written_in_hydras_syntax():
    space = {
        "a": "interval(1,2)",
        "b": "tag(log,interval(1e-4,1))",
        "c": "int(interval(2,8))",
        "d": "range(1,10,3)",
        "e": "choice(x,y)",
    }
    assert distributions(space | {"e": "choice(x,y)", "f": "3,5", "g": "range(0.5,2,0.5)"}) == {
        "a": FloatDistribution(1, 2),
        "b": FloatDistribution(1e-4, 1, log=True),
        "c": IntDistribution(2, 8),
        "d": IntDistribution(1, 7, step=3),  # Hydra's range leaves out its stop
        "e": CategoricalDistribution(["x", "y"]),
        "f": CategoricalDistribution(["3", "5"]),
        "g": FloatDistribution(0.5, 1.5, step=0.5),
    }


@pytest.mark.parametrize("text", ["interval(2,1)", "tag(log,interval(0,1))", "range(1,2)", "5", "interval(1", "glob(*)"])
def test_a_range_without_sense_is_one_sentence(text: str):
    with pytest.raises(TypedError, match=r"is no range to search"):
        distributions({"optimizer.lr": text})


def config(*words: str) -> Any:
    return load("train", ["task=hw01_regression", "sweep=optuna", *words], multirun=True)[0]


def test_what_is_typed_comes_before_the_study_and_the_study_before_the_task():
    cfg = config()
    cfg.task.search = {"optimizer.lr": "interval(1,2)", "model.columns.hours": "interval(1,9)"}
    assert ranges(cfg, ["task=hw01_regression"])[0] == {"optimizer.lr": "interval(1,2)", "model.columns.hours": "int(interval(1,9))"}
    assert ranges(cfg, ["task=hw01_regression", "optimizer.lr=3"])[0] == {"model.columns.hours": "int(interval(1,9))"}
    cfg.study = {"grid": {"model.l2": [0, 1]}}
    assert ranges(cfg, ["task=hw01_regression"])[0] == {"model.l2": "choice(0,1)"}
    typed = ["task=hw01_regression", "optimizer.lr=interval(3,4)", "seed=5", "sweep=optuna", "sweep.n_trials=3"]
    assert ranges(cfg, typed) == ({"optimizer.lr": "interval(3,4)"}, ["task=hw01_regression", "seed=5"])


def test_a_search_without_ranges_is_one_sentence():
    cfg = config()
    cfg.task.search = None
    with pytest.raises(TypedError, match=r"a search needs ranges, such as"):
        ranges(cfg, ["task=hw01_regression"])


def test_objectives_know_what_is_better():
    assert objectives_of([], MAIN) == [Objective("val/rmse", "min")]
    assert objectives_of(["val/rmse", "model/bytes", "max:val/acc"], MAIN) == [
        Objective("val/rmse", "min"),
        Objective("model/bytes", "min"),
        Objective("val/acc", "max"),
    ]


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("val/acc", "say whether less or more is better"),
        ("test/rmse", "not for choosing"),
        ("rmse", "takes names"),
        ("up:val/acc", "takes"),
    ],
)
def test_an_objective_that_cannot_be_one_is_one_sentence(word: str, sentence: str):
    with pytest.raises(TypedError, match=sentence):
        objectives_of([word], MAIN)


def plan(folder: Path, trials: int, **options: Any) -> dict[str, Any]:
    options = {"n_trials": trials, "sampler": "tpe", "pruner": "none", "warmup": 0, "startup": 3, "seed": 0, "objectives": []} | options
    options |= {"at_once": options.get("at_once")}
    said = {"typed": [], "fixed": ["task=hw01_regression"], "main": MAIN, "options": options}
    said["space"] = {"optimizer.lr": "interval(0,4)", "model.l2": "interval(0,1)"}
    folder.mkdir(exist_ok=True)
    (folder / "search.json").write_text(json.dumps(said))
    return said


@pytest.fixture
def parabola(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Jobs whose val/rmse is (lr - 3)^2 + l2: they end at once."""
    begun: list[list[str]] = []

    def end(job: Any, *_: Any) -> bool:
        if (job.folder / "run.json").is_file():
            return False
        values = dict(word.split("=") for word in job.words[1:])
        rmse = (float(values["optimizer.lr"]) - 3) ** 2 + float(values["model.l2"])
        begun.append(job.words)
        job.folder.mkdir(parents=True)
        facts = {"status": "finished", "task": "hw01_regression", "overrides": job.words, "seed": 0, "seconds": 1.0, "steps": 5}
        (job.folder / "run.json").write_text(json.dumps(facts | {"parameters": int(100 * float(values["model.l2"]))}))
        (job.folder / "config.yaml").write_text("")
        metrics = {"main": MAIN | {"value": rmse}, "val": {"rmse": rmse}}
        (job.folder / "metrics.json").write_text(json.dumps(metrics))
        return True

    monkeypatch.setattr(searching, "prepare", end)
    monkeypatch.setattr(searching, "attempt", lambda jobs, launch: None)
    return begun


class Quiet:
    def add(self, jobs: list[Any]) -> None: ...


def test_exactly_as_many_trials_as_asked_for_and_tpe_finds_the_valley(tmp_path: Path, parabola: list[list[str]]):
    search = Search(tmp_path, plan(tmp_path, 25))
    search.rounds(None, Quiet(), [], {})
    search.rounds(None, Quiet(), [], {})
    assert len(parabola) == 25 == len(search.trials("COMPLETE"))
    assert search.study.best_value < 0.3 and abs(search.study.best_params["optimizer.lr"] - 3) < 0.6


def test_a_stopped_search_goes_on_with_the_trials_it_would_have_drawn(tmp_path: Path, parabola: list[list[str]]):
    Search(tmp_path / "whole", plan(tmp_path / "whole", 9)).rounds(None, Quiet(), [], {})
    whole = [words for words in parabola]
    parabola.clear()
    first = Search(tmp_path / "cut", plan(tmp_path / "cut", 5))
    first.rounds(None, Quiet(), [], {})
    first.options["n_trials"] = 6
    first.ask(1)  # killed here: the sixth trial is drawn, but never begun
    second = Search(tmp_path / "cut", plan(tmp_path / "cut", 9))
    second.rounds(None, Quiet(), [], {})
    assert parabola == whole and len(second.trials("COMPLETE")) == 9


def test_a_failed_job_is_a_failed_trial(tmp_path: Path, parabola: list[list[str]]):
    search = Search(tmp_path, plan(tmp_path, 1, objectives=["max:val/f1"]))
    search.rounds(None, Quiet(), [], {})
    assert len(search.trials("FAIL")) == 1
    assert RunFolder.open(tmp_path / "0").facts["error"].startswith("the run has no val/f1 to look for; there are val/rmse")


def test_several_objectives_give_the_trials_that_none_beats(tmp_path: Path, parabola: list[list[str]], capsys: pytest.CaptureFixture):
    search = Search(tmp_path, plan(tmp_path, 12, objectives=["val/rmse", "model/bytes"], sampler="random"))
    search.rounds(None, Quiet(), [], {})
    points = [tuple(values_of_run(RunFolder.open(tmp_path / str(n)), search.objectives)) for n in range(12)]
    beaten = {a for a in points for b in points if b != a and b[0] <= a[0] and b[1] <= a[1]}
    assert {tuple(one["values"]) for one in pareto(search)} == set(points) - beaten
    assert (tmp_path / "pareto.png").is_file() and "val/rmse" in capsys.readouterr().out


def test_a_trial_worse_than_the_median_is_pruned_and_a_better_one_is_not(tmp_path: Path):
    search = Search(tmp_path, plan(tmp_path, 9, pruner="median"))
    for number, values in enumerate(([9, 5, 3], [8, 6, 4], [7, 7, 5])):
        job = search.ask(1)[0]
        facts = {"number": number, "startup": 3, "warmup": 1}
        trial = Trial(job.folder, facts)
        assert not any(trial.report(step, value) for step, value in enumerate(values))  # too few to compare with
        search.study.tell(number, values[-1])
    (job,) = search.ask(1)
    bad = Trial(job.folder, {"number": 3, "startup": 3, "warmup": 1})
    assert [bad.report(0, 20.0), bad.report(1, 6.5)] == [False, True]  # the median of 5, 6, 7 is 6; step 0 warms up
    search.study.tell(3, state=searching_state("PRUNED"))
    (job,) = search.ask(1)
    good = Trial(job.folder, {"number": 4, "startup": 3, "warmup": 1})
    assert [good.report(0, 20.0), good.report(1, 5.5), good.report(2, 3.9)] == [False, False, False]


def searching_state(name: str) -> Any:
    import optuna

    return optuna.trial.TrialState[name]


def test_joblib_is_asked_as_many_trials_as_it_has_workers():
    assert at_once(None, []) == 1 and at_once(4, []) == 4
    assert at_once(None, ["hydra/launcher=joblib", "hydra.launcher.n_jobs=3"]) == 3
