"""Importance of weights by layers against a loop over pictures, one gradient each, in the manner of the authors' code.

    python benchmarks/fisher.py [--repeats 5] [--pictures 64] [--record docs/performance.md]

Networks: the course's MLP (3,853,578 parameters) and a small network of convolutions, float32, one thread, CPU seconds of the process;
both sides in turn, medians of the ratios. The loop takes one backward pass a picture (exact: one for each of the ten classes), squares
the gradients and adds them up.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ml2020.tasks.hw14_lifelong.fisher import Importance, fisher
from ratios import record, table

WIDTHS = (3072, 1024, 512, 256, 128, 128, 10)


def course() -> nn.Module:
    layers = [[nn.Linear(i, o), nn.ReLU()] for i, o in itertools.pairwise(WIDTHS)]
    return nn.Sequential(nn.Flatten(), *itertools.chain(*layers))[:-1]


def convolutions() -> nn.Module:
    layers = [[nn.Conv2d(i, o, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)] for i, o in ((1, 16), (16, 32), (32, 64))]
    return nn.Sequential(*itertools.chain(*layers), nn.Flatten(), nn.Linear(576, 128), nn.ReLU(), nn.Linear(128, 10))


def loop(net: nn.Module, images: Tensor, labels: Tensor, kind: str) -> Importance:
    """The same by a loop: one picture, one gradient, squared and added."""
    net.eval()
    sums = {name: torch.zeros_like(weight) for name, weight in net.named_parameters()}
    for x, y in zip(images, labels, strict=True):
        for c in range(10) if kind == "exact" else [y]:
            net.zero_grad()
            log_p = F.log_softmax(net(x[None]), dim=1)[0, c]
            log_p.backward()
            share = log_p.detach().exp() if kind == "exact" else 1
            for name, weight in net.named_parameters():
                sums[name] += share * weight.grad**2
    return {name: total / len(images) for name, total in sums.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--pictures", type=int, default=64)
    parser.add_argument("--record", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rows = []
    for words, net, shape in (
        ("MLP 3072-1024-512-256-128-128-10", course(), (3, 32, 32)),
        ("three convolutions, 16 to 64", convolutions(), (1, 28, 28)),
    ):
        images, labels = torch.rand(options.pictures, *shape), torch.randint(0, 10, (options.pictures,))
        for kind in ("exact", "empirical"):
            ratios = []
            for _ in range(options.repeats + 1):  # the first one warms up
                began = time.process_time()
                ours = fisher(net, images, labels, kind)
                between = time.process_time()
                theirs = loop(net, images, labels, kind)
                ratios.append((time.process_time() - between) / (between - began))
            gap = max(float((ours[name] - value).abs().max() / value.abs().max()) for name, value in theirs.items())
            milliseconds = (between - began) / options.pictures * 1e3
            rows.append(
                (
                    f"{words}, {kind}",
                    statistics.median(ratios[1:]),
                    min(ratios[1:]),
                    max(ratios[1:]),
                    f"{milliseconds:.2f}",
                    f"{gap:.0e}",
                )
            )
    text = table(("Fisher, loop / ours", "median", "least", "most", "ours, ms a picture", "largest relative difference"), rows)
    print(text)
    if options.record:
        record(options.record, "fisher", text)


if __name__ == "__main__":
    main()
