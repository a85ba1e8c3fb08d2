"""The Wasserstein distance instead of two classes (Arjovsky et al. 2017): D is a critic whose slope is limited, here by clipping."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ml2020.core.errors import at_least
from ml2020.tasks.hw11_gan.model import GAN


class WGAN(GAN):
    """D: mean D(G(z)) - mean D(x), weights clipped to [-clip, clip] after each step. G: - mean D(G(z)) (algorithm 1)."""

    middle = None  # a critic's scores have no border

    def __init__(self, clip: float = 0.01, **options: Any) -> None:
        super().__init__(**options)
        self.clip = at_least(1e-6, clip, "model.clip")

    def discriminator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return fake.mean() - real.mean()

    def generator_loss(self, fake: Tensor) -> Tensor:
        return -fake.mean()

    @torch.no_grad()
    def limit(self) -> None:
        for weight in self.discriminator.parameters():
            weight.clamp_(-self.clip, self.clip)
