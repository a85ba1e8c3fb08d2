"""Least squares instead of cross-entropy (Mao et al. 2017): a sample that fools D by far still pulls G towards the border."""

from __future__ import annotations

from torch import Tensor

from ml2020.tasks.hw11_gan.model import GAN


class LSGAN(GAN):
    """D: 1/2 (D(x) - 1)^2 + 1/2 D(G(z))^2. G: 1/2 (D(G(z)) - 1)^2 (eq. 2, with the answers 0 and 1 of eq. 9)."""

    middle = 0.5

    def discriminator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return 0.5 * ((real - 1).square().mean() + fake.square().mean())

    def generator_loss(self, fake: Tensor) -> Tensor:
        return 0.5 * (fake - 1).square().mean()
