"""`ml2020 runs`: every run, whatever state it is in, in a table that fits."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ml2020.commands import runs
from ml2020.commands.cli import main
from ml2020.commands.runs import find, look, number, table
from ml2020.core.folder import RunFolder

MakeRun = Callable[..., Path]


def listed(capsys: pytest.CaptureFixture, *words: str) -> list[list[str]]:
    assert main(["runs", *words]) == 0
    return [line.split() for line in capsys.readouterr().out.splitlines()]


def test_runs_are_listed_newest_first_with_their_main_metric(make_run: MakeRun, capsys: pytest.CaptureFixture):
    make_run("one")
    make_run("two", model="hw03_mlp", seed=3, metrics={"main": {"name": "val/bleu", "goal": "max", "value": 21.25}}, seconds=3661.4)
    head, *rows = listed(capsys)
    assert head == ["started", "task", "model", "seed", "status", "metric", "value", "seconds", "folder"]
    assert rows == [
        ["2026-11-23", "11:00:00", "hw03_cnn", "hw03_mlp", "3", "finished", "val/bleu", "21.2500", "3,661", "outputs/hw03_cnn/two"],
        ["2026-11-23", "10:00:00", "hw03_cnn", "hw03_cnn", "0", "finished", "val/acc", "0.5000", "12", "outputs/hw03_cnn/one"],
    ]


def test_jobs_of_a_sweep_are_runs_too(make_run: MakeRun, capsys: pytest.CaptureFixture):
    make_run("sweeps/2026-11-23_10-00-00/0_lr=0.1")
    assert listed(capsys)[1][-1] == "outputs/hw03_cnn/sweeps/2026-11-23_10-00-00/0_lr=0.1"
    assert listed(capsys, "lr=0.1")[1][-1].endswith("0_lr=0.1")


@pytest.mark.parametrize("status", ["running", "waiting"])
def test_a_run_whose_process_is_gone_was_interrupted(make_run: MakeRun, status: str):
    run = make_run("one", status=status)
    assert look(run).status == "interrupted"
    with (run / ".lock").open("w") as lock:
        assert look(run).status == "interrupted"
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert look(run).status == status
    assert look(run).status == "interrupted"


def test_asking_for_the_status_leaves_the_lock_free(make_run: MakeRun):
    run = make_run("one", status="running")
    assert look(run).status == "interrupted"
    folder = RunFolder.open(run)
    folder.lock()  # raises where something still holds it
    assert look(run).status == "running"


@pytest.mark.parametrize("content", ["{", "[]", "", "\x00\xff", "null"])
def test_a_broken_run_is_listed_as_unreadable(make_run: MakeRun, capsys: pytest.CaptureFixture, content: str):
    run = make_run("one")
    (run / "run.json").write_bytes(content.encode("latin1"))
    assert listed(capsys)[1][4:6] == ["unreadable", "-"]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "content", [{"seconds": None}, {"started": 5}, {"seed": [1]}, {"task": None}, {"status": 7}, {"started": "soon"}]
)
def test_strange_facts_are_no_trace(make_run: MakeRun, capsys: pytest.CaptureFixture, content: dict):
    make_run("one", **content)
    assert len(listed(capsys)) == 2


@pytest.mark.parametrize("content", ["{", "{}", '{"main": {"name": "val/acc", "value": null}}', '{"main": 3}', "[]"])
def test_a_run_without_a_main_metric_has_none(make_run: MakeRun, capsys: pytest.CaptureFixture, content: str):
    (make_run("one") / "metrics.json").write_text(content)
    assert listed(capsys)[1][-3:-1] == ["-", "12"]


def test_words_keep_what_they_fit(make_run: MakeRun, capsys: pytest.CaptureFixture):
    make_run("one", status="failed")
    make_run("two", status="interrupted", model="hw03_mlp")
    make_run("three", seed=7)

    def names(*words: str) -> set[str]:
        return {row[-1].rpartition("/")[2] for row in listed(capsys, *words)[1:]}

    assert names("failed") == {"one"}
    assert names("failed", "interrupted") == {"one", "two"}
    assert names("hw03_mlp") == {"two"}
    assert names("hw03_cnn", "thr") == {"three"}
    assert names("seed=7") == {"three"}
    assert names("failed", "hw03_mlp") == set()


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("finshed", "did you mean finished?"),
        ("hw3_cnn", "did you mean hw03_cnn?"),
        ("status=failed", "did you mean failed?"),
        ("zzz", "no run under outputs fits zzz"),
        ("seed=9", "no run under outputs fits seed=9"),
    ],
)
def test_a_word_that_means_nothing_is_a_slip(make_run: MakeRun, capsys: pytest.CaptureFixture, word: str, sentence: str):
    make_run("one")
    assert main(["runs", word]) == 2
    assert sentence in capsys.readouterr().err


def test_no_run_of_a_status_is_no_slip(make_run: MakeRun, capsys: pytest.CaptureFixture):
    make_run("one")
    assert main(["runs", "pruned"]) == 0
    assert "of 1 run(s) under outputs none fits pruned" in capsys.readouterr().out


def test_where_nothing_was_run_it_says_what_to_type(outputs: Path, capsys: pytest.CaptureFixture):
    assert main(["runs"]) == 0
    assert "begin with: python train.py task=" in capsys.readouterr().out


def test_the_output_folder_comes_from_the_word_or_the_environment(make_run: MakeRun, monkeypatch, capsys: pytest.CaptureFixture):
    make_run("one")
    os.rename("outputs", "elsewhere")
    assert len(listed(capsys, "output_dir=elsewhere")) == 2
    monkeypatch.setenv("ML2020_OUTPUT_DIR", "elsewhere")
    assert len(listed(capsys)) == 2


@pytest.mark.parametrize("width", [40, 60, 80, 120])
@pytest.mark.parametrize("name", ["2026-11-23_10-00-00", "2026-11-23_10-00-00_original"])
def test_on_a_terminal_no_row_is_wider(make_run: MakeRun, width: int, name: str):
    make_run(name, model="hw03_half_depth")
    lines = table([look(path).cells() for path in find(Path("outputs"))], width).splitlines()
    beside = [line for line in lines if not line.startswith("  outputs/")]
    assert all(len(line) <= width for line in beside if "cat has every column" not in line)
    assert any(line.endswith(f"outputs/hw03_cnn/{name}") for line in lines)


def test_a_folder_too_long_for_the_terminal_stands_whole_in_its_own_line(make_run: MakeRun):
    name = "sweeps/2026-11-23_10-00-00/3_" + "optimizer.lr=0.004," * 4
    make_run(name)
    lines = table([look(path).cells() for path in find(Path("outputs"))], 80).splitlines()
    assert lines[2] == f"  outputs/hw03_cnn/{name}"
    assert "finished" in lines[1] and "0.5000" in lines[1] and len(lines[1]) <= 80


def test_on_a_terminal_its_width_decides(make_run: MakeRun, monkeypatch, capsys: pytest.CaptureFixture):
    make_run("one")
    monkeypatch.setattr(runs.sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "60")
    assert "started" not in listed(capsys)[0]
    monkeypatch.setenv("COLUMNS", "200")
    assert "started" in listed(capsys)[0]


@pytest.mark.parametrize(("value", "text"), [(None, "-"), (0.0, "0.0000"), (0.12345, "0.1235"), (1.5e-7, "1.5e-07"), (-3.0, "-3.0000")])
def test_metrics_are_written_short(value: float | None, text: str):
    assert number(value) == text


def test_a_loop_of_links_ends(make_run: MakeRun):
    run = make_run("one")
    (run.parent / "loop").symlink_to(run.parent.resolve())
    assert len(list(find(Path("outputs")))) < 10
    assert list(find(Path("outputs"), links=False)) == [run]


def test_what_is_deeper_than_a_job_is_not_looked_for(make_run: MakeRun):
    make_run("sweeps/a/b/c/d")
    assert list(find(Path("outputs"))) == []
    assert json.loads(Path("outputs/hw03_cnn/sweeps/a/b/c/d/run.json").read_text())["schema"] == 1
