"""Training with everything on (history, TensorBoard, bar, checkpoints, validation hooks) against a bare PyTorch loop.

The same networks on the same tensors, in one process, in turn; CPU seconds of the process, medians of the ratios.

    python benchmarks/loop.py [--repeats 7] [--record docs/performance.md]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ml2020.core.assemble import make_trainer
from ml2020.core.config import load, plain
from ml2020.core.history import History
from ml2020.core.loaders import TensorLoader
from ml2020.core.loop import Conductor
from ml2020.core.module import Module, Phase, Plan
from ml2020.core.optim import constant
from ratios import record, table

BATCH = 128
STEPS = {"MLP 784-256-10": 400, "CNN, 2 convolutions": 24}
OPTIONS = plain(load("train", ["task=hw03_cnn", "model=hw03_original", "trainer.channels_last=false"])[0])["trainer"]


def network(kind: str) -> nn.Module:
    torch.manual_seed(0)
    if kind.startswith("MLP"):
        return nn.Sequential(nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(3136, 10),
    )


class Toy(Module):
    """The usual classifier: loss reported every step."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.seconds = 0.0

    def loss(self, batch: tuple[Tensor, ...]) -> Tensor:
        return F.cross_entropy(self.net(batch[0]), batch[1])

    def on_train_start(self) -> None:
        self.seconds = -time.process_time()

    def on_train_end(self) -> None:
        self.seconds += time.process_time()


def bare(kind: str, x: Tensor, y: Tensor, **options: bool) -> float:
    """CPU seconds of the loop that a user would write by hand."""
    net = network(kind).train()
    optimizer = torch.optim.Adam(net.parameters(), 1e-3, **options)
    order = torch.randperm(len(x))
    start = time.process_time()
    for i in range(0, len(x), BATCH):
        index = order[i : i + BATCH]
        loss = F.cross_entropy(net(x[index]), y[index])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return time.process_time() - start


def ours(kind: str, x: Tensor, y: Tensor) -> float:
    """CPU seconds of the same steps through the frame, as a run takes them (fused Adam is its default)."""
    with tempfile.TemporaryDirectory() as folder:
        history = History(Path(folder))
        conductor = Conductor(Path(folder), history, {"name": "val/acc", "goal": "max"}, OPTIONS)
        module = Toy(network(kind))
        loader = TensorLoader((x, y), BATCH, shuffle=True)
        module.plan = Plan(lambda p: torch.optim.Adam(p, 1e-3, fused=True), lambda o, n: constant(o, n, warmup=0.0), 0.0, len(loader))
        conductor.begin(Phase("fit", loader), 0, 1, module, going_on=False)
        trainer: pl.Trainer = make_trainer({"trainer": OPTIONS}, 1, [conductor])
        trainer.fit(module, loader)
        history.close()
    return module.seconds


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--repeats", type=int, default=7)
    options.add_argument("--record", type=Path)
    args = options.parse_args()
    torch.set_num_threads(1)
    rows = []
    for kind, steps in STEPS.items():
        x, y = torch.rand(steps * BATCH, 1, 28, 28), torch.randint(0, 10, (steps * BATCH,))
        plain, same = [], []
        for repeat in range(args.repeats + 1):  # the first round warms up
            measured = ours(kind, x, y)
            if repeat:
                plain.append(bare(kind, x, y) / measured)
                same.append(bare(kind, x, y, fused=True) / measured)
        wanted = ("0.80", "0.72") if kind.startswith("MLP") else ("0.95", "")
        rows.append(
            (
                f"{kind}: our run / bare loop, torch's default Adam",
                statistics.median(plain),
                min(plain),
                max(plain),
                wanted[0],
            )
        )
        rows.append(
            (
                f"{kind}: our run / bare loop, fused Adam in both",
                statistics.median(same),
                min(same),
                max(same),
                wanted[1],
            )
        )
    text = table(("steps per second, ratio", "median", "least", "most", "at least"), rows)
    print(text)
    if args.record:
        record(args.record, "loop", text)


if __name__ == "__main__":
    main()
