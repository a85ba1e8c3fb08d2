"""No data set, but requests: each is a seed for one collection of experience; and the seeds of episodes that are only measured."""

from __future__ import annotations

import importlib.metadata

import torch
from torch import Tensor

from ml2020.core.data import DataModule, Source
from ml2020.core.draws import Draws
from ml2020.core.errors import at_least, within
from ml2020.core.loaders import TensorLoader
from ml2020.data.cache import fingerprint
from ml2020.tasks.hw15_rl import environments

TEST = 100_000  # where the seeds of the test begin; those of validation begin at 0, those of training far above (fleet.py)
RANGE = 1_000_000  # seeds of one data.seed


class Requests(DataModule):
    """An environment of gymnasium with discrete actions, `env`.

    An epoch is `updates` requests. `val_episodes`, `test_episodes`: measured episodes, each with a seed of its own; which ones depends
    on data.seed alone. `spec`: see environments.facts.
    """

    def __init__(
        self, env: str = "LunarLander-v3", updates: int = 10, val_episodes: int = 20, test_episodes: int = 100, seed: int = 0
    ) -> None:
        super().__init__(batch_size=1)
        self.env = env
        self.updates = at_least(1, updates, "data.updates")
        self.episodes = {
            "val": within(1, TEST, val_episodes, "data.val_episodes"),
            "test": within(1, TEST, test_episodes, "data.test_episodes"),
        }
        self.seed = within(0, 1_000, seed, "data.seed")

    def prepare(self) -> None:
        """Look at the environment. Raises TypedError for one that is not there or whose actions are continuous."""
        env = environments.make(self.env)
        self.spec = environments.facts(env)
        env.close()
        version = importlib.metadata.version("gymnasium")
        self.source = Source(f"episodes of {self.spec['env']}, gymnasium {version}", "generated", "gymnasium: MIT; Box2D: zlib")
        self.counts = {"for validation": self.episodes["val"], "for the test": self.episodes["test"]}
        self.fingerprint = fingerprint({"spec": self.spec, "gymnasium": version, "seed": self.seed, "episodes": self.episodes})

    def train_dataloader(self) -> TensorLoader:
        """(seed (1,) int64) for each request."""
        return TensorLoader([torch.arange(self.updates)], 1, seed=self.run_seed, transform=request)

    def measured(self, split: str) -> TensorLoader:
        """(seeds (n,) int64) of all episodes of a split, in one batch."""
        first = self.seed * RANGE + (TEST if split == "test" else 0)
        return TensorLoader([first + torch.arange(self.episodes[split])], self.episodes[split])

    def val_dataloader(self) -> TensorLoader:
        return self.measured("val")

    def evaluation_loaders(self) -> dict[str, TensorLoader]:
        return {split: self.measured(split) for split in ("val", "test")}


def request(draws: Draws, number: Tensor) -> tuple[Tensor]:
    """A seed that depends on the run's seed, the epoch and the number of the request alone."""
    return (draws.state & (2**63 - 1),)
