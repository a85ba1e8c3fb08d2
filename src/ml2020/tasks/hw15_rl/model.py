"""What every agent of this homework shares: environments that are kept in checkpoints, measured episodes, figures."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from ml2020.core.errors import TypedError, at_least, one_of, whole_numbers, within
from ml2020.core.module import Module, Phase
from ml2020.core.network import network_figure
from ml2020.tasks.hw15_rl import environments, figures, film
from ml2020.tasks.hw15_rl.actor import Actor
from ml2020.tasks.hw15_rl.fleet import TRAINING, Episode, Fleet

LIMITS = ("end", "bootstrap", "observed")
STEPS_A_SECOND = 50  # of an episode in its gif, as gymnasium shows it


class Agent(Module):
    """Acts in `envs` environments and learns from what it saw: one collection and one update is one `training_step`.

    `time_limit` says what an episode is that was cut by the environment's limit of steps. end: nothing comes after it, the return is
    counted within the limit. bootstrap: it would have gone on, so the value of its last state stands for the rest (Pardo et al. 2018).
    observed: an end, and the share of the steps that is left is one more input. `reward_scale`: what the networks learn from is the
    reward times this; what is reported is the reward.

    An agent gives `build`, `learn`, and `policy`, the network whose greedy actions are measured.
    """

    policy: nn.Sequential

    def __init__(
        self,
        envs: int,
        hidden: Sequence[int] = (64, 64),
        gamma: float = 0.99,
        time_limit: str = "end",
        reward_scale: float = 1.0,
        clip_norm: float = 0.5,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.envs = at_least(1, envs, "model.envs")
        self.hidden = whole_numbers(hidden, "model.hidden", empty=True)
        self.gamma = within(0, 1, gamma, "model.gamma")
        self.time_limit = one_of(LIMITS, time_limit, "model.time_limit")
        self.reward_scale = at_least(1e-6, reward_scale, "model.reward_scale")
        self.clip_norm = at_least(0, clip_norm, "model.clip_norm")
        self.fleet: Fleet | None = None
        self.kept: list[dict[str, Any]] | None = None  # environments of a checkpoint, until they are needed
        self.played: dict[str, list[Episode]] = {}

    def configure(self, spec: dict[str, Any]) -> None:
        """The networks, and two counters: steps of all environments, and updates."""
        if self.time_limit == "observed" and spec["limit"] is None:
            raise TypedError(f"model.time_limit=observed needs a limit, and {spec['env']} has none; type model.time_limit=bootstrap")
        self.spec, self.actions = spec, spec["actions"]
        self.inputs = spec["observation"] + (self.time_limit == "observed")
        self.build()
        self.register_buffer("env_steps", torch.zeros((), dtype=torch.int64))
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))

    def build(self) -> None:
        """Make the networks: `self.inputs` numbers in, `self.actions` to choose from."""
        raise NotImplementedError

    def learn(self, rng: np.random.Generator) -> dict[str, Tensor | float]:
        """Collect experience with the present weights, update them, and give what is worth a row of the history."""
        raise NotImplementedError

    def forward(self, observations: Tensor) -> Tensor:
        """(n, inputs) -> logits, or values, of the actions (n, actions)."""
        return self.policy(observations)

    def actor(self) -> Actor:
        """The present policy in numpy."""
        return Actor(self.policy)

    # Training.

    def phases(self, data: Any) -> Iterator[Phase]:
        self.run_seed = data.run_seed
        yield from super().phases(data)

    def open(self, count: int, **options: Any) -> Fleet:
        """New environments."""
        limit = self.spec["limit"] if self.time_limit == "observed" else None
        return Fleet(partial(environments.make, self.spec["env"], **options), count, self.spec["observation"], limit)

    def running(self) -> Fleet:
        """The environments of the training: where a checkpoint left them, or at their first episodes."""
        if self.fleet is None:
            self.fleet = self.open(self.envs)
            if self.kept is None:
                self.fleet.seed([TRAINING + self.run_seed * 10_000 + i for i in range(self.envs)])
            else:
                self.fleet.load_state_dict(self.kept)
        return self.fleet

    def training_step(self, batch: tuple[Tensor, ...], index: int) -> None:
        """One request: its seed is all the randomness of the collection and the update."""
        start, before = time.perf_counter(), int(self.env_steps)
        row = self.learn(np.random.default_rng(int(batch[0])))
        self.updates += 1
        if (schedule := self.lr_schedulers()) is not None:
            schedule.step()
        rate = (int(self.env_steps) - before) / (time.perf_counter() - start)
        self.log_row(**row, env_steps=float(self.env_steps), steps_per_second=rate)

    @property
    def left(self) -> float:
        """The share of the training that is still to come, from 1 to 0."""
        return 1.0 if self.plan is None else max(0.0, 1.0 - int(self.updates) / self.plan.steps)

    def descend(self, loss: Tensor, *parts: nn.Module) -> None:
        """One step of the optimizer; the gradient of each part is clipped by itself: a bad critic does not slow the actor."""
        optimizer = self.optimizers(use_pl_optimizer=False)
        optimizer.zero_grad(set_to_none=True)
        self.manual_backward(loss)
        for part in parts if self.clip_norm else ():
            nn.utils.clip_grad_norm_(part.parameters(), self.clip_norm)
        optimizer.step()

    def tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(self.device)

    @staticmethod
    def told(ended: list[tuple[float, int, bool]]) -> dict[str, float]:
        """Return, length and share cut of the episodes that ended in this step; nothing where none did."""
        if not ended:
            return {}
        returns, lengths, cuts = zip(*ended, strict=True)
        return {"return": float(np.mean(returns)), "length": float(np.mean(lengths)), "cut": float(np.mean(cuts))}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["environments"] = self.fleet.state_dict() if self.fleet is not None else self.kept

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.kept, self.fleet = checkpoint["environments"], None

    # Measuring.

    def evaluate_step(self, batch: tuple[Tensor, ...]) -> None:
        """Play the episodes of these seeds greedily; of the test also by drawn actions."""
        seeds, actor = batch[0].tolist(), self.actor()
        fleet = self.open(len(seeds))
        self.played["greedy"] = fleet.episodes(actor.greedy, seeds)
        if self.split == "test":
            self.played["sampled"] = fleet.episodes(self.explorer(actor, np.random.default_rng(seeds[0]), len(seeds)), seeds)
        self.seeds = seeds

    def explorer(self, actor: Actor, rng: np.random.Generator, count: int) -> Any:
        """How the agent acts while it learns: actions drawn from the policy."""
        return actor.sampler(rng, count, self.actions)

    def evaluate_end(self) -> dict[str, float]:
        """return: mean over the greedy episodes; std, length, cut, solved; sampled_...: by drawn actions; env_steps so far."""
        values = score(self.played["greedy"], self.spec["solved"])
        if self.split == "test":
            values |= {f"sampled_{name}": value for name, value in score(self.played["sampled"], self.spec["solved"]).items()}
        return values | {"env_steps": float(self.env_steps)}

    def export_example(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """First observations of the episodes of a split."""
        fleet = self.open(len(batch[0]))
        for i, seed in enumerate(batch[0].tolist()):
            fleet.begin(i, seed)
        return (torch.from_numpy(fleet.observations.copy()),)

    def figures(self, data: Any, history: Any) -> Iterator[tuple[str, Figure]]:
        """Return against environment steps; how often which action; value and film of the episode of median return."""
        yield "return", figures.learning(history.rows, self.spec["solved"])
        yield "actions", figures.actions({name: episodes for name, episodes in self.played.items()}, film.names(self.spec["env"]))
        episodes = self.played["greedy"]
        place = int(np.argsort([episode.total for episode in episodes], kind="stable")[len(episodes) // 2])
        if (values := self.values(episodes[place].observations)) is not None:
            yield "value", figures.value(values / self.reward_scale, episodes[place], self.gamma)
        length = len(episodes[place])
        filmed = film.frames(partial(self.open, 1, render_mode="rgb_array"), self.seeds[place], self.actor(), length)
        if filmed is not None:
            pictures, steps = filmed
            yield "film", figures.strip(pictures, steps, episodes[place].total)
            self.animate("episode", pictures, STEPS_A_SECOND * len(pictures) / length)
        yield "network", network_figure(self, torch.zeros(1, self.inputs))

    def values(self, observations: np.ndarray) -> np.ndarray | None:
        """What the agent expects from each of these states, (t,), in scaled rewards; None where it expects nothing."""
        return None


def score(episodes: Sequence[Episode], solved: float | None) -> dict[str, float]:
    """Mean and standard deviation of the returns, mean length, share cut, and share that reaches the return `solved`."""
    totals = np.array([episode.total for episode in episodes])
    values = {
        "return": float(totals.mean()),
        "std": float(totals.std()),
        "length": float(np.mean([len(episode) for episode in episodes])),
        "cut": float(np.mean([episode.cut for episode in episodes])),
    }
    return values if solved is None else values | {"solved": float((totals >= solved).mean())}
