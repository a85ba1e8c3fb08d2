"""What a sweep costs above the training of its jobs, beside the same jobs typed one by one.

python benchmarks/sweeps.py [--repeats 3] [--record docs/performance.md]

Eight short jobs of homework 1, one thread each: in one sweep, and as eight commands, in turn. The training time of a job is what its
run.json says (from the first step to the last figure). Overhead is what is left, a job.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ratios import record, table

ROOT = Path(__file__).resolve().parents[1]
SEEDS = range(8)
WORDS = ["task=hw01_regression", "trainer.max_epochs=4", "trainer.threads=1"]


def run(words: list[str], output: Path) -> float:
    start = time.perf_counter()
    command = [sys.executable, "train.py", *words, f"output_dir={output}"]
    subprocess.run(command, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=True, capture_output=True)
    return time.perf_counter() - start


def trained(output: Path) -> float:
    return sum(json.loads(file.read_text())["seconds"] for file in output.rglob("run.json"))


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument("--record", type=Path)
    args = options.parse_args()
    measured: dict[str, list[float]] = {"sweep": [], "commands": [], "ratio": []}
    for repeat in range(args.repeats + 1):  # the first round warms the disk
        with tempfile.TemporaryDirectory() as place:
            one, many = Path(place, "one"), Path(place, "many")
            sweep = run(["-m", *WORDS, f"seed={','.join(map(str, SEEDS))}"], one)
            alone = sum(run([*WORDS, f"seed={seed}"], many) for seed in SEEDS)
            if repeat:
                measured["sweep"].append((sweep - trained(one)) / len(SEEDS))
                measured["commands"].append((alone - trained(many)) / len(SEEDS))
                measured["ratio"].append(sweep / alone)
    named = {
        "sweep: seconds a job above its training": ("sweep", "1.0"),
        "commands: seconds a job above its training": ("commands", ""),
        "whole: sweep / commands": ("ratio", ""),
    }
    rows = [(name, statistics.median(measured[k]), min(measured[k]), max(measured[k]), most) for name, (k, most) in named.items()]
    text = table(("8 jobs of homework 1", "median", "least", "most", "at most"), rows)
    print(text)
    if args.record:
        record(args.record, "sweeps", text)


if __name__ == "__main__":
    main()
