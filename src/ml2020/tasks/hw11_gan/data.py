"""What a generator learns to make: drawn portraits (embedded), a folder of faces, or points on a ring of Gaussians.

Some of the real samples are held back: no step sees them, and the distances of what is generated are measured to them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ml2020.core.data import DataModule, Source
from ml2020.core.draws import Draws
from ml2020.core.errors import TypedError, UserError, at_least, one_of, within
from ml2020.core.loaders import TensorLoader
from ml2020.data.cache import cached, fingerprint
from ml2020.data.folders import Listing, decode, list_faces
from ml2020.data.portraits import GENERATOR as PORTRAITS
from ml2020.data.portraits import HEAD, STYLES, credit, portraits, versions
from ml2020.tasks.hw11_gan.metrics import nearest, vendi

ALIKE = 0.01  # of the pictures held back, those that count as copies of a training picture


class Real(DataModule):
    """Real samples in two splits: train, and val, which is held back as the reference of the distances.

    `predict_count`: samples that do=predict writes. `splits`: {name: (n, *shape)}. `spec`: shape, of one sample ([3, s, s], or [2] for
    points); val, how many are held back.
    """

    def __init__(self, batch_size: int, seed: int, val_count: int, predict_count: int) -> None:
        super().__init__(at_least(1, batch_size, "data.batch_size"))
        self.predict_count = at_least(1, predict_count, "data.predict_count")
        self.seed = at_least(0, seed, "data.seed")
        self.val_count = at_least(2, val_count, "data.val_count")
        self.splits: dict[str, Tensor] = {}

    def divide(self, samples: Tensor) -> None:
        """Hold back val_count samples, drawn by data.seed, and say what there is. Raises UserError where too few are left."""
        need = self.val_count + self.batch_size
        if len(samples) < need:
            raise UserError(
                f"{len(samples):,} samples are too few: {self.val_count:,} are held back (data.val_count) and a batch has"
                f" {self.batch_size:,} (data.batch_size), so at least {need:,} are needed"
            )
        order = torch.randperm(len(samples), generator=torch.Generator().manual_seed(self.seed))
        held, train = order[: self.val_count].sort().values, order[self.val_count :].sort().values
        self.splits = {"train": samples[train], "val": samples[held]}
        self.spec = {"shape": list(samples.shape[1:]), "val": self.val_count}
        self.counts = {"for training": len(train), "held back": len(held)}

    def delivered(self, draws: Draws, samples: Tensor) -> tuple[Tensor]:
        """A stored batch as a network sees it, without augmentation."""
        return (samples,)

    def augmented(self, draws: Draws, samples: Tensor) -> tuple[Tensor]:
        """A stored batch as a network in training sees it."""
        return self.delivered(draws, samples)

    def train_dataloader(self) -> TensorLoader:
        """Batches ((n, *shape) float32,), always full; in a new order each epoch."""
        return self.loader(self.splits["train"], shuffle=True, transform=self.augmented, drop_last=True)

    def val_dataloader(self) -> TensorLoader:
        return self.plain("val")

    def plain(self, split: str) -> TensorLoader:
        """One split in its own order, in large batches ((n, *shape) float32,)."""
        return self.loader(self.splits[split], transform=self.delivered, batch_size=256)

    def evaluation_loaders(self) -> dict[str, TensorLoader]:
        return {"val": self.plain("val")}


class Pictures(Real):
    """uint8 pictures (n, 3, s, s) in memory; a batch is float32 in [-1, 1], half of its pictures mirrored where `flip` is set.

    `spec` also: copy, the likeness to a training picture (see `nearest`) from which on a picture counts as its copy: only 1 % of the
    pictures held back, which nobody can have copied, reach it; vendi, how many different ones these are in effect.
    `evaluation_loaders` also gives train: what is too near those pictures was learnt by heart.
    """

    def __init__(self, batch_size: int, seed: int, val_count: int, predict_count: int, image_size: int, flip: bool) -> None:
        super().__init__(batch_size, seed, val_count, predict_count)
        self.size = within(8, 256, image_size, "data.image_size")
        self.flip = one_of((True, False), flip, "data.flip")

    def divide(self, samples: Tensor) -> None:
        super().divide(samples)
        likeness, _ = nearest(self.splits["val"], self.splits["train"])
        self.spec["copy"] = float(torch.quantile(likeness, 1 - ALIKE))
        self.spec["vendi"] = vendi(self.splits["val"])

    def delivered(self, draws: Draws, samples: Tensor) -> tuple[Tensor]:
        return (samples.float().div_(127.5).sub_(1),)

    def augmented(self, draws: Draws, samples: Tensor) -> tuple[Tensor]:
        (x,) = self.delivered(draws, samples)
        if self.flip:
            x = torch.where(draws.chance(0.5).view(-1, 1, 1, 1), x.flip(-1), x)
        return (x,)

    def evaluation_loaders(self) -> dict[str, TensorLoader]:
        return {"train": self.plain("train"), "val": self.plain("val")}


class Portraits(Pictures):
    """Drawn portraits of people who are not there (the embedded data): see data/portraits.py."""

    def __init__(
        self,
        count: int = 3_000,
        style: str = "adventurer",
        image_size: int = 32,
        middle: float = HEAD,
        seed: int = 0,
        val_count: int = 500,
        predict_count: int = 2_000,
        flip: bool = True,
        batch_size: int = 32,
        cache_dir: str | None = None,
    ) -> None:
        super().__init__(batch_size, seed, val_count, predict_count, image_size, flip)
        self.count = at_least(1, count, "data.count")
        self.style = one_of(STYLES, style, "data.style")
        self.middle = within(0.25, 1, middle, "data.middle")
        self.cache_dir = cache_dir

    def prepare(self) -> None:
        """Draw the portraits, or read them from the cache. Raises UserError where a package is missing, or there are too few."""
        artist, licence = credit(self.style)
        self.source = Source(f"portraits, {artist}", "rendered", licence)
        look = {"generator": PORTRAITS, "style": self.style, "size": self.size, "middle": self.middle} | versions()
        self.fingerprint = fingerprint(look | {"seed": self.seed, "count": self.count, "val": self.val_count})
        pictures = portraits(self.count, self.size, self.style, self.seed, self.middle, self.cache_dir)
        self.divide(torch.from_numpy(pictures))


class Faces(Pictures):
    """The pictures of a folder or a zip, such as the course's faces/; the middle square of each, in one size."""

    def __init__(
        self,
        path: str,
        image_size: int = 64,
        seed: int = 0,
        val_count: int = 500,
        predict_count: int = 2_000,
        flip: bool = True,
        batch_size: int = 64,
        cache_dir: str | None = None,
    ) -> None:
        super().__init__(batch_size, seed, val_count, predict_count, image_size, flip)
        self.path, self.cache_dir = path, cache_dir

    def prepare(self) -> None:
        """Decode the pictures, or read them from the cache. Raises UserError for what is missing, broken, or no picture."""
        listing = list_faces(self.path)
        key = {"files": listing.fingerprint, "size": self.size, "fit": "crop"}
        arrays = cached(self.cache_dir, "hw11_faces", key, lambda: decode(listing, self.size, "crop"))
        self.fingerprint = fingerprint(key | {"seed": self.seed, "val": self.val_count})
        pictures = torch.from_numpy(arrays["all"])
        self.source = source_of(listing, is_grey(pictures))
        self.divide(pictures)


def is_grey(pictures: Tensor) -> Tensor:
    """(n,) bool: which of the pictures (n, 3, s, s) have no colour at all."""
    return (pictures == pictures[:, :1]).flatten(1).all(1)


def source_of(listing: Listing, grey: Tensor) -> Source:
    """What the pictures of a folder are called; those without colour are counted, because a generator will learn them too."""
    count = int(grey.sum())
    note = "" if not count else ", all grey" if count == len(grey) else f", {count:,} of them grey"
    return Source(f"the {len(grey):,} pictures in {listing.name}{note}", "files", "unknown")


class Ring(Real):
    """Points of several Gaussians on a circle: a distribution whose modes can be counted (Metz et al. 2017: 8, radius 2).

    `spec` also: centers, (modes, 2), and sigma.
    """

    source = Source("points of Gaussians on a ring", "generated", "none needed")

    def __init__(
        self,
        modes: int = 8,
        radius: float = 2.0,
        sigma: float = 0.1,
        count: int = 10_000,
        seed: int = 0,
        val_count: int = 2_000,
        predict_count: int = 2_000,
        batch_size: int = 256,
    ) -> None:
        super().__init__(batch_size, seed, val_count, predict_count)
        self.modes = within(1, 1_000, modes, "data.modes")
        self.radius = at_least(0.001, radius, "data.radius")
        self.sigma = at_least(1e-6, sigma, "data.sigma")
        self.count = at_least(1, count, "data.count")
        apart = self.centers()[0] - self.centers()[1 % modes]
        if modes > 1 and np.linalg.norm(apart) < 6 * sigma:
            raise TypedError(f"data.sigma={sigma} is too wide for {modes} modes at radius {radius}: neighbours overlap within 3 sigma")

    def centers(self) -> np.ndarray:
        """(modes, 2) float64, the first at angle 0."""
        angle = 2 * np.pi * np.arange(self.modes) / self.modes
        return self.radius * np.stack([np.cos(angle), np.sin(angle)], 1)

    def prepare(self) -> None:
        """Draw the points: a mode for each, all equally likely, then its place."""
        rng = np.random.default_rng(self.seed)
        modes = rng.integers(self.modes, size=self.count)
        points = self.centers()[modes] + rng.normal(0, self.sigma, (self.count, 2))
        key: dict[str, Any] = {"modes": self.modes, "radius": self.radius, "sigma": self.sigma, "count": self.count, "seed": self.seed}
        self.fingerprint = fingerprint(key | {"val": self.val_count})
        self.divide(torch.from_numpy(points).float())
        self.spec |= {"centers": self.centers().tolist(), "sigma": self.sigma}
