"""The same losses between two perceptrons, for points on a ring: how GANs learn, miss modes and circle, in seconds."""

from __future__ import annotations

from typing import Any

from ml2020.core.errors import one_of
from ml2020.tasks.hw11_gan.best import Best
from ml2020.tasks.hw11_gan.dcgan import DCGAN
from ml2020.tasks.hw11_gan.lsgan import LSGAN
from ml2020.tasks.hw11_gan.model import GAN
from ml2020.tasks.hw11_gan.sngan import SNGAN
from ml2020.tasks.hw11_gan.wgan import WGAN
from ml2020.tasks.hw11_gan.wgan_gp import WGANGP

LOSSES = {"dcgan": DCGAN, "lsgan": LSGAN, "wgan": WGAN, "wgan_gp": WGANGP, "sngan": SNGAN, "best": Best}


def toy(loss: str = "dcgan", **options: Any) -> GAN:
    """One of the GANs of this homework with perceptrons (networks.points)."""
    kind = LOSSES[one_of(LOSSES, loss, "model.loss")]
    return kind(net="mlp", norm="spectral" if kind is SNGAN else "none", **options)
