"""Sweeps as they are typed: a failing job loses no other, a killed one goes on, every launcher gives the same table."""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WORDS = ["task=hw01_regression", "quick=true"]


def train(*words: str, kill_after: float | None = None) -> subprocess.CompletedProcess:
    """`python train.py`; with `kill_after` it gets SIGKILL after so many seconds, if it has not ended by then."""
    env = os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    process = subprocess.Popen(
        [sys.executable, "train.py", *words], cwd=ROOT, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        out, err = process.communicate(timeout=kill_after)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        out, err = process.communicate()
    return subprocess.CompletedProcess(words, process.returncode, out, err)


def sweep_folder(output: Path) -> Path:
    (folder,) = output.glob("*/sweeps/*")
    return folder


def rows(folder: Path) -> list[dict[str, str]]:
    """sweep.csv without what says when and where."""
    with (folder / "sweep.csv").open() as file:
        found = list(csv.DictReader(file))
    return [
        {key: value for key, value in row.items() if key != "seconds"}
        | {"overrides": " ".join(word for word in row["overrides"].split() if not word.startswith("output_dir="))}
        for row in found
    ]


def test_a_failing_job_is_listed_and_a_killed_sweep_goes_on(tmp_path: Path):
    words = ["-m", *WORDS, "optimizer.lr=0.5,1e30,1", f"output_dir={tmp_path}"]
    killed = train(*words, kill_after=9)
    folder = sweep_folder(tmp_path)
    assert killed.returncode in (-signal.SIGKILL, 1)
    done = train(f"resume={folder}")
    assert done.returncode == 1 and "1 of 3 jobs did not finish; to try them again: python train.py resume=" in done.stderr
    found = rows(folder)
    assert [row["status"] for row in found] == ["finished", "finished", "failed"]
    assert "smaller optimizer.lr" in found[2]["error"] and found[0]["folder"] == "2_optimizer.lr=1"
    assert "the best again: python train.py task=hw01_regression quick=true optimizer.lr=1\n" in done.stdout
    assert all((folder / file).is_file() for file in ("sweep.json", "sweep.png", "sweep.log", "sweep_jobs.json"))
    refused = train(f"resume={folder}", "optimizer.lr=3")
    assert refused.returncode == 2 and "optimizer.lr cannot be changed" in refused.stderr


@pytest.mark.full
def test_joblib_trains_the_jobs_of_a_sweep_and_one_that_dies_is_named(tmp_path: Path):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    words = ["-m", *WORDS, "seed=0,1", "trainer.max_epochs=60", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    process = subprocess.Popen(
        [sys.executable, "train.py", *words, f"output_dir={tmp_path}"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    victim = wait_for_process(tmp_path, "1_seed=1")
    os.kill(victim, signal.SIGKILL)
    out, _ = process.communicate(timeout=300)
    found = rows(sweep_folder(tmp_path))
    assert process.returncode == 1 and [row["status"] for row in found] == ["finished", "failed"]
    assert found[1]["error"] == "the training process was ended by SIGKILL (out of memory, perhaps)"
    assert "failed: 1_seed=1: the training process was ended by SIGKILL" in out


def pids(output: Path, job: str) -> set[int]:
    """The number of the process that trains a job of the sweep below `output`, while it does."""
    found = set()
    for file in output.glob(f"*/sweeps/*/{job}/run.json"):
        with suppress(ValueError):
            facts = json.loads(file.read_text())
            if facts["status"] == "running" and facts.get("pid"):
                found.add(facts["pid"])
    return found


def wait_for_process(output: Path, job: str) -> int:
    """The number of the process that trains a job, once it does."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        for pid in pids(output, job):
            return pid
        time.sleep(0.05)
    raise AssertionError(f"{job} never began")


@pytest.mark.full
def test_every_launcher_gives_the_same_table(tmp_path: Path):
    tables = {}
    for launcher in ("basic", "joblib", "submitit_local"):
        output = tmp_path / launcher
        done = train("-m", *WORDS, "optimizer.lr=0.1,0.3,1,3", "seed=0,1", f"hydra/launcher={launcher}", f"output_dir={output}")
        assert done.returncode == 0, done.stderr
        tables[launcher] = rows(sweep_folder(output))
    assert len(tables["basic"]) == 8 and tables["joblib"] == tables["basic"] == tables["submitit_local"]


@contextmanager
def killing(output: Path, job: str) -> Iterator[None]:
    """Meanwhile the process that trains `job` gets SIGKILL, as often as it begins."""
    ended, killed = threading.Event(), set()

    def watch() -> None:
        while not ended.wait(0.02):
            for pid in pids(output, job) - killed:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                killed.add(pid)

    thread = threading.Thread(target=watch)
    thread.start()
    yield
    ended.set()
    thread.join()
    assert killed


@pytest.mark.full
def test_a_sweep_with_three_failing_jobs_that_is_killed_twice_ends_with_the_table_of_an_undisturbed_one(tmp_path: Path):
    """Of twelve jobs nine finish; the others: a loss that is not finite, a value that is refused, a process that is killed."""
    words = ["-m", *WORDS, "optimizer.lr=0.1,0.2,0.3,1e30,0.4,0.5,0.6,-1,0.7,0.8,0.9,1"]
    victim = "10_optimizer.lr=0.9"
    with killing(tmp_path / "whole", victim):
        whole = train(*words, f"output_dir={tmp_path / 'whole'}")
    assert whole.returncode == 1
    with killing(tmp_path / "cut", victim):
        draw = random.Random(7)
        train(*words, f"output_dir={tmp_path / 'cut'}", kill_after=draw.uniform(11, 18))
        folder = sweep_folder(tmp_path / "cut")
        assert len(list(folder.glob("*/metrics.json"))) < 9
        train(f"resume={folder}", kill_after=draw.uniform(11, 18))
        done = train(f"resume={folder}")
    assert done.returncode == 1
    expected = rows(sweep_folder(tmp_path / "whole"))
    assert len(expected) == 12 and rows(folder) == expected
    failed = [row for row in expected if row["status"] == "failed"]
    assert len(failed) == 3
    for sentence in ("the loss is nan", "optimizer.lr must be at least 0, not -1", "ended by SIGKILL"):
        assert sum(sentence in row["error"] for row in failed) == 1, sentence


@pytest.mark.full
def test_a_search_that_is_killed_reaches_exactly_the_number_of_trials_and_pruning_saves_steps(tmp_path: Path):
    words = ["-m", "task=hw01_regression", "sweep=optuna", "sweep.n_trials=12", "trainer.max_epochs=20", f"output_dir={tmp_path}"]
    train(*words, kill_after=25)
    folder = sweep_folder(tmp_path)
    done = train(f"resume={folder}")
    assert done.returncode == 0, done.stderr
    facts = [json.loads(file.read_text()) for file in folder.glob("*/run.json")]
    assert len(facts) == 12 and {fact["status"] for fact in facts} == {"finished", "pruned"}
    taken, whole = sum(fact["steps"] for fact in facts), 12 * max(fact["steps"] for fact in facts)
    assert taken < whole and f"{taken:,} steps taken, {whole:,} without it" in done.stdout
    assert "importance: " in done.stdout
