"""Second-order MAML, all tasks at once, against a loop over tasks in the manner of the course's sample.

    python benchmarks/meta.py [--repeats 5] [--record docs/performance.md]

The course's network (four blocks of 3 x 3 convolution, batch norm by the batch, ReLU, pooling; a linear layer), 5 ways, 1 shot, one
inner step, 28 x 28; the same episodes; one thread. Both take an Adam step a meta-batch. The loop computes each task's graph by
functional calls, keeps them all, and goes backward once, as the sample does. CPU seconds, in turns in one process.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ml2020.tasks.hw13_meta.episodes import Episodes
from ml2020.tasks.hw13_meta.maml import MAML
from ratios import record, table

RATE, WAYS = 0.4, 5


class Loop:
    """The sample's: parameters in a dict, functions of torch.nn.functional, task after task."""

    def __init__(self, width: int) -> None:
        self.weights: dict[str, Tensor] = {}
        for i in range(4):
            conv = nn.Conv2d(width if i else 1, width, 3)
            self.weights |= {f"{i}.conv": conv.weight, f"{i}.bias": conv.bias}
            self.weights |= {f"{i}.gain": nn.Parameter(torch.ones(width)), f"{i}.shift": nn.Parameter(torch.zeros(width))}
        head = nn.Linear(width, WAYS)
        self.weights |= {"head": head.weight, "head.bias": head.bias}
        self.optimizer = torch.optim.Adam(self.weights.values(), 1e-3)

    @staticmethod
    def forward(weights: dict[str, Tensor], x: Tensor) -> Tensor:
        for i in range(4):
            x = F.conv2d(x, weights[f"{i}.conv"], weights[f"{i}.bias"], padding=1)
            x = F.batch_norm(x, None, None, weights[f"{i}.gain"], weights[f"{i}.shift"], training=True)
            x = F.max_pool2d(F.relu(x), 2, 2)
        return F.linear(x.flatten(1), weights["head"], weights["head.bias"])

    def step(self, episodes: Episodes) -> None:
        losses = []
        for x, y, xq, yq in zip(*episodes, strict=True):
            loss = F.cross_entropy(self.forward(self.weights, x), y)
            gradients = torch.autograd.grad(loss, list(self.weights.values()), create_graph=True)
            fast = {name: w - RATE * g for (name, w), g in zip(self.weights.items(), gradients, strict=True)}
            losses.append(F.cross_entropy(self.forward(fast, xq), yq))
        self.optimizer.zero_grad()
        torch.stack(losses).mean().backward()
        self.optimizer.step()


class Ours:
    """`MAML.loss` and its backward pass, as `training_step` calls them; with torch's bf16 autocast where it is asked for."""

    def __init__(self, width: int, half: bool = False) -> None:
        self.learner, self.half = MAML(width=width, inner_lr=RATE), half
        self.learner.configure({"input": [1, 28, 28], "ways": WAYS})
        self.optimizer = torch.optim.Adam(self.learner.parameters(), 1e-3, fused=True)

    def step(self, episodes: Episodes) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=self.half):
            loss = self.learner.loss(episodes)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()


def draw(tasks: int, queries: int) -> Episodes:
    targets = [torch.arange(WAYS).repeat_interleave(count).expand(tasks, -1) for count in (1, queries)]
    pictures = [(torch.rand(tasks, WAYS * count, 1, 28, 28) > 0.8).float() for count in (1, queries)]
    return Episodes(pictures[0], targets[0], pictures[1], targets[1])


def seconds(step: Callable[[Episodes], None], episodes: Episodes, least: int = 32) -> float:
    """CPU seconds a task, over at least so many tasks."""
    start, done = time.process_time(), 0
    while done < least:
        step(episodes)
        done += len(episodes.support)
    return (time.process_time() - start) / done


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--record", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for words, width, tasks, queries in (
        ("width 64, 32 tasks, 1 query", 64, 32, 1),
        ("width 64, 16 tasks, 1 query", 64, 16, 1),
        ("width 32, 4 tasks, 5 queries (the embedded characters)", 32, 4, 5),
    ):
        torch.manual_seed(0)
        episodes = draw(tasks, queries)
        rivals = {"loop": Loop(width), "ours": Ours(width), "ours, bf16": Ours(width, half=True)}
        found: dict[str, list[float]] = {name: [] for name in rivals}
        for repeat in range(options.repeats + 1):  # the first one warms up
            for name, rival in rivals.items():
                spent = seconds(rival.step, episodes)
                found[name] += [spent] * (repeat > 0)
        for name in ("ours", "ours, bf16"):
            ratios = [a / b for a, b in zip(found["loop"], found[name], strict=True)]
            rate = tuple(f"{1 / statistics.median(found[key]):.0f}" for key in (name, "loop"))
            rows.append((f"{name}: {words}", statistics.median(ratios), min(ratios), max(ratios), *rate))
    text = table(("tasks a second / the loop's", "median", "least", "most", "tasks a CPU second", "the loop's"), rows)
    print(text)
    if options.record:
        record(options.record, "meta", text)


if __name__ == "__main__":
    main()
