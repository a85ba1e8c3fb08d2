"""Spectral normalisation (Miyato et al. 2018): each layer of D is at most as steep as 1; with the hinge loss."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ml2020.tasks.hw11_gan.model import GAN


class SNGAN(GAN):
    """D: mean max(0, 1 - D(x)) + mean max(0, 1 + D(G(z))): only samples inside the margin count. G: - mean D(G(z)) (eq. 16, 17).

    The norm itself is networks.Spectral, on every weight of D (`norm: spectral`).
    """

    def discriminator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return F.relu(1 - real).mean() + F.relu(1 + fake).mean()

    def generator_loss(self, fake: Tensor) -> Tensor:
        return -fake.mean()
