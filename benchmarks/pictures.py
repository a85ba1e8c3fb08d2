"""Pictures a second against what a user would write: Lightning's usual set-up with a DataLoader of jpg files and 2 workers.

Two comparisons on the same 64 x 64 jpgs, augmentation (mirror, affine, brightness, contrast, saturation) on both sides, in turn:
batches delivered to the training step from the second epoch on, and whole epochs of training hw03_cnn's network.

    python benchmarks/pictures.py [--repeats 3] [--count 2048] [--record docs/performance.md]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import statistics
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from ml2020.core.assemble import make_trainer
from ml2020.core.build import build
from ml2020.core.config import load
from ml2020.core.history import History
from ml2020.core.loop import Conductor
from ml2020.core.module import Phase, Plan
from ml2020.core.optim import constant
from ml2020.data import drawings
from ml2020.tasks.hw03_cnn.data import Folder
from ratios import record, table

BATCH = 64
WORDS = [
    "task=hw03_cnn",
    "data=hw03_food11",
    "data.augment.rotate=15",
    "data.augment.saturation=0.3",
    "trainer.channels_last=true",
]


def write_pictures(folder: Path, count: int) -> None:
    """jpgs in the course's layout: views of the drawings."""
    table_of = drawings.table()
    kinds = sorted({d.kind for d in table_of})
    for split, many in (("training", count), ("validation", 64)):
        (folder / split).mkdir(parents=True)
        for i in range(many):
            drawing = table_of[(i * 37) % len(table_of)]
            picture = Image.fromarray(drawings.view(drawing, 64, np.random.default_rng(i)))
            picture.save(folder / split / f"{kinds.index(drawing.kind)}_{i}.jpg", quality=90)


class Jpgs(Dataset):
    """A picture is opened, augmented and turned into a tensor when it is asked for."""

    def __init__(self, folder: Path) -> None:
        self.files = sorted(folder.glob("training/*.jpg"))
        self.transform = v2.Compose(
            [
                v2.RandomHorizontalFlip(),
                v2.RandomAffine(15, translate=(0.1, 0.1), scale=(0.8, 1.25)),
                v2.ColorJitter(0.3, 0.3, 0.3),
                v2.ToImage(),
                v2.ToDtype(torch.float32, scale=True),
            ]
        )

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        return self.transform(Image.open(self.files[i]).convert("RGB")), int(self.files[i].name.split("_")[0])


class Usual(pl.LightningModule):
    """What a user would write."""

    def __init__(self, net: torch.nn.Module) -> None:
        super().__init__()
        self.net, self.epochs = net, []

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        loss = F.cross_entropy(self.net(batch[0]), batch[1])
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def on_train_epoch_start(self) -> None:
        self.epochs.append(-time.perf_counter())

    def on_train_epoch_end(self) -> None:
        self.epochs[-1] += time.perf_counter()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), 1e-3)


def usual_loader(folder: Path) -> DataLoader:
    return DataLoader(Jpgs(folder), BATCH, shuffle=True, num_workers=2, persistent_workers=True)


def delivery(loader) -> float:
    """Seconds of the second epoch of a loader alone."""
    for _ in loader:
        pass
    start = time.perf_counter()
    for _ in loader:
        pass
    return time.perf_counter() - start


def train_usual(folder: Path) -> float:
    from omegaconf import OmegaConf

    cfg, _ = load("train", WORDS)
    net = build(OmegaConf.to_container(cfg.model.net, resolve=True))(channels=3, size=64, classes=11)
    module = Usual(net)
    with tempfile.TemporaryDirectory() as out, contextlib.redirect_stdout(io.StringIO()):  # its bar is on, but not in our way
        pl.Trainer(accelerator="cpu", max_epochs=2, default_root_dir=out, logger=pl.loggers.TensorBoardLogger(out)).fit(
            module, usual_loader(folder)
        )
    return module.epochs[1]


def train_ours(data: Folder) -> float:
    from omegaconf import OmegaConf

    cfg, _ = load("train", WORDS)
    module = build(OmegaConf.to_container(cfg.model, resolve=True))
    module.configure(data.spec)
    module.to(memory_format=torch.channels_last)
    with tempfile.TemporaryDirectory() as out:
        history = History(Path(out))
        conductor = Conductor(
            Path(out), history, {"name": "val/acc", "goal": "max"}, OmegaConf.to_container(cfg.trainer) | {"ema_decay": 0.0}
        )
        loader = data.train_dataloader()
        module.plan = Plan(lambda p: torch.optim.Adam(p, 1e-3, fused=True), lambda o, n: constant(o, n, 0.0), 0.0, 2 * len(loader))
        conductor.begin(Phase("fit", loader), 0, 2, module, going_on=False)
        marks: list[float] = []
        module.on_train_epoch_start = lambda: marks.append(-time.perf_counter())
        module.on_train_epoch_end = lambda: marks.append(marks.pop() + time.perf_counter())
        make_trainer(OmegaConf.to_container(cfg, resolve=True), 2, [conductor]).fit(module, loader)
        history.close()
    return marks[1]


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument("--count", type=int, default=2048)
    options.add_argument("--record", type=Path)
    args = options.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(os.cpu_count() or 1)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "food")
        write_pictures(folder, args.count)
        cfg, _ = load("train", [*WORDS, f"data.path={folder}", f"cache_dir={place}/cache"])
        from omegaconf import OmegaConf

        data: Folder = build(OmegaConf.to_container(cfg.data, resolve=True))
        data.prepare()
        delivered, whole = [], []
        for repeat in range(args.repeats + 1):
            pair = delivery(usual_loader(folder)) / delivery(data.train_dataloader())
            trained = train_usual(folder) / train_ours(data)
            if repeat:
                delivered.append(pair)
                whole.append(trained)
    rows = [
        (
            "batches delivered: ours / DataLoader of jpgs, 2 workers",
            statistics.median(delivered),
            min(delivered),
            max(delivered),
            "3",
        ),
        (
            "an epoch of hw03_cnn: ours / Lightning's usual set-up",
            statistics.median(whole),
            min(whole),
            max(whole),
            "1.0",
        ),
    ]
    text = table(("pictures per second, ratio", "median", "least", "most", "at least"), rows)
    print(text)
    if args.record:
        record(args.record, "pictures", text)


if __name__ == "__main__":
    main()
