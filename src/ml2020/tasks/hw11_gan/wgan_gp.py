"""WGAN with a penalty on the critic's slope instead of clipped weights (Gulrajani et al. 2017)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ml2020.core.errors import at_least
from ml2020.tasks.hw11_gan.model import GAN


class WGANGP(GAN):
    """D: mean D(G(z)) - mean D(x) + gp (|grad D(y)| - 1)^2, y at random places between real and generated. G: - mean D(G(z)).

    No batch norm in D: the penalty is on the slope at each sample by itself.
    """

    middle = None

    def __init__(self, gp: float = 10.0, **options: Any) -> None:
        super().__init__(**options)
        self.gp = at_least(0, gp, "model.gp")

    def discriminator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return fake.mean() - real.mean()

    def generator_loss(self, fake: Tensor) -> Tensor:
        return -fake.mean()

    def penalty(self, real: Tensor, fake: Tensor) -> Tensor:
        share = torch.rand(len(real), *[1] * (real.dim() - 1), device=real.device, dtype=real.dtype)
        between = (share * real + (1 - share) * fake).requires_grad_()
        slope = torch.autograd.grad(self.scores(between).sum(), between, create_graph=True)[0].flatten(1)
        return self.gp * (slope.norm(dim=1) - 1).square().mean()
