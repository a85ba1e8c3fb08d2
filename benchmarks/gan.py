"""Training a GAN with everything on against a bare loop with the same networks, and against a loop in the manner of pytorch/examples.

    python benchmarks/gan.py [--repeats 7] [--steps 40] [--size 32] [--record docs/performance.md]

Random pictures in memory, batches of 32, DCGAN's two networks of width 32, one thread, CPU seconds, in turn in one process. The bare
loop is the one of the tests (tests/oracles/gan_loop.py), which gives the same weights bit for bit. The example's loop has a DataLoader
that changes picture by picture, keeps the generator's graph for the discriminator's step, and torch's default Adam.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import functional as transforms

from ml2020.core.assemble import make_trainer
from ml2020.core.config import load, plain
from ml2020.core.draws import Draws
from ml2020.core.history import History
from ml2020.core.loaders import TensorLoader
from ml2020.core.loop import Conductor
from ml2020.core.module import Phase, Plan
from ml2020.core.optim import constant
from ml2020.tasks.hw11_gan.dcgan import DCGAN
from ratios import record, table

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "oracles"))
import gan_loop

BATCH, LATENT, WIDTH, LR, BETAS = 32, 100, 32, 5e-4, (0.5, 0.999)
OPTIONS = plain(load("train", ["task=hw11_gan"])[0])["trainer"]


class Timed(DCGAN):
    """DCGAN without its average, as the bare loop has none."""

    def __init__(self) -> None:
        super().__init__(latent=LATENT, width=WIDTH, average=0.0)
        self.seconds = 0.0

    def on_train_start(self) -> None:
        self.seconds = -time.process_time()

    def on_train_end(self) -> None:
        self.seconds += time.process_time()


def networks(size: int) -> tuple[nn.Module, nn.Module]:
    module = made(size)
    return module.generator, module.discriminator


def made(size: int) -> Timed:
    torch.manual_seed(0)
    module = Timed()
    module.configure({"shape": [3, size, size], "val": 2, "copy": 0.9})
    return module


def ours(pictures: Tensor, **changes: Any) -> float:
    """The steps of a run, as core takes them."""
    options = OPTIONS | changes
    with tempfile.TemporaryDirectory() as folder:
        history = History(Path(folder))
        conductor = Conductor(Path(folder), history, {"name": "val/kid", "goal": "min"}, options)
        module = made(pictures.shape[-1])
        if options["channels_last"]:
            module.to(memory_format=torch.channels_last)
        loader = TensorLoader((pictures,), BATCH, shuffle=True, drop_last=True, transform=transform)
        make = lambda groups: torch.optim.Adam(groups, lr=LR, betas=BETAS, fused=True)  # noqa: E731
        module.plan = Plan(make, lambda o, n: constant(o, n, warmup=0.0), 0.0, len(loader))
        conductor.begin(Phase("fit", loader), 0, 1, module, going_on=False)
        make_trainer({"trainer": options}, 1, [conductor]).fit(module, loader)
        history.close()
    return module.seconds


def transform(draws: Draws, pictures: Tensor) -> tuple[Tensor]:
    x = pictures.float().div_(127.5).sub_(1)
    return (torch.where(draws.chance(0.5).view(-1, 1, 1, 1), x.flip(-1), x),)


def bare(pictures: Tensor) -> float:
    nets, count = networks(pictures.shape[-1]), len(pictures)
    start = time.process_time()
    gan_loop.train(*nets, pictures, [torch.randperm(count)], [torch.rand(count) < 0.5], BATCH, LATENT, LR, BETAS)
    return time.process_time() - start


class Folder(Dataset):
    """Pictures that are decoded already, brought into form one by one, as torchvision's ImageFolder does after reading a file."""

    def __init__(self, pictures: Tensor) -> None:
        self.pictures = [transforms.to_pil_image(picture) for picture in pictures]

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        picture = self.pictures[i]
        picture = transforms.hflip(picture) if torch.rand(()) < 0.5 else picture
        return transforms.normalize(transforms.to_tensor(picture), [0.5] * 3, [0.5] * 3), 0


def example(pictures: Tensor) -> float:
    """The loop of the DCGAN in pytorch/examples."""
    generator, discriminator = networks(pictures.shape[-1])
    loader = DataLoader(Folder(pictures), BATCH, shuffle=True)
    start = time.process_time()
    of_d, of_g = (torch.optim.Adam(net.parameters(), lr=LR, betas=BETAS) for net in (discriminator, generator))
    for real, _ in loader:
        ones, zeros = torch.ones(len(real)), torch.zeros(len(real))
        discriminator.zero_grad()
        loss = F.binary_cross_entropy(discriminator(real).sigmoid(), ones)
        loss.backward()
        fake = generator(torch.randn(len(real), LATENT))
        F.binary_cross_entropy(discriminator(fake.detach()).sigmoid(), zeros).backward()
        of_d.step()
        generator.zero_grad()
        loss = F.binary_cross_entropy(discriminator(fake).sigmoid(), ones)
        loss.backward()
        of_g.step()
        loss.item()
    return time.process_time() - start


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--repeats", type=int, default=7)
    options.add_argument("--steps", type=int, default=40)
    options.add_argument("--size", type=int, default=32)
    options.add_argument("--record", type=Path)
    args = options.parse_args()
    torch.set_num_threads(1)
    pictures = torch.randint(0, 256, (args.steps * BATCH, 3, args.size, args.size), dtype=torch.uint8)
    ways = {
        "our run": lambda: ours(pictures),
        "our run, trainer.channels_last=true": lambda: ours(pictures, channels_last=True),
        "our run, trainer.precision=bf16-mixed": lambda: ours(pictures, precision="bf16-mixed"),
        "our run, both": lambda: ours(pictures, channels_last=True, precision="bf16-mixed"),
        "a loop in the manner of pytorch/examples": lambda: example(pictures),
    }
    ratios: dict[str, list[float]] = {name: [] for name in ways}
    for repeat in range(args.repeats + 1):  # the first round warms up
        for name, way in ways.items():
            ratio = bare(pictures) / way()
            if repeat:
                ratios[name].append(ratio)
    wanted = {"our run": "0.95"}
    rows = [(f"{name} / bare loop", statistics.median(r), min(r), max(r), wanted.get(name, "")) for name, r in ratios.items()]
    text = table((f"steps per second, {args.size} x {args.size}, ratio", "median", "least", "most", "at least"), rows)
    print(text)
    if args.record:
        record(args.record, "gan", text)


if __name__ == "__main__":
    main()
