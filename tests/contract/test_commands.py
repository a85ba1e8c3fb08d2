"""The commands as a shell sees them: exit statuses, what is imported, what is left behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ml2020.commands.new import config_keys
from ml2020.core.build import build
from ml2020.core.conf import options
from ml2020.core.config import load, plain
from ml2020.core.module import Module

ROOT = Path(__file__).parents[2]
WITHOUT_TORCH = (
    "import sys, runpy; sys.argv = ['train.py', *sys.argv[1:]]\ntry:\n    runpy.run_path({file!r}, run_name='__main__')\n"
    + (
        "except SystemExit as end:\n    code = end.code\nheavy = {{'torch', 'pytorch_lightning', 'matplotlib'}} & set(sys.modules)\n"
        "sys.exit(99 if heavy else code)"
    )
)


def python(*words: str, code: str | None = None, cwd: Path = ROOT) -> subprocess.CompletedProcess:
    start = ["-c", code] if code else []
    return subprocess.run([sys.executable, *start, *words], cwd=cwd, capture_output=True, text=True, timeout=120)


def without_torch(*words: str, file: str = "train.py") -> subprocess.CompletedProcess:
    return python(*words, code=WITHOUT_TORCH.format(file=str(ROOT / file)))


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["--help"], 0),
        ([], 0),
        (["task=hw03_cnn", "--cfg", "job"], 0),
        (["task=hw03_cnn", "trainer.gpuz=1"], 2),
        (["task=hw03_cnnn"], 2),
        (["task=hw03_cnn", "trainer.max_epochs=x"], 2),
        (["task=hw03_cnn", "--cgf", "job"], 2),
        (["-m", "task=hw03_cnn", "model.tta=flip,filp"], 2),
    ],
)
def test_what_needs_no_torch_does_not_import_it(words: list[str], status: int):
    done = without_torch(*words)
    assert done.returncode == status, done.stderr
    if status:
        assert len(done.stderr.strip().splitlines()) == 1 and "Traceback" not in done.stderr


def test_completion_does_not_import_torch():
    done = without_torch("--shell-completion", "install=bash")
    assert done.returncode == 0 and "complete" in done.stdout


def test_help_is_a_page_with_every_task_and_fits_eighty_columns():
    page = python("train.py", "--help").stdout
    assert "task=hw03_cnn" in page and page.count("python train.py") >= 6
    assert max(len(line) for line in page.splitlines()) <= 80


def test_cfg_shows_what_would_run():
    text = python("train.py", "task=hw03_cnn", "model=hw03_original", "--cfg", "job").stdout
    assert "max_epochs: 15" in text and "enabled: false" in text


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (["train.py", "task=hw03_cnn", "trainer.gpus=1"], 1, "this machine has none that torch can use"),
        (["train.py", "task=hw03_cnn", "data=hw03_food11", "data_dir=nowhere"], 1, "there is no folder nowhere/hw03"),
        (["train.py", "task=hw03_cnn", "data.augment.flip=2"], 2, "data.augment.flip must lie between 0 and 1"),
        (["train.py", "task=hw03_cnn", "data.batch_size=0"], 2, "data.batch_size must be at least 1"),
        (["eval.py", "run=nowhere", "do=test"], 2, "there is no folder nowhere"),
        (["eval.py", "run=tests", "do=test"], 2, "is not the folder of a run"),
        (["eval.py", "do=test"], 2, "say which run"),
        (["eval.py", "run=tests", "do=tset"], 2, "did you mean test?"),
    ],
)
def test_a_mistake_is_one_sentence_and_leaves_nothing(words: list[str], status: int, sentence: str, tmp_path: Path):
    import torch

    if "trainer.gpus=1" in words and torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    done = python(str(ROOT / words[0]), *words[1:], cwd=tmp_path if words[0] == "train.py" else ROOT)
    assert done.returncode == status, done.stderr
    assert sentence in done.stderr and len(done.stderr.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_keeps_a_checkpoint_and_gives_130(tmp_path: Path):
    import signal
    import time

    words = [
        "train.py",
        "task=hw03_cnn",
        "quick=true",
        "trainer.max_epochs=500",
        f"output_dir={tmp_path}",
        "trainer.threads=1",
    ]
    # A worker of pytest may ignore Ctrl-C. Not by preexec_fn: it forks, and grpc (of a board that was read here) then ends the child.
    heeds = "import runpy, signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); sys.argv = sys.argv[1:]; "
    heeds += "runpy.run_path(sys.argv[0], run_name='__main__')"
    process = subprocess.Popen(
        [sys.executable, "-c", heeds, *words], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    until = time.monotonic() + 90
    while not list(tmp_path.glob("*/*/checkpoints/last.ckpt")) and time.monotonic() < until:
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    (folder,) = tmp_path.glob("*/*")
    assert '"status": "interrupted"' in (folder / "run.json").read_text()
    assert "Traceback" not in told


def test_the_list_names_every_task():
    done = python("-m", "ml2020.commands.cli", "list")
    assert done.returncode == 0 and "hw03_cnn" in done.stdout and "hw03_original" in done.stdout


@pytest.mark.parametrize("task", options("task"))
def test_the_list_of_keys_is_frozen(task: str):
    # A changed key is a decision: write tests/golden/<task>.keys anew with ML2020_GOLDEN=write make test, and say so in CHANGELOG.md.
    file = Path(__file__).parents[1] / "golden" / f"{task}.keys"
    if os.environ.get("ML2020_GOLDEN") == "write":
        file.write_text("\n".join(config_keys(task)) + "\n")
    assert config_keys(task) == file.read_text().split()


@pytest.mark.parametrize("model", options("model"))
def test_every_model_is_built_from_its_file(model: str):
    task = next(name for name in options("task") if name.split("_")[0] == model.split("_")[0])
    config = plain(load("train", [f"task={task}", f"model={model}"])[0])
    assert isinstance(build(config["model"]), Module)
