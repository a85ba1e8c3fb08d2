"""The GAN of Goodfellow et al. (2014) with the networks of DCGAN (Radford et al. 2016): two classes, real and generated."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ml2020.core.errors import within
from ml2020.tasks.hw11_gan.model import GAN


class DCGAN(GAN):
    """D: cross-entropy, real is 1 and generated 0. G: cross-entropy with the answer 1 ("non-saturating": it learns most where it is
    seen through). Scores are logits. `smoothing`: real is 1 - smoothing, so that D is never sure (Salimans et al. 2016).
    """

    def __init__(self, smoothing: float = 0.0, **options: Any) -> None:
        super().__init__(**options)
        self.smoothing = within(0, 0.5, smoothing, "model.smoothing")

    def discriminator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return bce(real, 1 - self.smoothing) + bce(fake, 0.0)

    def generator_loss(self, fake: Tensor) -> Tensor:
        return bce(fake, 1.0)

    def mixed_loss(self, scores: Tensor, real: Tensor) -> Tensor:
        """Keras' mean over one mixed batch; half of the sum of the two means where they are as many."""
        return F.binary_cross_entropy_with_logits(scores, real.float() * (1 - self.smoothing))


def bce(logits: Tensor, answer: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, answer))
