"""Proximal policy optimisation (Schulman et al. 2017): several passes over a rollout, near the policy that acted."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ml2020.core.errors import at_least, within
from ml2020.tasks.hw15_rl.critic import ActorCritic, Samples, explained_variance
from ml2020.tasks.hw15_rl.networks import log_chances, normalized


class PPO(ActorCritic):
    """loss = -mean min(r A, clip(r, 1 - eps, 1 + eps) A) + mean (V - G)^2 / 2 - c mean H, with r = p(a) / p_old(a)   (eq. 7 and 9).

    `epochs` passes in equal minibatches of at most `minibatch` steps; A is normalised in each. `clip`: eps.
    """

    def __init__(
        self, envs: int = 16, horizon: int = 512, epochs: int = 6, minibatch: int = 1024, clip: float = 0.2, **options: Any
    ) -> None:
        super().__init__(envs=envs, horizon=horizon, **options)
        self.epochs = at_least(1, epochs, "model.epochs")
        self.minibatch = at_least(2, minibatch, "model.minibatch")
        self.clip = within(0.001, 1, clip, "model.clip")

    def learn(self, rng: np.random.Generator) -> dict[str, Tensor | float]:
        """Collect, then pass over the samples in new orders."""
        samples, row = self.collect(rng)
        count = len(samples.actions)
        sums: dict[str, Tensor] = {}
        parts = 0
        for _ in range(self.epochs):
            order = self.tensor(rng.permutation(count))
            for place in order.tensor_split(-(-count // self.minibatch)):
                loss, said = self.surrogate(Samples(*(x[place] for x in samples)))
                self.descend(loss, self.policy, self.critic)
                parts += 1
                for name, value in said.items():
                    sums[name] = sums.get(name, 0.0) + value.detach()
        means = {name: total / parts for name, total in sums.items()}
        return row | means | {"explained_variance": explained_variance(samples.values, samples.returns)}

    def surrogate(self, batch: Samples) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a minibatch, and its parts; kl is an estimate of KL(old | new) that is never negative (Schulman 2020)."""
        logs, entropy = log_chances(self.policy(batch.observations), batch.actions)
        advantages = normalized(batch.advantages)
        distance = logs - batch.logs
        ratio = distance.exp()
        gain = torch.minimum(ratio * advantages, ratio.clamp(1 - self.clip, 1 + self.clip) * advantages).mean()
        value_loss = 0.5 * F.mse_loss(self.critic(batch.observations)[:, 0], batch.returns)
        loss = -gain + value_loss - self.bonus * entropy.mean()
        return loss, {
            "loss": loss,
            "policy_loss": -gain,
            "value_loss": value_loss,
            "entropy": entropy.mean(),
            "kl": (ratio - 1 - distance).mean(),
            "clipped": ((ratio - 1).abs() > self.clip).float().mean(),
        }
