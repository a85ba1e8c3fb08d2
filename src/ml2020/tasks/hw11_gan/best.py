"""What is used today for few pictures: the first GAN's loss, R1, and augmentation that gradients pass."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ml2020.core.errors import at_least
from ml2020.tasks.hw11_gan.dcgan import DCGAN


class Best(DCGAN):
    """DCGAN's loss with R1: D's slope at real samples is punished, r1 / 2 |grad D(x)|^2 (Mescheder et al. 2018, eq. 9).

    Every `r1_every`-th step, times r1_every: in between the slope changes little (Karras et al. 2020, appendix B).
    """

    def __init__(self, r1: float = 1.0, r1_every: int = 8, **options: Any) -> None:
        super().__init__(**options)
        self.r1, self.r1_every = at_least(0, r1, "model.r1"), at_least(1, r1_every, "model.r1_every")

    def penalty(self, real: Tensor, fake: Tensor) -> Tensor | float:
        if not self.r1 or self.turns % self.r1_every:
            return 0.0
        real = real.detach().requires_grad_()
        slope = torch.autograd.grad(self.scores(real).sum(), real, create_graph=True)[0]
        return self.r1 / 2 * self.r1_every * slope.flatten(1).square().sum(1).mean()
