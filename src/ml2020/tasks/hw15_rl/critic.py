"""An actor and a critic: two networks, rollouts of fixed length, and generalised advantages."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ml2020.core.errors import at_least, within
from ml2020.nn.perceptron import perceptron
from ml2020.tasks.hw15_rl.fleet import Rollout
from ml2020.tasks.hw15_rl.model import Agent
from ml2020.tasks.hw15_rl.networks import log_chances
from ml2020.tasks.hw15_rl.returns import following_values, gae


class Samples(NamedTuple):
    """What is learnt from: observations (N, inputs); of each the action, its advantage, return and log p, and the value, all (N,)."""

    observations: Tensor
    actions: Tensor
    advantages: Tensor
    returns: Tensor
    logs: Tensor
    values: Tensor


class ActorCritic(Agent):
    """A policy and a value network, apart. Each update sees `horizon` steps of each of `envs` environments.

    `lam`: lambda of the generalised advantages; 1 is the return less the value, 0 the one-step error. `entropy`: weight of the entropy
    in the loss, falling linearly to `entropy_end` of it.
    """

    def __init__(
        self,
        envs: int,
        horizon: int,
        lam: float = 0.98,
        entropy: float = 0.01,
        entropy_end: float = 1.0,
        **options: Any,
    ) -> None:
        super().__init__(envs=envs, **options)
        self.horizon = at_least(1, horizon, "model.horizon")
        self.lam = within(0, 1, lam, "model.lam")
        self.entropy = at_least(0, entropy, "model.entropy")
        self.entropy_end = within(0, 1, entropy_end, "model.entropy_end")

    def build(self) -> None:
        self.policy = perceptron(self.inputs, self.hidden, self.actions, last=0.01)
        self.critic = perceptron(self.inputs, self.hidden, 1)

    @property
    def bonus(self) -> float:
        """The present weight of the entropy."""
        return self.entropy * (self.entropy_end + (1 - self.entropy_end) * self.left)

    def collect(self, rng: np.random.Generator) -> tuple[Samples, dict[str, float]]:
        """A rollout with its advantages, and the returns of the episodes that ended in it."""
        fleet = self.running()
        rollout = fleet.rollout(self.horizon, self.explorer(self.actor(), rng, len(fleet)))
        self.env_steps += rollout.rewards.size
        return self.judge(rollout), self.told(rollout.ended)

    @torch.no_grad()
    def judge(self, rollout: Rollout) -> Samples:
        """Values, advantages and returns of a rollout."""
        steps, count, size = rollout.observations.shape
        seen = np.concatenate([rollout.observations.reshape(-1, size), rollout.last, rollout.finals])
        found = self.critic(self.tensor(seen))[:, 0].cpu().numpy()
        values, last, finals = np.split(found, [steps * count, (steps + 1) * count])
        values = values.reshape(steps, count)
        following = following_values(values, last, rollout.terminated, rollout.cut, finals if self.time_limit == "bootstrap" else None)
        ended = rollout.terminated | rollout.cut
        advantages = gae(rollout.rewards * np.float32(self.reward_scale), values, following, ended, self.gamma, self.lam)
        observations, actions = self.tensor(rollout.observations.reshape(-1, size)), self.tensor(rollout.actions.reshape(-1))
        logs, _ = log_chances(self.policy(observations), actions)
        flat = [self.tensor(x.reshape(-1)) for x in (advantages, advantages + values, values)]
        return Samples(observations, actions, flat[0], flat[1], logs, flat[2])

    def values(self, observations: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return self.critic(self.tensor(observations))[:, 0].cpu().numpy()


def explained_variance(values: Tensor, returns: Tensor) -> Tensor:
    """1 - var(returns - values) / var(returns): 1 is a perfect critic, 0 one that says the mean."""
    return 1 - (returns - values).var(correction=0) / returns.var(correction=0).clamp_min(1e-12)
