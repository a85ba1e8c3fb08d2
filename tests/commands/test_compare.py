"""`ml2020 compare`: what differs, and when figures may stand beside each other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ml2020.commands.cli import main

MakeRun = Callable[..., Path]
DATA = {"name": "drawings", "kind": "rendered", "fingerprint": "aaaa", "counts": {"for training": 3000, "for the test": 9}}


def compared(capsys: pytest.CaptureFixture, *words: object) -> dict[str, list[str]]:
    """{first word of a line: the other words}; runs are told apart by letters."""
    assert main(["compare", *map(str, words)]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()]
    found: dict[str, list[str]] = {}
    for first, *rest in lines:
        found.setdefault(first, rest)
    return found


def test_keys_that_differ_stand_side_by_side(make_run: MakeRun, capsys: pytest.CaptureFixture):
    one = make_run("one")
    two = make_run("two", {"optimizer": {"lr": 0.1, "beta": 0.9}, "model": {"net": {"dense": [4, 2]}}}, seed=1)
    rows = compared(capsys, one, two)
    assert rows["optimizer.lr"] == ["0.001", "0.1"]
    assert rows["optimizer.beta"] == ["-", "0.9"]
    assert rows["model.net.dense"] == ["[]", "[4,", "2]"]
    assert rows["seed"] == ["0", "1"] and rows["parameters"] == ["1,000", "1,000"]
    assert "trainer.max_epochs" not in rows and "data.seed" not in rows


def test_what_is_no_choice_is_not_compared(make_run: MakeRun, capsys: pytest.CaptureFixture):
    one = make_run("one")
    two = make_run("two", {"task": {"title": "another", "quick": {"trainer.max_epochs": 9}}, "model": {"brings": {"optimizer.lr": 7}}})
    assert compared(capsys, one, two)["no"] == ["key", "differs"]


def test_two_runs_on_the_same_data_get_difference_and_best(make_run: MakeRun, capsys: pytest.CaptureFixture):
    one = make_run("one", metrics={"val": {"acc": 0.5, "loss": 1.0}, "test": {"acc": 0.45}})
    two = make_run("two", metrics={"val": {"acc": 0.75, "loss": 1.25, "top5": 0.9}, "test": {"acc": 0.4}})
    rows = compared(capsys, one, two)
    assert rows["val/acc"] == ["0.5000", "0.7500*", "+0.2500"]
    assert rows["test/acc"] == ["0.4500*", "0.4000", "-0.0500"]
    assert rows["val/loss"] == ["1.0000", "1.2500", "+0.2500"]  # whether more is better is known of the main measure alone
    assert rows["val/top5"] == ["-", "0.9000", "-"]
    assert rows["the"][:5] == ["same", "data", "and", "splits", "(fingerprint"]
    assert [name for name in rows if "/" in name and "." not in name][:2] == ["val/acc", "test/acc"]


def test_the_best_of_several_follows_the_goal(make_run: MakeRun, capsys: pytest.CaptureFixture):
    config = {"task": {"main": {"name": "val/rmse", "goal": "min"}}}
    runs = [make_run(f"r{value}", config, metrics={"val": {"rmse": value}}) for value in (3.0, 1.5, 2.0)]
    assert compared(capsys, *runs)["val/rmse"] == ["3.0000", "1.5000*", "2.0000"]


def test_a_tie_has_no_best(make_run: MakeRun, capsys: pytest.CaptureFixture):
    assert compared(capsys, make_run("one"), make_run("two"))["val/acc"] == ["0.5000", "0.5000", "+0.0000"]


def test_what_is_not_finite_is_said(make_run: MakeRun, capsys: pytest.CaptureFixture):
    two = make_run("two", metrics={"val": {"acc": None}, "nonfinite": ["val/acc"]})
    assert compared(capsys, make_run("one"), two)["val/acc"] == ["0.5000", "not", "finite", "-"]


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (DATA | {"name": "food-11", "kind": "course", "fingerprint": "bbbb"}, "different data: figures cannot be compared"),
        (DATA | {"fingerprint": "bbbb"}, "drawn, split or decoded in another way): figures cannot be compared"),
        (DATA | {"counts": {"for training": 3000, "for the test": 8}}, "of other sizes): figures cannot be compared"),
        (None, "whether it is the same data is not known: figures cannot be compared"),
        (DATA | {"fingerprint": ""}, "whether it is the same data is not known: figures cannot be compared"),
    ],
)
def test_figures_on_other_data_are_neither_subtracted_nor_ranked(
    make_run: MakeRun, capsys: pytest.CaptureFixture, data: dict | None, sentence: str
):
    make_run("one"), make_run("two", data=data, metrics={"val": {"acc": 0.9}})
    assert main(["compare", "outputs/hw03_cnn/one", "outputs/hw03_cnn/two"]) == 0
    out = capsys.readouterr().out
    assert sentence in out and "*" not in out and "B - A" not in out and "+" not in out
    assert "0.5000" in out and "0.9000" in out


def test_a_run_that_failed_is_compared_as_far_as_it_came(make_run: MakeRun, capsys: pytest.CaptureFixture):
    two = make_run("two", metrics=None, status="failed", error="the loss is nan", data=None)
    rows = compared(capsys, make_run("one"), two)
    assert rows["status"] == ["finished", "failed"] and rows["error"] == ["-", "the", "loss", "is", "nan"]
    assert rows["val/acc"] == ["0.5000", "-"]


def test_quick_runs_are_named(make_run: MakeRun, capsys: pytest.CaptureFixture):
    assert compared(capsys, make_run("one"), make_run("two", {"quick": True}))["quick=true"][:3] == ["in", "B:", "its"]


def test_the_output_folder_may_be_left_out(make_run: MakeRun, capsys: pytest.CaptureFixture):
    make_run("one"), make_run("two")
    assert compared(capsys, "hw03_cnn/one", "hw03_cnn/two")["A"] == ["outputs/hw03_cnn/one"]


def test_on_a_terminal_long_cells_are_cut(make_run: MakeRun, monkeypatch, capsys: pytest.CaptureFixture):
    from ml2020.commands import compare

    make_run("one"), make_run("two", {"optimizer": {"_target_": "torch.optim." + "Long" * 30}}, error="e" * 300)
    monkeypatch.setattr(compare.sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["compare", "hw03_cnn/one", "hw03_cnn/two"]) == 0
    assert max(len(line) for line in capsys.readouterr().out.splitlines()) <= 80


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "type ml2020 compare RUN RUN"),
        (["outputs/hw03_cnn/one"], "at least two runs"),
        (["outputs/hw03_cnn/one", "outputs/hw03_cnn/one/"], "is given twice"),
        (
            ["outputs/hw03_cnn/one", "outputs/hw03_cnn/tow"],
            "there is no folder outputs/hw03_cnn/tow; did you mean outputs",
        ),
        (["outputs/hw03_cnn/one", "nowhere"], "there is no folder nowhere"),
        (["outputs/hw03_cnn/one/run.json", "outputs/hw03_cnn/two"], "there is no folder outputs/hw03_cnn/one/run.json; did you mean"),
        (
            ["outputs", "outputs/hw03_cnn/one"],
            "outputs is not the folder of one run; name one of those in it",
        ),
        (["empty", "outputs/hw03_cnn/one"], "empty is not the folder of a run"),
        (["--best", "a", "b"], "--best is not an option of ml2020 compare"),
        (["outputs/hw03_cnn/one", "metric=acc"], "ml2020 compare has no key metric"),
        (["outputs/hw03_cnn/one"] * 27, "27 runs are too many side by side"),
    ],
)
def test_what_is_no_run_is_a_slip(make_run: MakeRun, capsys: pytest.CaptureFixture, words: list[str], sentence: str):
    make_run("one"), make_run("two")
    Path("empty").mkdir()
    assert main(["compare", *words]) == 2
    told = capsys.readouterr().err
    assert sentence in told and len(told.splitlines()) == 1


@pytest.mark.parametrize(("file", "content"), [("run.json", "{"), ("config.yaml", "a: [")])
def test_a_broken_run_is_one_sentence(make_run: MakeRun, capsys: pytest.CaptureFixture, file: str, content: str):
    make_run("one")
    (make_run("two") / file).write_text(content)
    assert main(["compare", "hw03_cnn/one", "hw03_cnn/two"]) == 1
    told = capsys.readouterr().err
    assert file in told and len(told.splitlines()) == 1


@pytest.mark.parametrize("content", ["{", "[]", '{"val": 3}', '{"val": {"acc": "high"}}'])
def test_broken_metrics_are_no_trace(make_run: MakeRun, capsys: pytest.CaptureFixture, content: str):
    make_run("one")
    (make_run("two") / "metrics.json").write_text(content)
    assert compared(capsys, "hw03_cnn/one", "hw03_cnn/two")["val/acc"][0] == "0.5000"
