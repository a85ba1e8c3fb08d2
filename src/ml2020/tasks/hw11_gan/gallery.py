"""What is seen of a generator: distances, pictures after each epoch, and the figures at the end. For pictures, and for points."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from ml2020.tasks.hw11_gan import figures, metrics

if TYPE_CHECKING:
    from ml2020.tasks.hw11_gan.model import GAN

SIDE = 8  # pictures of a row of the grid
MOVING = 16  # pictures of the animation: noise compresses badly
STEPS = 8  # of an interpolation


class Pictures:
    """Of a generator of pictures (n, 3, s, s)."""

    frame_size = SIDE * SIDE

    def __init__(self, module: GAN) -> None:
        self.module = module
        self.frames: list[Tensor] = []  # a grid after each epoch, uint8 (64, 3, s, s)
        metrics.features(torch.zeros(1, *module.shape, dtype=torch.uint8), module.features)  # a missing one is told before the fit
        self.reals = metrics.Reals(module.features)
        self.train: list[Tensor] = []

    def take(self, split: str, real: Tensor) -> None:
        """A batch of real pictures of a split."""
        if split == "train":
            self.train.append(metrics.to_uint8(real).cpu())
        else:
            self.reals.add(split, real)

    def compare(self, split: str, fake: Tensor) -> dict[str, float]:
        """val: the distances, how various the pictures are, and how many resemble each other. train: the share that are copies."""
        pictures, spec = metrics.to_uint8(fake), self.module.spec
        if split == "train":
            train, self.train = torch.cat(self.train), []
            return {"copies": metrics.copies(pictures.cpu(), train, spec["copy"])}
        values = metrics.compare(self.reals.of(split), metrics.features(pictures, self.module.features))
        pictures = pictures.cpu()
        return values | {"variety": metrics.vendi(pictures) / spec["vendi"], "twins": metrics.twins(pictures, spec["copy"])}

    def keep(self, fake: Tensor) -> None:
        """The grid of an epoch, shown at once and kept for the animation."""
        self.frames.append(metrics.to_uint8(fake).cpu())
        title = f"the same {self.frame_size} noises after epoch {len(self.frames)}"
        self.module.show("grid", figures.grid(self.frames[-1].numpy(), SIDE, title))

    def figures(self, data: Any, history: Any) -> Iterator[tuple[str, Figure]]:
        """The grid and its animation, interpolations, the nearest training pictures, ways of sampling, distances over the epochs."""
        module = self.module
        pictures = metrics.to_uint8(module.sample(module.fixed_noise(self.frame_size))).cpu()
        yield "grid", figures.grid(pictures.numpy(), SIDE)
        if len(self.frames) > 1:
            frames = [figures.tiled(frame[:MOVING].numpy(), scale=max(1, 64 // frame.shape[-1])) for frame in self.frames]
            module.animate("training", np.stack(frames))
        yield "interpolation", figures.grid(self.interpolation().numpy(), STEPS, "from one noise to another, along the sphere")
        train = data.splits["train"]
        likeness, place = metrics.nearest(pictures, train)
        most = likeness.argsort(descending=True)[:STEPS]
        copy = module.spec["copy"]
        yield "nearest", figures.beside_real(pictures[most].numpy(), train[place[most]].numpy(), likeness[most].tolist(), copy)
        yield "sampling", self.sampling()
        yield "distances", over_time(history, data, ("frechet", "kid", "precision", "recall"), (module.spec["val"], module.samples))

    def interpolation(self) -> Tensor:
        """uint8 (4 * STEPS, 3, s, s): each row goes along the sphere, because normal noises of many numbers all lie near one."""
        noise = self.module.fixed_noise(8, seed=3)
        ways = [_between(a, b, share) for a, b in zip(noise[:4], noise[4:], strict=True) for share in torch.linspace(0, 1, STEPS)]
        return metrics.to_uint8(self.module.sample(torch.stack(ways))).cpu()

    def sampling(self) -> Figure:
        """The same noises by the weights as they are and averaged, with the batch's statistics and the running ones."""
        module, noise = self.module, self.module.fixed_noise(STEPS)
        wide = module.fixed_noise(100)  # a batch whose statistics mean something
        ways = {"running": ("running", False), "batch": ("batch", False)}
        if module.average:
            ways |= {"averaged,\nrunning": ("running", True), "averaged,\nbatch": ("batch", True)}
        rows = {
            name: metrics.to_uint8(module.sample(wide, norm, averaged)[: len(noise)]).cpu().numpy()
            for name, (norm, averaged) in ways.items()
        }
        return figures.rows(rows, title="the same noises; batch norm by running statistics or by those of the batch")


class Points:
    """Of a generator of points (n, 2) on a ring."""

    frame_size = 1_000

    def __init__(self, module: GAN) -> None:
        self.module = module
        self.frames: list[Tensor] = []  # points after each epoch, (1000, 2)
        self.centers, self.sigma = torch.tensor(module.spec["centers"]), module.spec["sigma"]

    def take(self, split: str, real: Tensor) -> None:
        """The modes are known; no real points are needed."""

    def compare(self, split: str, fake: Tensor) -> dict[str, float]:
        return metrics.on_ring(fake, self.centers, self.sigma)

    def keep(self, fake: Tensor) -> None:
        self.frames.append(fake.cpu())

    def figures(self, data: Any, history: Any) -> Iterator[tuple[str, Figure]]:
        """The points over the real ones, their animation, and the modes over the epochs."""
        real, radius = data.splits["val"].cpu().numpy(), float(self.centers.norm(dim=1).max())
        yield "points", figures.ring(self.module.sample(self.module.fixed_noise(self.frame_size)).cpu().numpy(), real, radius)
        steps, modes = history.series("val/modes")
        if len(self.frames) > 1:
            titles = [f"step {step:,}: {mode:.0f} of {len(self.centers)} modes" for step, mode in zip(steps, modes, strict=True)]
            shown = [
                figures.frame(figures.ring(points.numpy(), real, radius, title))
                for points, title in zip(self.frames, titles, strict=True)
            ]
            self.module.animate("training", np.stack(shown))
        curves = {name: {"": [history.series(f"val/{name}")]} for name in ("modes", "good")}
        yield "modes", figures.collapse(curves)


def gallery(module: GAN) -> Pictures | Points:
    return Points(module) if len(module.shape) == 1 else Pictures(module)


def over_time(history: Any, data: Any, names: tuple[str, ...], counts: tuple[int, int]) -> Figure:
    """Distances against epochs."""
    length = len(data.train_dataloader())
    curves = {}
    for name in names:
        steps, values = history.series(f"val/{name}")
        curves[name] = ([step / length for step in steps], values)
    return figures.over_epochs(curves, counts)


def _between(a: Tensor, b: Tensor, share: float) -> Tensor:
    """The point at `share` of the way from a to b on the sphere through both (Shoemake 1985)."""
    angle = torch.arccos((a @ b / (a.norm() * b.norm())).clamp(-1, 1))
    return (torch.sin((1 - share) * angle) * a + torch.sin(share * angle) * b) / math.sin(float(angle))
