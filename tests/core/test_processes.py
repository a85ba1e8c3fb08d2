"""Several processes on one run: who they are, equal numbers, one folder, and what happens when one of them dies."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ml2020.core import processes
from ml2020.core.errors import TypedError, UserError
from ml2020.core.folder import RunFolder
from ml2020.core.processes import Place, place

ROOT = Path(__file__).parents[2]
# No batch norm and no dropout. 220 pictures in batches of 15: the last one has 10, and 15 do not divide by two.
SMALL = ["task=hw03_cnn", "model=hw03_original", "trainer.log_every=1", "trainer.max_epochs=2", "trainer.threads=1"]
SMALL += ["data.train_per_class=20", "data.val_per_class=4", "data.test_per_class=4"]
UNEVEN = ["data.batch_size=15", "trainer.precision=64-true"]  # rounding apart, equal


def losses(run: Path, count: int = 20) -> list[float]:
    with (run / "metrics.csv").open() as file:
        return [float(row["train/loss"]) for row in csv.DictReader(file) if row["train/loss"]][:count]


def train(*words: str, **more: object) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, timeout=300, **more)


def test_a_process_without_variables_is_alone():
    assert place({}) == Place(0, 1, 0, 0)


def test_torchruns_variables_are_read():
    assert place({"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "GROUP_RANK": "1"}) == Place(3, 4, 1, 1)


def test_a_step_of_srun_is_a_rank_and_a_batch_script_is_not():
    batch = {"SLURM_NTASKS": "4", "SLURM_PROCID": "0", "SLURM_JOB_ID": "7"}
    assert place(batch) == Place()
    step = batch | {"SLURM_STEP_ID": "0", "SLURM_PROCID": "2", "SLURM_LOCALID": "0", "SLURM_NODEID": "1"}
    assert place(step) == Place(2, 4, 0, 1)


@pytest.mark.parametrize("env", [{"RANK": "x", "WORLD_SIZE": "2"}, {"SLURM_STEP_ID": "0", "SLURM_PROCID": "0", "SLURM_NTASKS": "x"}])
def test_a_rank_that_is_no_number_is_one_sentence(env: dict[str, str]):
    with pytest.raises(UserError, match=r"the environment says \w+=x, which is no number; type: unset \w+"):
        place(env)


@pytest.mark.parametrize(("nodes", "first"), [("node[03-07,9],other", "node03"), ("a,b", "a"), ("gpu1", "gpu1"), ("n[1,3]", "n1")])
def test_the_first_of_slurms_nodes_is_the_meeting_place(nodes: str, first: str):
    assert processes._first_host(nodes) == first


def test_a_number_of_processes_that_was_not_asked_for_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RANK", "0"), monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(TypedError, match=r"3 processes were started, but the trainer is set to 2; type trainer.devices=3"):
        processes.check_world({"gpus": None, "devices": 2, "num_nodes": 1})
    processes.check_world({"gpus": None, "devices": 3, "num_nodes": 1})


def test_alone_every_exchange_gives_back_what_was_said():
    assert processes.told("word") == "word" and processes.gathered(3) == [3] and processes.highest(7) == 7


@pytest.mark.parametrize(
    ("code", "said", "error", "sentence"),
    [
        (1, "the file is gone", UserError, "the file is gone"),
        (2, "no such width", TypedError, "no such width"),
        (-9, "", UserError, r"process 2 of 2 was ended by SIGKILL \(out of memory, perhaps\)"),
        (7, "", UserError, "process 2 of 2 ended with status 7"),
    ],
)
def test_the_end_of_a_rank_is_worded(code: int, said: str, error: type, sentence: str):
    with pytest.raises(error, match=sentence):
        processes._raise(1, code, 2, said)


def test_the_rank_that_failed_speaks_and_not_the_one_that_lost_it():
    lost = ["RuntimeError: [pair.cc:561] Connection closed by peer [127.0.0.1]:25245"]
    assert processes._told_by([0, 1], [lost, ["KeyError: 'x'"]]) == 1
    assert processes._told_by([0], [lost, []]) == 0
    assert processes._told_by([], [[], []]) is None


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One sweep of two jobs, the second with two processes."""
    output = tmp_path_factory.mktemp("swept")
    done = train("train.py", "-m", *SMALL, *UNEVEN, "trainer.devices=1,2", f"output_dir={output}")
    assert done.returncode == 0, done.stderr
    (folder,) = output.glob("hw03_cnn/sweeps/*")
    return folder


def test_two_processes_take_the_same_steps_as_one_inside_a_sweep_too_and_each_job_has_one_folder(swept: Path):
    one, two = (losses(run.parent) for run in sorted(swept.glob("*/run.json")))
    assert len(one) == 20
    assert two == pytest.approx(one, abs=1e-9)
    assert len([path for path in swept.iterdir() if path.is_dir()]) == 2
    assert len(list(swept.parent.iterdir())) == 1
    runs = [json.loads(file.read_text()) for file in sorted(swept.glob("*/run.json"))]
    assert [run["processes"] for run in runs] == [1, 2]
    assert all(len(list(file.parent.glob("events.out.*"))) == 1 for file in swept.glob("*/run.json"))
    assert {path.name for path in swept.iterdir() if path.is_file()} == {
        *(".lock", "sweep.csv", "sweep.json", "sweep.png", "sweep.log", "sweep_jobs.json"),
    }


@pytest.mark.full
def test_two_processes_take_the_same_steps_as_one_in_single_precision(run_task: Callable[..., RunFolder], tmp_path: Path):
    # The model's own batches of 32. On the whole embedded data the largest difference of the first 20 steps is 4e-7, then Adam makes
    # more of it (docs/processes.md); in double precision, above, it stays below 1e-9.
    words = [word for word in SMALL if not word.startswith("data.")] + ["quick=true"]
    done = train("train.py", *words, "trainer.devices=2", f"output_dir={tmp_path}")
    assert done.returncode == 0, done.stderr
    (two,) = tmp_path.glob("hw03_cnn/*")
    one = losses(run_task(*words).path)
    assert len(one) == 20
    assert losses(two) == pytest.approx(one, abs=1e-6)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs Linux's /proc")
def test_a_rank_that_dies_takes_the_run_down_with_one_sentence(tmp_path: Path):
    words = [
        *[word for word in SMALL if "max_epochs" not in word],
        "trainer.max_epochs=500",
        "trainer.devices=2",
        f"output_dir={tmp_path}",
    ]
    run = subprocess.Popen([sys.executable, "train.py", *words], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 120
    while not list(tmp_path.glob("*/*/checkpoints/last.ckpt")) and time.monotonic() < until:
        time.sleep(0.1)
    second = next(pid for pid in children(run.pid) if b"\0RANK=1\0" in Path(f"/proc/{pid}/environ").read_bytes())
    os.kill(second, signal.SIGKILL)
    _, told = run.communicate(timeout=30)
    assert run.returncode == 1
    assert told.strip() == "process 2 of 2 was ended by SIGKILL (out of memory, perhaps)"


@pytest.mark.full
def test_torchrun_gives_the_same_run_in_one_folder(swept: Path, tmp_path: Path):
    words = [*SMALL, *UNEVEN, "trainer.devices=2", f"output_dir={tmp_path}"]
    done = train("-m", "torch.distributed.run", "--nproc_per_node=2", "--master_port=29601", "train.py", *words)
    assert done.returncode == 0, done.stderr
    (run,) = tmp_path.glob("*/*")
    ours = next(file.parent for file in swept.glob("*/run.json") if json.loads(file.read_text())["processes"] == 2)
    assert (run / "metrics.json").read_text() == (ours / "metrics.json").read_text()
    assert losses(run) == losses(ours)


@pytest.mark.full
def test_slurms_variables_give_the_same_run_in_one_folder(swept: Path, tmp_path: Path):
    words = [sys.executable, "train.py", *SMALL, *UNEVEN, "trainer.devices=2", f"output_dir={tmp_path}"]
    step = {"SLURM_STEP_ID": "0", "SLURM_NTASKS": "2", "SLURM_JOB_ID": "1601", "SLURM_STEP_NODELIST": "127.0.0.1"}
    ranks = [
        subprocess.Popen(words, cwd=ROOT, env=os.environ | step | {"SLURM_PROCID": r, "SLURM_LOCALID": r}, stdout=subprocess.DEVNULL)
        for r in ("1", "0")
    ]
    assert [rank.wait(timeout=300) for rank in ranks] == [0, 0]
    (run,) = tmp_path.glob("*/*")
    ours = next(file.parent for file in swept.glob("*/run.json") if json.loads(file.read_text())["processes"] == 2)
    assert losses(run) == losses(ours)


@pytest.mark.full
def test_two_nodes_of_one_process_each_give_the_same_run_in_one_folder(swept: Path, tmp_path: Path):
    words = [*SMALL, *UNEVEN, "trainer.num_nodes=2", f"output_dir={tmp_path}"]
    start = ["-m", "torch.distributed.run", "--nnodes=2", "--nproc_per_node=1", "--master_addr=127.0.0.1", "--master_port=29602"]
    nodes = [
        subprocess.Popen([sys.executable, *start, f"--node_rank={node}", "train.py", *words], cwd=ROOT, stdout=subprocess.DEVNULL)
        for node in (1, 0)
    ]
    assert [node.wait(timeout=300) for node in nodes] == [0, 0]
    (run,) = tmp_path.glob("*/*")
    ours = next(file.parent for file in swept.glob("*/run.json") if json.loads(file.read_text())["processes"] == 2)
    assert losses(run) == losses(ours)
