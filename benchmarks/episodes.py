"""Episodes a second, drawn from one tensor, against a Dataset that opens their pictures one by one.

    python benchmarks/episodes.py [--repeats 5] [--record docs/performance.md]

The embedded letters for training, as png files of 28 x 28 in a folder a character, which the system has in memory after the first
turn; one process, one thread, CPU seconds, in turns. The other side is a shuffled DataLoader over characters whose batch is an episode,
in the manner of the course's sample: once as that is, which opens all 20 drawings of a character, and once opening only those that the
episode needs. The size of a batch and the queries are those of data=hw13_sample and data=hw13_omniglot.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms.functional import to_tensor

from ml2020.tasks.hw13_meta.characters import Characters, rotated
from ml2020.tasks.hw13_meta.letters import letters
from ratios import record, table

WAYS, SHOTS = 5, 1
DATA = {"hw13_sample": (4, 5, False), "hw13_omniglot": (32, 1, True)}  # episodes of a batch, queries, quarter turns as new classes


class Folders(Dataset):
    """A character a sample: `count` of its drawings, (count, 1, 28, 28)."""

    def __init__(self, root: Path, count: int, only_needed: bool) -> None:
        self.folders = sorted(root.iterdir())
        self.count, self.only_needed = count, only_needed

    def __len__(self) -> int:
        return len(self.folders)

    def __getitem__(self, index: int) -> Tensor:
        files = sorted(self.folders[index].glob("*.png"))
        chosen = np.random.permutation(len(files))[: self.count]
        if self.only_needed:
            return torch.stack([to_tensor(Image.open(files[i])) for i in chosen])
        return torch.stack([to_tensor(Image.open(file)) for file in files])[chosen]


def write(pictures: np.ndarray, root: Path) -> None:
    """(characters, drawings, 28, 28) uint8 as png files."""
    for number, drawings in enumerate(pictures):
        (folder := root / f"character{number:03}").mkdir()
        for i, picture in enumerate(drawings):
            Image.fromarray(picture).save(folder / f"{i:02}.png")


def rate(draw: Callable[[], int]) -> float:
    """Episodes a CPU second of a function that draws some and says how many."""
    start = time.process_time()
    return draw() / (time.process_time() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--record", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    pictures = letters(0, 0.05, None)["train"]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        write(pictures, Path(folder))
        for only_needed in (False, True):
            for data, (batch, queries, turned) in DATA.items():
                loader = DataLoader(Folders(Path(folder), SHOTS + queries, only_needed), WAYS, shuffle=True, drop_last=True)
                tensor = torch.from_numpy(pictures)
                pairs = compare(Characters(rotated(tensor) if turned else tensor, WAYS, SHOTS, queries), batch, loader, args.repeats)
                ratios = [ours / theirs for ours, theirs in pairs]
                mine, other = (f"{statistics.median(side):,.0f}" for side in zip(*pairs, strict=True))
                label = f"{data}, {batch} at once; files opened: {'only those needed' if only_needed else 'all 20'}"
                rows.append((label, statistics.median(ratios), min(ratios), max(ratios), mine, other, "20"))
    head = ("ours / Dataset of png files", "median", "least", "most", "ours, episodes a CPU second", "theirs", "at least")
    text = table(head, rows)
    print(text)
    if args.record:
        record(args.record, "episodes", text)


def compare(source: Characters, batch: int, loader: DataLoader, repeats: int) -> list[tuple[float, float]]:
    """(ours, theirs) in episodes a CPU second; the first turn of both does not count."""

    def ours() -> int:
        batches = 100
        for number in range(batches):
            source.draw(torch.arange(batch) + number * batch)
        return batches * batch

    return [(rate(ours), rate(lambda: sum(1 for _ in loader))) for _ in range(repeats + 1)][1:]


if __name__ == "__main__":
    main()
