"""A whole run of elastic weight consolidation against a plain loop in the manner of van de Ven's and Tolias' code.

    python benchmarks/lifelong.py [--repeats 3] [--steps 100] [--pictures 1000] [--record docs/performance.md]

Three tasks of digits (embedded data, 3 x 32 x 32), the course's MLP (3,853,578 parameters), Adam, batches of 128, one thread, CPU
seconds.
Ours is `python train.py` from its first word to its last figure, without the imports. The loop has a DataLoader, torch's default Adam,
a Fisher information of one backward pass a picture with the predicted label, and a penalty for each finished task; it keeps no folder
and draws nothing, but tests every task after each, as ours does.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import statistics
import tempfile
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from ml2020.commands.train import train
from ml2020.core.build import build
from ml2020.core.config import load, plain
from ratios import record, table

LAMBDA, BATCH = 100.0, 128
WORDS = [
    "task=hw14_lifelong",
    "model=hw14_ewc",
    "data.tasks=[house,mnist,opt]",
    "data.form=32x32x3",
    "model.net=mlp",
    "model.hidden=[1024,512,256,128,128]",
    "model.fisher=predicted",
    f"model.ewc_lambda={LAMBDA}",
    f"data.batch_size={BATCH}",
    "trainer.threads=1",
]

Pictures = tuple[Tensor, Tensor]


def network() -> nn.Sequential:
    widths = (3072, 1024, 512, 256, 128, 128, 10)
    layers = [part for a, b in itertools.pairwise(widths) for part in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(nn.Flatten(), *layers[:-1])


def loop(tasks: list[Pictures], tests: list[Pictures], steps: int, pictures: int) -> float:
    """CPU seconds of the loop that a reader of the authors' code would write."""
    start = time.process_time()
    net = network()
    finished: list[tuple[list[Tensor], list[Tensor]]] = []
    for number, (x, y) in enumerate(tasks):
        optimizer, taken = torch.optim.Adam(net.parameters(), 1e-3), 0
        while taken < steps:
            for images, labels in DataLoader(TensorDataset(x, y), BATCH, shuffle=True):
                optimizer.zero_grad()
                loss = F.cross_entropy(net(images), labels)
                for importance, anchor in finished:
                    held = zip(net.parameters(), importance, anchor, strict=True)
                    loss = loss + LAMBDA / 2 * sum((i * (w - a) ** 2).sum() for w, i, a in held)
                loss.backward()
                optimizer.step()
                taken += 1
                if taken == steps:
                    break
        if number + 1 < len(tasks):
            finished.append((by_picture(net, x[:pictures]), [w.detach().clone() for w in net.parameters()]))
        with torch.no_grad():
            [(net(a).argmax(1) == b).double().mean().item() for a, b in tests]
    return time.process_time() - start


def by_picture(net: nn.Module, images: Tensor) -> list[Tensor]:
    """The Fisher information from one backward pass a picture."""
    sums = [torch.zeros_like(w) for w in net.parameters()]
    for x, _ in DataLoader(TensorDataset(images, images[:, 0]), 1):
        net.zero_grad()
        logits = net(x)
        F.nll_loss(F.log_softmax(logits, 1), logits.argmax(1)).backward()
        for total, w in zip(sums, net.parameters(), strict=True):
            total += w.grad.detach() ** 2
    return [total / len(images) for total in sums]


def ours(steps: int, pictures: int) -> float:
    """CPU seconds of the run."""
    start = time.process_time()
    with tempfile.TemporaryDirectory() as output, contextlib.redirect_stdout(io.StringIO()):
        assert train([*WORDS, f"model.task_steps={steps}", f"model.fisher_samples={pictures}", f"output_dir={output}"]) == 0
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--record", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    cfg, _ = load("train", WORDS)
    data = build(plain(cfg)["data"])
    data.prepare()
    tasks = [together(data.plain_loader(number, "train")) for number in range(3)]
    tests = [together(data.plain_loader(number, "test")) for number in range(3)]
    ratios = []
    for repeat in range(options.repeats + 1):  # the first one warms up
        measured = ours(options.steps, options.pictures)
        ratio = loop(tasks, tests, options.steps, options.pictures) / measured
        ratios += [ratio] * (repeat > 0)
    words = f"three tasks of {options.steps} steps, {options.pictures} pictures for each Fisher information: loop / our run"
    text = table(("CPU seconds, ratio", "median", "least", "most"), [(words, statistics.median(ratios), min(ratios), max(ratios))])
    print(text)
    if options.record:
        record(options.record, "lifelong", text)


def together(loader: object) -> Pictures:
    images, labels = zip(*loader, strict=True)
    return torch.cat(images), torch.cat(labels)


if __name__ == "__main__":
    main()
