"""Every task against every capability: it works, or it is refused in one sentence. docs/matrix.md is written from here.

ML2020_GOLDEN=write make test-full writes the page anew, after everything that it says was tried.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ml2020.commands.evaluate import evaluate
from ml2020.commands.resume import resume_run
from ml2020.commands.train import train
from ml2020.core import capabilities
from ml2020.core.conf import options
from ml2020.core.config import load
from ml2020.core.folder import RunFolder

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "matrix.md"
TYPED = {
    "ddp": ["trainer.devices=2"],
    "precision": ["trainer.precision=bf16-mixed"],
    "ema": ["trainer.ema_decay=0.9"],
    "accumulate": ["trainer.accumulate=2"],
    "clip": ["trainer.clip_norm=1.0"],
    "early_stopping": ["trainer.patience=1"],
    "channels_last": ["trainer.channels_last=true"],
    "compile": ["trainer.compile=true"],
}
ALONE = ("ddp", "precision", "compile")  # the others are tried together in one run
FEW = {"hw03_cnn": [f"data.{split}_per_class=4" for split in ("train", "val", "test")]}  # a CPU without bf16 is slow at it


def missing(task: str) -> dict[str, str]:
    return capabilities.missing(load("train", [f"task={task}"])[0])


def row(task: str) -> str:
    cells = ["refused" if name in missing(task) else "works" for name in capabilities.NAMES]
    return f"| {task} | " + " | ".join(cells) + " |"


tasks = pytest.mark.parametrize("task", options("task"))


@tasks
def test_settings_of_the_trainer_work_together(task: str, run_task: Callable[..., RunFolder]):
    together = [word for name, words in TYPED.items() if name not in ALONE and name not in missing(task) for word in words]
    assert run_task(f"task={task}", "quick=true", *together).status == "finished"


@tasks
def test_less_precision_works(task: str, run_task: Callable[..., RunFolder]):
    if "precision" not in missing(task):
        assert run_task(f"task={task}", "quick=true", *FEW.get(task, []), *TYPED["precision"]).status == "finished"


@pytest.mark.full
@tasks
def test_compiling_works(task: str, run_task: Callable[..., RunFolder]):
    if "compile" not in missing(task):
        assert run_task(f"task={task}", "quick=true", *TYPED["compile"]).status == "finished"


@pytest.mark.parametrize("task", ["hw03_cnn", *(pytest.param(task, marks=pytest.mark.full) for task in options("task")[:2])])
def test_two_processes_work(task: str, tmp_path: Path):
    if "ddp" not in missing(task):
        words = [
            "train.py",
            f"task={task}",
            "quick=true",
            *FEW.get(task, []),
            "trainer.threads=1",
            *TYPED["ddp"],
            f"output_dir={tmp_path}",
        ]
        done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        (run,) = tmp_path.glob("*/*")
        assert RunFolder.open(run).facts["processes"] == 2


@tasks
def test_a_stopped_run_ends_with_the_same_bits(task: str, quick_run: RunFolder, tmp_path: Path, stopped_at: Callable):
    if "resume" in missing(task) or quick_run.facts["task"] != task:
        return
    with stopped_at(4):
        train([f"task={task}", "quick=true", "trainer.threads=1", f"output_dir={tmp_path}"])
    (run,) = tmp_path.glob("*/*")
    resume_run(RunFolder.open(run), {})
    assert (run / "metrics.json").read_text() == (quick_run.path / "metrics.json").read_text()


@pytest.mark.parametrize("do", ["predict", "export", "report"])
def test_eval_does_what_the_task_can(do: str, quick_run: RunFolder, tmp_path: Path):
    shutil.copytree(quick_run.path, tmp_path / "run")
    made = {"predict": "submission.*", "export": "export/model.onnx", "report": "report.html"}[do]
    status = evaluate([f"run={tmp_path / 'run'}", f"do={do}"])
    refused = do in missing(quick_run.facts["task"])
    assert status == (2 if refused else 0)
    assert bool(list((tmp_path / "run").glob(made))) is not refused


@tasks
def test_what_a_task_cannot_do_is_one_sentence(task: str, tmp_path: Path, capsys: pytest.CaptureFixture):
    for name, why in missing(task).items():
        if name in TYPED:
            assert train([f"task={task}", *TYPED[name], f"output_dir={tmp_path / 'out'}"]) == 2
            told = capsys.readouterr().err
            assert why in told and len(told.strip().splitlines()) == 1
            assert not (tmp_path / "out").exists()


@tasks
def test_the_page_says_what_was_found(task: str):
    if os.environ.get("ML2020_GOLDEN") == "write":
        with PAGE.open("r+") as page:
            fcntl.flock(page, fcntl.LOCK_EX)
            text = re.sub(rf"^\| {task} \|.*\n", "", page.read(), flags=re.M)
            reasons = [f"- {task}, {name}: {why}" for name, why in missing(task).items()]
            text = re.sub(rf"^- {task}, .*\n", "", text, flags=re.M)
            marker = "<!-- rows end here -->\n"
            page.seek(0), page.truncate()
            page.write(text.replace(marker, row(task) + "\n" + marker) + "".join(f"{line}\n" for line in reasons))
    if f"| {task} |" not in PAGE.read_text():
        pytest.skip(f"{task} is not in docs/matrix.md yet: ML2020_GOLDEN=write make test-full")
    assert row(task) in PAGE.read_text().splitlines()
    assert all(f"- {task}, {name}: {why}" in PAGE.read_text().splitlines() for name, why in missing(task).items())
