"""Tasks instead of samples: batches are episodes, drawn by counters, of functions or of characters."""

from __future__ import annotations

import torch
from torch import Tensor

from ml2020.core.data import DataModule, Source
from ml2020.core.draws import Draws, mix
from ml2020.core.errors import at_least, one_of, within
from ml2020.core.loaders import TensorLoader, Transform
from ml2020.data.cache import fingerprint
from ml2020.tasks.hw13_meta import episodes, letters
from ml2020.tasks.hw13_meta.characters import Characters, rotated, warped
from ml2020.tasks.hw13_meta.episodes import Episodes
from ml2020.tasks.hw13_meta.sine import Sines

TEST = 100_000  # where the seeds of the test's episodes begin; those of validation begin at 0
RANGE = 1_000_000  # seeds of one data.seed
TRAINING = 2**62  # the least seed of an episode for training
WORDS = {"train": "training", "val": "validation", "test": "the test"}
ROTATIONS = ("none", "classes")


class Meta(DataModule):
    """Batches of `meta_batch` episodes; `steps` of them are an epoch.

    An episode for training depends on the run's seed, data.seed, the epoch and its place in the epoch alone: an interrupted run goes on
    with the same ones, and several processes share out those of a batch. `val_episodes`, `test_episodes`: measured episodes, always the
    same for a data.seed; their queries are `measured`.

    `sources`: what each split draws from (see episodes.Source). `spec`: input, the shape of an example; ways, 0 for a regression;
    shots and queries; classes, in how many kinds all training examples fall, 0 for a regression.
    """

    def __init__(self, meta_batch: int, steps: int, val_episodes: int, test_episodes: int, measured: int, seed: int) -> None:
        super().__init__(at_least(1, meta_batch, "data.meta_batch"))
        self.steps = at_least(1, steps, "data.steps")
        self.episodes = {
            "val": within(2, TEST, val_episodes, "data.val_episodes"),
            "test": within(2, TEST, test_episodes, "data.test_episodes"),
        }
        self.measured_queries = measured
        self.seed = within(0, 1_000, seed, "data.seed")
        self.sources: dict[str, episodes.Source] = {}

    def describe(self, shots: int, queries: int, classes: int = 0) -> None:
        """Fill in `spec` and `counts` from the sources."""
        source = self.sources["train"]
        self.spec = {"input": list(source.shape), "ways": source.ways, "shots": shots, "queries": queries, "classes": classes}
        self.counts |= {f"episodes for {WORDS[split]}": count for split, count in self.episodes.items()}

    def seeds(self, draws: Draws) -> Tensor:
        """The seeds of a batch of training episodes, apart from all that are measured."""
        return mix(draws.state + self.seed) & (TRAINING - 1) | TRAINING

    def measured_seeds(self, split: str) -> Tensor:
        """(episodes,) int64."""
        return self.seed * RANGE + (TEST if split == "test" else 0) + torch.arange(self.episodes[split])

    def train_dataloader(self) -> TensorLoader:
        """Episodes, `meta_batch` of them in a batch."""
        return self.stream(lambda draws, number: self.sources["train"].draw(self.seeds(draws)))

    def stream(self, transform: Transform) -> TensorLoader:
        """A loader of `steps` batches of counters, which `transform` makes into something."""
        return self.loader(torch.arange(self.steps * self.batch_size), transform=transform)

    def measured(self, split: str) -> TensorLoader:
        """Episodes of val or test, 50 in a batch."""
        return self.loader(
            self.measured_seeds(split),
            batch_size=50,
            transform=lambda draws, seeds: self.sources[split].draw(seeds, queries=self.measured_queries),
        )

    def val_dataloader(self) -> TensorLoader:
        return self.measured("val")

    def evaluation_loaders(self) -> dict[str, TensorLoader]:
        return {split: self.measured(split) for split in ("val", "test")}

    def everything(self) -> TensorLoader:
        """All training examples regardless of their tasks, (x (n, *shape), targets), in batches as large as those of the episodes."""
        raise NotImplementedError


class Sine(Meta):
    """Sine waves without end (the default data): see sine.py. `measured`: points at which a measured function is compared."""

    source = Source("sine waves, y = a sin(x + b)", "generated", "none needed")

    def __init__(
        self,
        shots: int = 10,
        queries: int = 10,
        meta_batch: int = 25,
        steps: int = 500,
        val_episodes: int = 200,
        test_episodes: int = 1_000,
        measured: int = 100,
        seed: int = 0,
    ) -> None:
        super().__init__(meta_batch, steps, val_episodes, test_episodes, at_least(1, measured, "data.measured"), seed)
        self.sines = Sines(shots, queries)

    def prepare(self) -> None:
        self.sources = dict.fromkeys(("train", "val", "test"), self.sines)
        self.counts = {}
        self.describe(self.sines.shots, self.sines.queries)
        self.fingerprint = fingerprint(
            {"spec": self.spec, "seed": self.seed, "episodes": self.episodes, "measured": self.measured_queries}
        )

    def everything(self) -> TensorLoader:
        """The points of the training's functions, (n, 1) and (n, 1), as though they were of one."""
        return self.stream(lambda draws, number: flat(self.sines.draw(self.seeds(draws))))


def flat(drawn: Episodes) -> tuple[Tensor, Tensor]:
    """The examples of all episodes, (n, *shape) and (n, 1)."""
    examples = torch.cat([drawn.support, drawn.query], 1)
    targets = torch.cat([drawn.support_targets, drawn.query_targets], 1)
    return examples.flatten(0, 1), targets.flatten(0, 1)


class CharacterData(Meta):
    """Characters in drawings: a subclass gives `gather`.

    `rotations`: classes makes three more characters of each for training, by quarter turns; those of validation and test stay upright.
    `warp`: how much each drawing for training is moved, turned, stretched and slanted (characters.warped).
    """

    def __init__(
        self,
        ways: int,
        shots: int,
        queries: int,
        rotations: str,
        meta_batch: int,
        steps: int,
        val_episodes: int,
        test_episodes: int,
        seed: int,
        warp: float = 0.0,
    ) -> None:
        super().__init__(meta_batch, steps, val_episodes, test_episodes, queries, seed)
        self.ways = at_least(2, ways, "data.ways")
        self.shots = at_least(1, shots, "data.shots")
        self.queries = at_least(1, queries, "data.queries")
        self.rotations = one_of(ROTATIONS, rotations, "data.rotations")
        self.warp = within(0, 0.5, warp, "data.warp")

    def gather(self) -> dict[str, Tensor]:
        """{train, val, test: (characters, drawings, h, w) uint8, white on black}; sets `source` and `fingerprint`."""
        raise NotImplementedError

    def prepare(self) -> None:
        """Read or draw the pictures. Raises UserError or TypedError where episodes ask for more than there is."""
        pictures = self.gather()
        what = {split: f"characters for {word}" for split, word in WORDS.items()}
        self.counts = {what[split]: len(tensor) for split, tensor in pictures.items()}
        if self.rotations == "classes":
            pictures["train"] = rotated(pictures["train"])
        self.sources = {
            split: Characters(tensor, self.ways, self.shots, self.queries, what[split], self.warp if split == "train" else 0.0)
            for split, tensor in pictures.items()
        }
        self.describe(self.shots, self.queries, self.sources["train"].classes)
        self.fingerprint = fingerprint({"pictures": self.fingerprint, "spec": self.spec, "seed": self.seed, "episodes": self.episodes})
        if self.warp:  # so that data without it are what they were
            self.fingerprint = fingerprint({"pictures": self.fingerprint, "warp": self.warp})

    def everything(self) -> TensorLoader:
        """All training drawings, (n, 1, h, w) in [0, 1], and which of all characters each is, (n,); in a new order each epoch."""
        source = self.sources["train"]
        labels = torch.arange(source.classes).repeat_interleave(source.drawings)
        size = self.batch_size * self.ways * (self.shots + self.queries)

        def scaled(draws: Draws, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
            x = x.float().div_(255)
            return (warped(x.unsqueeze(1), source.moves(draws.state, 1)).squeeze(1) if self.warp else x), y

        return self.loader(source.pictures, labels, shuffle=True, batch_size=size, transform=scaled)


class Sample(CharacterData):
    """Letters of DejaVu Sans, drawn anew by a shaky hand (the embedded characters), split by script: see letters.py."""

    source = Source("letters of DejaVu Sans, drawn anew by code; not Omniglot", "rendered", "DejaVu font licence")

    def __init__(
        self,
        ways: int = 5,
        shots: int = 1,
        queries: int = 5,
        rotations: str = "none",
        warp: float = 0.0,
        wobble: float = 0.05,
        meta_batch: int = 4,
        steps: int = 100,
        val_episodes: int = 200,
        test_episodes: int = 600,
        seed: int = 0,
        cache_dir: str | None = None,
    ) -> None:
        super().__init__(ways, shots, queries, rotations, meta_batch, steps, val_episodes, test_episodes, seed, warp)
        self.wobble = within(0, 0.2, wobble, "data.wobble")
        self.cache_dir = cache_dir

    def gather(self) -> dict[str, Tensor]:
        """The letters, divided by script: drawn, or read from the cache."""
        arrays = letters.letters(self.seed, self.wobble, self.cache_dir)
        self.fingerprint = fingerprint({"letters": letters.GENERATOR, "wobble": self.wobble} | letters.versions())
        return {split: torch.from_numpy(array) for split, array in arrays.items()}
