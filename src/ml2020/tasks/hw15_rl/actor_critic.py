"""A2C: an actor and a critic that learn from every short stretch of all environments at once (Mnih et al. 2016, synchronous)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from ml2020.tasks.hw15_rl.critic import ActorCritic, explained_variance
from ml2020.tasks.hw15_rl.networks import log_chances, normalized


class A2C(ActorCritic):
    """loss = -mean log p(a | s) A + mean (V - G)^2 / 2 - c mean H, one gradient for each collection.

    `normalize`: the advantages of an update have mean 0 and standard deviation 1.
    """

    def __init__(self, envs: int = 16, horizon: int = 32, normalize: bool = True, **options: Any) -> None:
        super().__init__(envs=envs, horizon=horizon, **options)
        self.normalize = normalize

    def learn(self, rng: np.random.Generator) -> dict[str, Tensor | float]:
        """Collect, and one step up the policy's gradient and down the critic's error."""
        samples, row = self.collect(rng)
        advantages = normalized(samples.advantages) if self.normalize else samples.advantages
        logs, entropy = log_chances(self.policy(samples.observations), samples.actions)
        policy_loss = -(logs * advantages).mean()
        value_loss = 0.5 * F.mse_loss(self.critic(samples.observations)[:, 0], samples.returns)
        loss = policy_loss + value_loss - self.bonus * entropy.mean()
        self.descend(loss, self.policy, self.critic)
        said = {"loss": loss, "policy_loss": policy_loss, "value_loss": value_loss, "entropy": entropy.mean()}
        return (
            row
            | {name: x.detach() for name, x in said.items()}
            | {"explained_variance": explained_variance(samples.values, samples.returns)}
        )
