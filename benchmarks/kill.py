"""Stop runs at random moments, resume them, and demand the same bits as those of a run that was never stopped.

python benchmarks/kill.py --n 50 --seed 0 [--task hw03_cnn] [--record docs/resume.md]

Each trial draws a task, a number of processes (1 or 2), a signal (SIGKILL, SIGTERM, SIGINT) and a moment, from before torch is imported
to after the last step; two thirds of the moments lie in the fit; a third of the trials are stopped a second time. Equal means:
metrics.json, metrics.csv but for its seconds, the scalars in the event files, and every tensor of every checkpoint.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from ratios import record

ROOT = Path(__file__).resolve().parents[1]
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
SMALL = {  # little data, and enough steps to be stopped among
    "hw03_cnn": [
        "trainer.max_epochs=5",
        "data.batch_size=8",
        "data.train_per_class=12",
        "data.val_per_class=5",
        "data.test_per_class=5",
    ],
}
EVERYWHERE = ["trainer.threads=1", "trainer.checkpoint_seconds=0.1", "trainer.log_every=3"]


def tasks() -> list[str]:
    return sorted(file.stem for file in (ROOT / "conf" / "task").glob("*.yaml"))


def begin(words: list[str], log: Path) -> subprocess.Popen:
    """A command in a process group of its own, where Ctrl-C is heeded as in a terminal."""
    return subprocess.Popen(
        [sys.executable, "train.py", *words],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=log.open("a"),
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def words_for(task: str, world: int, output: Path) -> list[str]:
    small = SMALL.get(task, ["trainer.max_epochs=4"])
    return [f"task={task}", "quick=true", *small, *EVERYWHERE, f"trainer.devices={world}", f"output_dir={output}"]


def only_run(output: Path) -> Path | None:
    return next(iter(sorted(output.glob("*/*/run.json"))), output).parent if list(output.glob("*/*/run.json")) else None


def contents(run: Path) -> dict[str, Any]:
    """What must be equal, by name."""
    import torch
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with (run / "metrics.csv").open() as file:
        rows = [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]
    board = EventAccumulator(str(run), size_guidance={"scalars": 0}).Reload()
    found = {
        "status": json.loads((run / "run.json").read_text())["status"],
        "metrics.json": (run / "metrics.json").read_text(),
        "metrics.csv": rows,
        "events": {tag: [(event.step, event.value) for event in board.Scalars(tag)] for tag in board.Tags()["scalars"]},
    }
    for file in sorted(run.rglob("*.ckpt")):
        state = torch.load(file, weights_only=True)["state_dict"]
        found[str(file.relative_to(run))] = {name: tensor.numpy().tobytes() for name, tensor in state.items()}
    return found


def trial(task: str, world: int, stops: list[tuple[signal.Signals, float]], output: Path) -> tuple[Path, list[str]]:
    """Start, stop after so many seconds, resume, and so on to the end. Gives the run's folder and what happened."""
    log, said = output / "log.txt", []
    words = words_for(task, world, output)
    for number, seconds in stops:
        process = begin(words, log)
        try:
            code = process.wait(timeout=seconds)
            said.append(f"ended by itself with {code}")
            if code:
                raise SystemExit(f"{words} ended with {code}: {log.read_text()}")
        except subprocess.TimeoutExpired:
            process.send_signal(number)
            code = process.wait(timeout=300)
            said.append(f"{number.name} after {seconds:.1f} s: exit status {code}")
            if code not in (-number, 128 + number, 0):  # 0: it ended in the same moment
                raise SystemExit(f"{words}: {said}: {log.read_text()}") from None
        if (run := only_run(output)) is not None:
            words = [f"resume={run}"]
    code = begin(words, log).wait(timeout=600)
    run = only_run(output)
    if code or run is None:
        raise SystemExit(f"{words} ended with {code} after {said}:\n{log.read_text()}")
    return run, said


def fit_of(run: Path, length: float) -> tuple[float, float]:
    """Seconds after the start in which a run of `length` seconds was in its fit."""
    with (run / "metrics.csv").open() as file:
        last = [float(row["seconds"]) for row in csv.DictReader(file)][-1]
    began = length - json.loads((run / "run.json").read_text())["seconds"]
    return began, began + last


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--task", action="append", help="only this task (may be given again)")
    parser.add_argument("--record", type=Path)
    options = parser.parse_args()
    draw = random.Random(options.seed)
    whole: dict[tuple[str, int], tuple[dict[str, Any], float, tuple[float, float]]] = {}
    counts, unequal = Counter(), []
    with tempfile.TemporaryDirectory(prefix="ml2020-kill-") as place:
        for number in range(options.n):
            task, world = draw.choice(options.task or tasks()), draw.choice((1, 2))
            if (task, world) not in whole:
                began = time.monotonic()
                output = Path(place, f"whole_{task}_{world}")
                output.mkdir()
                run, _ = trial(task, world, [], output)
                length = time.monotonic() - began
                whole[task, world] = contents(run), length, fit_of(run, length)
            expected, length, fit = whole[task, world]
            moments = [draw.uniform(*(fit if draw.random() < 2 / 3 else (0.2, 1.05 * length))) for _ in range(2)]
            stops = [(draw.choice(SIGNALS), moment) for moment in moments[: 1 if draw.random() < 2 / 3 else 2]]
            output = Path(place, f"{number}")
            output.mkdir()
            run, said = trial(task, world, stops, output)
            got = contents(run)
            wrong = sorted(name for name in expected.keys() | got.keys() if expected.get(name) != got.get(name))
            for stop in said:
                counts[stop.split()[0] if "SIG" in stop else "ended before"] += 1
            counts[f"{world} process(es)"] += 1
            print(
                f"{number + 1}/{options.n}  {task}, {world} process(es), {'; '.join(said)}: {wrong if wrong else 'equal'}",
                flush=True,
            )
            if wrong:
                unequal.append((number, wrong))
    summary = f"{options.n - len(unequal)} of {options.n} resumed runs equal to the bit; " + ", ".join(
        f"{n} {k}" for k, n in sorted(counts.items())
    )
    print(summary)
    if options.record:
        line = (
            f"`python benchmarks/kill.py --n {options.n} --seed {options.seed}` over {', '.join(options.task or tasks())}: {summary}."
        )
        record(options.record, "kill", line)
    sys.exit(bool(unequal))


if __name__ == "__main__":
    main()
