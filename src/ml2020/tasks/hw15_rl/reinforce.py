"""REINFORCE (Williams 1992), and the steps by which the course improves it: who gets the credit for a reward?"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ml2020.core.errors import TypedError, at_least, one_of
from ml2020.nn.perceptron import INITS, perceptron
from ml2020.tasks.hw15_rl.critic import explained_variance
from ml2020.tasks.hw15_rl.fleet import Episode
from ml2020.tasks.hw15_rl.model import Agent
from ml2020.tasks.hw15_rl.networks import log_chances, normalized
from ml2020.tasks.hw15_rl.returns import CREDITS, rewards_to_go


class Reinforce(Agent):
    """loss = -1/n sum over n episodes and their steps t of log p(a_t | s_t) x credit_t: minus the gradient of the expected return.

    `credit` of an action: total, all rewards of its episode (the course's sample); to_go, those from it on; discounted, the same with
    gamma; advantage, the same less a learned value of the state, the baseline, which is fitted in `baseline_epochs` passes after each
    update. `normalize`: the credits of an update have mean 0 and standard deviation 1. `envs`: n; each plays one whole episode. `init`:
    how the networks begin, orthogonal or as torch has it, as in the course's sample.
    """

    def __init__(
        self,
        envs: int = 10,
        credit: str = "advantage",
        normalize: bool = True,
        baseline_epochs: int = 4,
        entropy: float = 0.0,
        init: str = "orthogonal",
        **options: Any,
    ) -> None:
        super().__init__(envs=envs, **options)
        self.credit = one_of(CREDITS, credit, "model.credit")
        self.normalize = normalize
        self.baseline_epochs = at_least(1, baseline_epochs, "model.baseline_epochs")
        self.entropy = at_least(0, entropy, "model.entropy")
        self.init = one_of(INITS, init, "model.init")
        if self.time_limit == "bootstrap" and self.credit != "advantage":
            raise TypedError("model.time_limit=bootstrap needs a value that stands for the rest; type model.credit=advantage")

    def build(self) -> None:
        self.policy = perceptron(self.inputs, self.hidden, self.actions, last=0.01, init=self.init)
        self.critic = perceptron(self.inputs, self.hidden, 1, init=self.init) if self.credit == "advantage" else None

    def learn(self, rng: np.random.Generator) -> dict[str, Tensor | float]:
        """Play whole episodes, and one step up the gradient of their mean return."""
        fleet = self.running()
        episodes = fleet.episodes(self.explorer(self.actor(), rng, len(fleet)))
        count = sum(len(episode) for episode in episodes)
        self.env_steps += count
        observations = self.tensor(np.concatenate([episode.observations for episode in episodes]))
        actions = self.tensor(np.concatenate([episode.actions for episode in episodes]))
        returns = self.tensor(np.concatenate([self.credits(episode) for episode in episodes]).astype(np.float32))
        row: dict[str, Tensor | float] = self.told([(episode.total, len(episode), episode.cut) for episode in episodes])
        credits = returns
        if self.critic is not None:
            values = self.values_of(observations)
            credits = returns - values
            row |= self.fit(observations, returns) | {"explained_variance": explained_variance(values, returns)}
        if self.normalize:
            credits = normalized(credits)
        logs, entropy = log_chances(self.policy(observations), actions)
        loss = -((logs * credits).sum() + self.entropy * entropy.sum()) / len(episodes)
        self.descend(loss, self.policy)
        return row | {"loss": loss.detach(), "entropy": entropy.detach().mean(), "kl": self.moved(observations, actions, logs.detach())}

    def credits(self, episode: Episode) -> np.ndarray:
        """What each action of an episode is given, before the baseline and the normalisation, (t,) float64."""
        rewards = episode.rewards.astype(np.float64) * self.reward_scale
        if self.credit == "total":
            return np.full(len(rewards), rewards.sum())
        after = 0.0
        if episode.cut and self.time_limit == "bootstrap":
            after = float(self.values(episode.final[None])[0])
        return rewards_to_go(rewards, 1.0 if self.credit == "to_go" else self.gamma, after)

    def fit(self, observations: Tensor, returns: Tensor) -> dict[str, Tensor]:
        """Bring the baseline nearer to the returns."""
        for _ in range(self.baseline_epochs):
            loss = F.mse_loss(self.critic(observations)[:, 0], returns)
            self.descend(loss, self.critic)
        return {"value_loss": loss.detach()}

    @torch.no_grad()
    def moved(self, observations: Tensor, actions: Tensor, before: Tensor) -> Tensor:
        """How far the update has moved the policy: an estimate of KL(old | new) that is never negative (Schulman 2020)."""
        distance = log_chances(self.policy(observations), actions)[0] - before
        return (distance.exp() - 1 - distance).mean()

    @torch.no_grad()
    def values_of(self, observations: Tensor) -> Tensor:
        return self.critic(observations)[:, 0]

    def values(self, observations: np.ndarray) -> np.ndarray | None:
        return None if self.critic is None else self.values_of(self.tensor(observations)).cpu().numpy()
