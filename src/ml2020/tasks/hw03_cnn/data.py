"""Pictures of several kinds, each with one label: drawings (embedded), or a folder in the course's layout."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ml2020.core.data import DataModule, Source
from ml2020.core.draws import Draws
from ml2020.core.errors import UserError, at_least, one_of, within
from ml2020.core.loaders import TensorLoader
from ml2020.core.progress import progress
from ml2020.data import drawings
from ml2020.data.augment import Augment
from ml2020.data.cache import cached, fingerprint
from ml2020.data.drawings import Drawing
from ml2020.data.folders import Listing, decode, list_pictures

GENERATOR = 1  # goes up whenever the pictures of the same seed change


class Pictures(DataModule):
    """Labelled uint8 pictures (n, 3, size, size) in splits; augmentation in training only.

    `spec`: input (3, size, size); classes, names in the order of the labels; mean and std (3 numbers each), of the training pictures
    as shares of white; tested, the split that judges (test, or val where no other has labels).
    """

    def __init__(self, batch_size: int, augment: Augment | None = None, train_share: float = 1.0) -> None:
        super().__init__(at_least(1, batch_size, "data.batch_size"))
        self.train_share = within(0.01, 1, train_share, "data.train_share")
        self.augment = augment or Augment(enabled=False)
        self.splits: dict[str, tuple[Tensor, Tensor]] = {}

    def describe(self, classes: list[str]) -> None:
        """Fill in `spec` and `counts` from the splits, of training only the share that is used."""
        if self.train_share < 1:
            kept = self.share_of(self.splits["train"][1])
            self.splits["train"] = tuple(tensor[kept] for tensor in self.splits["train"])
            self.fingerprint = fingerprint({"all": self.fingerprint, "share": self.train_share})
        pictures = self.splits["train"][0]
        share = pictures.double().div(255)
        mean, std = share.mean((0, 2, 3)), share.std((0, 2, 3))
        tested = "test" if "test" in self.splits else "val"
        shape = list(pictures.shape[1:])
        self.spec = {"input": shape, "classes": classes, "mean": mean.tolist(), "std": std.tolist(), "tested": tested}
        words = {"train": "for training", "val": "for validation", "test": "for the test", "predict": "without labels"}
        self.counts = {words[split]: len(x) for split, (x, _) in self.splits.items()}

    def share_of(self, labels: Tensor) -> Tensor:
        """Which training pictures are used, (m,) int64: the first of each class."""
        own = [torch.nonzero(labels == label).flatten() for label in labels.unique()]
        return torch.cat([index[: max(1, round(self.train_share * len(index)))] for index in own]).sort().values

    def train_dataloader(self) -> TensorLoader:
        return self.loader(*self.splits["train"], shuffle=True, transform=self.augmented)

    def val_dataloader(self) -> TensorLoader:
        return self.plain(self.splits["val"])

    def evaluation_loaders(self) -> dict[str, TensorLoader]:
        return {split: self.plain(self.splits[split]) for split in ("train", "val", "test") if split in self.splits}

    def predict_loader(self) -> TensorLoader:
        """The pictures to be named for a submission, in the order of their numbers."""
        split = "predict" if "predict" in self.splits else "test"
        return self.plain(self.splits[split])

    def plain(self, split: tuple[Tensor, Tensor]) -> TensorLoader:
        return self.loader(*split, transform=lambda draws, x, y: (x.float().div_(255), y), batch_size=256)

    def augmented(self, draws: Draws, pictures: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """(n, 3, s, s) uint8 and (n,) labels -> (n, 3, s, s) float in [0, 1] and (n, classes) target distributions."""
        x = self.augment(draws, pictures)
        return self.augment.mix(draws, x, labels, len(self.spec["classes"]))


class Drawings(Pictures):
    """Eleven kinds of drawing by two artists, on soft backgrounds (the embedded data).

    The split is by drawing: no drawing, nor one of its look-alikes by the same artist, is in two splits. With split=thing both
    artists' drawings of a thing stay together, which is much harder.
    """

    source = Source("drawings from Twemoji and OpenMoji", "rendered", "Twemoji: CC BY 4.0, OpenMoji: CC BY-SA 4.0")

    def __init__(
        self,
        seed: int = 4,
        image_size: int = 48,
        split: str = "drawing",
        train_per_class: int = 320,
        val_per_class: int = 80,
        test_per_class: int = 120,
        batch_size: int = 64,
        augment: Augment | None = None,
        cache_dir: str | None = None,
        train_share: float = 1.0,
    ) -> None:
        super().__init__(batch_size, augment, train_share)
        self.seed = at_least(0, seed, "data.seed")
        self.size = within(8, 256, image_size, "data.image_size")
        self.by = one_of(("drawing", "thing"), split, "data.split")
        self.per_class = {
            name: at_least(1, count, f"data.{name}_per_class")
            for name, count in (("train", train_per_class), ("val", val_per_class), ("test", test_per_class))
        }
        self.cache_dir = cache_dir

    def prepare(self) -> None:
        """Render the drawings, or read them from the cache."""
        key = {"generator": GENERATOR, "seed": self.seed, "size": self.size, "by": self.by, "counts": self.per_class}
        key |= {"table": fingerprint({"rows": [vars(d) for d in drawings.table()]})} | drawings.versions()
        self.fingerprint = fingerprint(key)
        arrays = cached(self.cache_dir, "hw03_sample", key, self.render)
        for split in self.per_class:
            self.splits[split] = torch.from_numpy(arrays[f"{split}_x"]), torch.from_numpy(arrays[f"{split}_y"])
        self.describe(sorted({d.kind for d in drawings.table()}))

    def render(self) -> dict[str, np.ndarray]:
        """All pictures of all splits, (n, 3, size, size) uint8, and their labels (n,) int64."""
        arrays = {}
        total = 11 * sum(self.per_class.values())
        steps = progress(range(total), "rendering drawings", total)
        for number, (split, chosen) in enumerate(split_drawings(self.seed, self.by).items()):
            pictures, labels = [], []
            for label, views in enumerate(self.views(chosen, self.per_class[split])):
                for i, drawing in enumerate(views):
                    next(steps)
                    pictures.append(drawings.view(drawing, self.size, np.random.default_rng([self.seed, number, label, i])))
                    labels.append(label)
            arrays[f"{split}_x"] = np.stack(pictures).transpose(0, 3, 1, 2).copy()
            arrays[f"{split}_y"] = np.array(labels)
        next(steps, None)
        return arrays

    def share_of(self, labels: Tensor) -> Tensor:
        """Fewer drawings, not fewer views of each: picture i of a class shows its drawing i modulo their number."""
        drawn = split_drawings(self.seed, self.by)["train"]
        kept = []
        for label, kind in enumerate(sorted({d.kind for d in drawn})):
            number = sum(d.kind == kind for d in drawn)
            index = torch.nonzero(labels == label).flatten()
            kept.append(index[torch.arange(len(index)) % number < max(1, round(self.train_share * number))])
        return torch.cat(kept)

    def views(self, chosen: list[Drawing], count: int) -> Iterator[list[Drawing]]:
        """For each class, in order, `count` drawings: each of its drawings as often as the others, give or take one."""
        for kind in sorted({d.kind for d in chosen}):
            own = [d for d in chosen if d.kind == kind]
            yield [own[i % len(own)] for i in range(count)]


def split_drawings(seed: int, by: str = "drawing") -> dict[str, list[Drawing]]:
    """Drawings by split, about 65 / 15 / 20 % of each class but at least 8 for validation; a unit of look-alikes is never cut."""
    splits: dict[str, list[Drawing]] = {"train": [], "val": [], "test": []}
    rng = np.random.default_rng([seed, 2020])
    table = drawings.table()
    for kind in sorted({d.kind for d in table}):
        own = [d for d in table if d.kind == kind]
        units: dict[str, list[Drawing]] = {}
        for drawing in own:
            units.setdefault(drawing.unit if by == "drawing" else drawing.family, []).append(drawing)
        order = [list(units.values())[i] for i in rng.permutation(len(units))]
        wanted = {"test": round(0.2 * len(own)), "val": max(8, round(0.15 * len(own)))}
        for unit in order:
            split = next((name for name, room in wanted.items() if room >= len(unit)), "train")
            splits[split] += unit
            if split in wanted:
                wanted[split] -= len(unit)
    return splits


class Folder(Pictures):
    """A folder or zip of pictures in the course's layout (see data/folders.py), any number of classes."""

    def __init__(
        self,
        path: str,
        image_size: int = 64,
        fit: str = "crop",
        split: str = "folders",
        seed: int = 0,
        batch_size: int = 64,
        augment: Augment | None = None,
        cache_dir: str | None = None,
        train_share: float = 1.0,
    ) -> None:
        super().__init__(batch_size, augment, train_share)
        self.path = path
        self.size = within(8, 512, image_size, "data.image_size")
        self.fit = one_of(("crop", "stretch"), fit, "data.fit")
        self.by = one_of(("folders", "merged"), split, "data.split")
        self.seed = at_least(0, seed, "data.seed")
        self.cache_dir = cache_dir

    def prepare(self) -> None:
        """Decode the pictures, or read them from the cache. Raises UserError for what is missing or broken."""
        listing = list_pictures(self.path)
        self.source = source_of(listing)
        key = {"files": listing.fingerprint, "size": self.size, "fit": self.fit}
        arrays = cached(self.cache_dir, "hw03_pictures", key, lambda: decode(listing, self.size, self.fit))
        self.fingerprint = fingerprint(key | {"by": self.by, "seed": self.seed})
        labels = {split: torch.tensor([listing.classes.index(k) if k else -1 for k in kinds]) for split, kinds in listing.kinds.items()}
        self.splits = {split: (torch.from_numpy(arrays[split]), labels[split]) for split in listing.kinds}
        if self.by == "merged" or "val" not in self.splits:
            self.merge()
        self.describe(listing.classes)

    def merge(self) -> None:
        """Training and validation folders together, cut 70 / 30 at random, as the student's original did."""
        parts = [self.splits[split] for split in ("train", "val") if split in self.splits]
        x, y = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
        if len(x) < 10:
            raise UserError(f"{self.path} holds {len(x)} labelled pictures; at least 10 are needed")
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(self.seed))
        cut = round(0.7 * len(x))
        rest = {split: pair for split, pair in self.splits.items() if split not in ("train", "val")}
        self.splits = {"train": (x[order[:cut]], y[order[:cut]]), "val": (x[order[cut:]], y[order[cut:]])} | rest


def source_of(listing: Listing) -> Source:
    """The course's food-11 is known by its counts; anything else is called what it is."""
    if [len(listing.kinds.get(split, ())) for split in ("train", "val", "predict")] == [9866, 3430, 3347]:
        return Source("food-11, the course's pictures", "course", "as the course's; pictures belong to their owners")
    return Source(f"the pictures in {listing.name}, {len(listing.classes)} classes", "files", "unknown")


def spec_mean_std(spec: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """(1, 3, 1, 1) mean and spread of the training pictures."""
    return tuple(torch.tensor(spec[name], dtype=torch.float32).view(1, -1, 1, 1) for name in ("mean", "std"))
