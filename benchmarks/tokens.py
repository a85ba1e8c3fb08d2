"""Homework 4's texts: real tokens a second of training, and texts a second of reading the pool, against texts padded to one length.

The other side is what the original and the course's sample do: a DataLoader of texts padded to 50 (or 30) tokens, all of which the same
network reads. In turn, one thread, the same batch sizes.

    python benchmarks/tokens.py [--repeats 5] [--record docs/performance.md]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from ml2020.core.build import build
from ml2020.core.config import load, plain
from ml2020.tasks.hw04_rnn.data import Tweets
from ml2020.tasks.hw04_rnn.model import Sentiment
from ml2020.tasks.hw04_rnn.networks import Recurrent
from ratios import record, table

STEPS = 60
READ = 256  # texts of a batch that is only read


def model(data: Tweets, **options: object) -> Sentiment:
    torch.manual_seed(0)
    module = Sentiment(partial(Recurrent, **options))
    module.configure(data.spec)
    return module


def padded(data: Tweets, split: str, width: int, batch_size: int, shuffle: bool) -> DataLoader:
    """Every text cut or padded to `width` tokens: batches of tokens, lengths, and labels or places."""
    texts, *labels = data.splits[split]
    tokens, lengths = texts.padded(torch.arange(len(texts)), width)
    return DataLoader(TensorDataset(tokens, lengths, *(labels or [torch.arange(len(texts))])), batch_size, shuffle=shuffle)


def training(module: Sentiment, batches: Iterable[tuple[Tensor, ...]]) -> float:
    """Real tokens a second, delivery of the batches included."""
    optimizer = torch.optim.AdamW(module.parameters(), 2e-3, fused=True)
    module.train()
    tokens, start = 0, time.perf_counter()
    for step, (words, lengths, labels) in enumerate(batches):
        optimizer.zero_grad()
        F.binary_cross_entropy_with_logits(module(words, lengths), labels.float()).backward()
        optimizer.step()
        tokens += int(lengths.sum())
        if step + 1 == STEPS:
            break
    return tokens / (time.perf_counter() - start)


@torch.no_grad()
def reading(module: Sentiment, batches: Iterable[tuple[Tensor, ...]], count: int) -> float:
    """Texts a second."""
    module.eval()
    found, start = torch.zeros(count), time.perf_counter()
    for words, lengths, place in batches:
        found[place] = module(words, lengths).sigmoid()
    return count / (time.perf_counter() - start)


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--repeats", type=int, default=5)
    options.add_argument("--record", type=Path)
    args = options.parse_args()
    torch.set_num_threads(1)
    cfg, _ = load("train", ["task=hw04_rnn"])
    data: Tweets = build(plain(cfg)["data"])
    data.prepare()
    ours, theirs = model(data), model(data, reads_padding=True)
    count = len(data.pool)
    ratios: dict[str, list[float]] = {"training 50": [], "training 30": [], "reading 50": []}
    for repeat in range(args.repeats + 1):
        found = {}
        for width in (50, 30):
            there = training(theirs, padded(data, "train", width, data.batch_size, shuffle=True))
            found[f"training {width}"] = training(ours, data.train_dataloader()) / there
        there = reading(theirs, padded(data, "pool", 50, READ, shuffle=False), count)
        found["reading 50"] = reading(ours, data.pool_loader(), count) / there
        if repeat:  # the first warms up
            for name, ratio in found.items():
                ratios[name].append(ratio)
    words = {
        "training 50": ("training, real tokens a second: ours / DataLoader padded to 50", "1.5"),
        "training 30": ("the same, padded to 30 (the course's sample)", ""),
        "reading 50": (f"reading the pool's {count:,} texts: ours / DataLoader in file order, padded to 50", "3"),
    }
    rows = [(words[name][0], statistics.median(r), min(r), max(r), words[name][1]) for name, r in ratios.items()]
    text = table(("ratio", "median", "least", "most", "at least"), rows)
    print(text)
    if args.record:
        record(args.record, "tokens", text)


if __name__ == "__main__":
    main()
