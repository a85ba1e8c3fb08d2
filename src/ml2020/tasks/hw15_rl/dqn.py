"""Deep Q-learning (Mnih et al. 2015), with double targets (van Hasselt et al. 2016) and a dueling network (Wang et al. 2016)."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ml2020.core.errors import at_least, within
from ml2020.nn.perceptron import perceptron
from ml2020.tasks.hw15_rl.actor import Actor
from ml2020.tasks.hw15_rl.fleet import Rollout
from ml2020.tasks.hw15_rl.model import Agent


class Dueling(nn.Module):
    """Q(s, a) = V(s) + A(s, a) - mean over a of A(s, a), from one trunk; (n, inputs) -> (n, actions)."""

    def __init__(self, inputs: int, hidden: list[int], actions: int) -> None:
        super().__init__()
        self.trunk = perceptron(inputs, hidden, actions, shape=nn.ReLU)[:-1]
        width = hidden[-1] if hidden else inputs
        self.value, self.advantage = nn.Linear(width, 1), nn.Linear(width, actions)

    def forward(self, observations: Tensor) -> Tensor:
        x = self.trunk(observations)
        advantages = self.advantage(x)
        return self.value(x) + advantages - advantages.mean(1, keepdim=True)

    @torch.no_grad()
    def folded(self) -> list[nn.Module]:
        """The same function as plain layers: what follows the trunk is linear, so it is one matrix."""
        last = nn.Linear(self.advantage.in_features, self.advantage.out_features)
        for name in ("weight", "bias"):
            advantage, value = getattr(self.advantage, name), getattr(self.value, name)
            getattr(last, name).copy_(advantage - advantage.mean(0, keepdim=True) + value)
        return [*self.trunk, last]


class Replay:
    """The last `size` steps: arrays that are written round and round."""

    def __init__(self, size: int, inputs: int) -> None:
        self.arrays = {
            "observations": np.zeros((size, inputs), np.float32),
            "actions": np.zeros(size, np.int64),
            "rewards": np.zeros(size, np.float32),
            "following": np.zeros((size, inputs), np.float32),
            "over": np.zeros(size, np.float32),
        }
        self.size, self.count = size, 0

    def add(self, **rows: np.ndarray) -> None:
        """New steps, each array (k, ...)."""
        places = (self.count + np.arange(len(rows["actions"]))) % self.size
        for name, values in rows.items():
            self.arrays[name][places] = values
        self.count += len(places)

    def draw(self, rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
        """`count` steps, with replacement."""
        places = rng.integers(0, min(self.count, self.size), count)
        return {name: array[places] for name, array in self.arrays.items()}

    def state_dict(self) -> dict[str, Any]:
        filled = min(self.count, self.size)
        return {"count": self.count} | {name: torch.from_numpy(array[:filled].copy()) for name, array in self.arrays.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.count = state["count"]
        for name, array in self.arrays.items():
            array[: len(state[name])] = state[name].numpy()


class DQN(Agent):
    """Huber loss of Q(s, a) against r + gamma Q'(s', a'), with Q' a copy of Q that is renewed every `target_every` updates.

    A training step is `horizon` steps of every environment and `gradients` minibatches from the last `memory` steps. a' is the best
    action by Q' or, with `double`, by Q. An action is drawn blindly with a probability that falls from 1 to `epsilon` over the first
    `exploring` share of the training. `warm_up`: steps before the first gradient.
    """

    def __init__(
        self,
        envs: int = 8,
        horizon: int = 8,
        gradients: int = 16,
        minibatch: int = 128,
        memory: int = 50_000,
        warm_up: int = 1_000,
        target_every: int = 16,
        epsilon: float = 0.05,
        exploring: float = 0.15,
        double: bool = True,
        dueling: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(envs=envs, **options)
        self.horizon = at_least(1, horizon, "model.horizon")
        self.gradients = at_least(1, gradients, "model.gradients")
        self.minibatch = at_least(1, minibatch, "model.minibatch")
        self.memory = at_least(envs * horizon, memory, "model.memory")
        self.warm_up = within(0, memory, warm_up, "model.warm_up")
        self.target_every = at_least(1, target_every, "model.target_every")
        self.epsilon = within(0, 1, epsilon, "model.epsilon")
        self.exploring = within(0, 1, exploring, "model.exploring")
        self.double, self.dueling = double, dueling

    def build(self) -> None:
        if self.dueling:
            self.policy = Dueling(self.inputs, self.hidden, self.actions)
        else:
            self.policy = perceptron(self.inputs, self.hidden, self.actions, shape=nn.ReLU)
        self.target = copy.deepcopy(self.policy).requires_grad_(False)
        self.replay = Replay(self.memory, self.inputs)

    def actor(self) -> Actor:
        return Actor(self.policy.folded() if self.dueling else self.policy)

    def explorer(self, actor: Actor, rng: np.random.Generator, count: int) -> Callable[[np.ndarray], np.ndarray]:
        """Greedy, but for a share of the actions that are drawn blindly."""
        share = self.epsilon
        if self.split != "test" and self.exploring:
            share += (1 - self.epsilon) * max(0.0, 1 - (1 - self.left) / self.exploring)

        def act(observations: np.ndarray) -> np.ndarray:
            blind = rng.random(len(observations)) < share
            return np.where(blind, rng.integers(0, self.actions, len(observations)), actor.greedy(observations))

        return act

    def learn(self, rng: np.random.Generator) -> dict[str, Tensor | float]:
        """Act and remember; then learn from what is remembered."""
        fleet = self.running()
        rollout = fleet.rollout(self.horizon, self.explorer(self.actor(), rng, len(fleet)))
        self.env_steps += rollout.rewards.size
        self.remember(rollout)
        row: dict[str, Tensor | float] = self.told(rollout.ended)
        if self.replay.count >= self.warm_up:
            losses = []
            for _ in range(self.gradients):
                batch = {name: self.tensor(array) for name, array in self.replay.draw(rng, self.minibatch).items()}
                loss, expected = self.error(batch)
                self.descend(loss, self.policy)
                losses.append(loss.detach())
            row |= {"loss": torch.stack(losses).mean(), "q": expected}
        if (int(self.updates) + 1) % self.target_every == 0:
            self.target.load_state_dict(self.policy.state_dict())
        return row

    def remember(self, rollout: Rollout) -> None:
        """Put a rollout into the memory, with the state after each step: of an episode that was cut its own last one."""
        following = np.concatenate([rollout.observations[1:], rollout.last[None]])
        following[rollout.cut] = rollout.finals
        over = rollout.terminated if self.time_limit == "bootstrap" else rollout.terminated | rollout.cut
        self.replay.add(
            observations=rollout.observations.reshape(-1, self.inputs),
            actions=rollout.actions.reshape(-1),
            rewards=rollout.rewards.reshape(-1) * np.float32(self.reward_scale),
            following=following.reshape(-1, self.inputs),
            over=over.reshape(-1),
        )

    def error(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """The loss of a minibatch, and the mean of its Q(s, a)."""
        with torch.no_grad():
            later = self.target(batch["following"])
            best = (self.policy(batch["following"]) if self.double else later).argmax(1, keepdim=True)
            goal = batch["rewards"] + self.gamma * (1 - batch["over"]) * later.gather(1, best)[:, 0]
        q = self.policy(batch["observations"]).gather(1, batch["actions"][:, None])[:, 0]
        return F.smooth_l1_loss(q, goal), q.detach().mean()

    def values(self, observations: np.ndarray) -> np.ndarray:
        return self.actor()(observations).max(1)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        checkpoint["replay"] = self.replay.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(checkpoint)
        self.replay.load_state_dict(checkpoint["replay"])
