"""DCGAN as a bare loop with both optimizers stepped by hand: what the framework's run must equal bit for bit.

It takes the two networks and the pictures, and trains the networks; the random numbers are torch's own, from where they stand.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def train(
    generator: nn.Module,
    discriminator: nn.Module,
    pictures: Tensor,
    orders: list[Tensor],
    mirrored: list[Tensor],
    batch_size: int,
    latent: int,
    lr: float,
    betas: tuple[float, float],
) -> None:
    """Train on uint8 pictures (n, 3, s, s) for len(orders) epochs; orders[e] (n,) and mirrored[e] (n,) bool say what epoch e sees."""
    optimizers = [torch.optim.Adam(net.parameters(), lr=lr, betas=betas, fused=True) for net in (generator, discriminator)]
    generator.train(), discriminator.train()
    for order, mirror in zip(orders, mirrored, strict=True):
        for start in range(0, len(order) - batch_size + 1, batch_size):
            index = order[start : start + batch_size]
            real = pictures[index].float() / 127.5 - 1
            real = torch.where(mirror[index].view(-1, 1, 1, 1), real.flip(-1), real)

            # The discriminator: real is 1, generated 0.
            with torch.no_grad():
                fake = generator(torch.randn(batch_size, latent))
            loss = cross_entropy(discriminator(real), 1.0) + cross_entropy(discriminator(fake), 0.0)
            optimizers[1].zero_grad()
            loss.backward()
            optimizers[1].step()

            # The generator: what it makes should be taken for real.
            loss = cross_entropy(discriminator(generator(torch.randn(batch_size, latent))), 1.0)
            optimizers[0].zero_grad()
            loss.backward()
            optimizers[0].step()


def cross_entropy(scores: Tensor, answer: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(scores, torch.full_like(scores, answer))
