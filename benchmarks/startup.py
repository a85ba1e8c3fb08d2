"""How long the commands that need no torch take, as shares of `import torch` (wall seconds, in turn, medians of the ratios).

python benchmarks/startup.py [--repeats 7] [--record docs/performance.md]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

from ratios import record, table

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = {
    "--help": ["--help"],
    "--cfg job": ["task=hw03_cnn", "--cfg", "job"],
    "a wrong key": ["task=hw03_cnn", "trainer.gpuz=1"],
    "completion": ["--shell-completion", "install=bash"],
}


def seconds(words: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--repeats", type=int, default=7)
    options.add_argument("--record", type=Path)
    args = options.parse_args()
    ratios: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for repeat in range(args.repeats + 1):  # the first round warms the disk
        torch = seconds(["-c", "import torch"])
        for name, words in COMMANDS.items():
            taken = seconds(["train.py", *words])
            if repeat:
                ratios[name].append(taken / torch)
    rows = [(f"train.py {name}", statistics.median(r), min(r), max(r), "0.35") for name, r in ratios.items()]
    text = table(("seconds / seconds of `import torch`", "median", "least", "most", "at most"), rows)
    print(text)
    if args.record:
        record(args.record, "startup", text)


if __name__ == "__main__":
    main()
