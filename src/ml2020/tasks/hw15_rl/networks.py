"""What is read off the networks that act: log-probabilities, and numbers of mean 0."""

from __future__ import annotations

import torch
from torch import Tensor


def log_chances(logits: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
    """log p of the taken actions (n,), and the entropy of each choice (n,), in nats, from logits (n, actions)."""
    logs = torch.log_softmax(logits, 1)
    return logs.gather(1, actions[:, None])[:, 0], -(logs.exp() * logs).sum(1)


def normalized(x: Tensor) -> Tensor:
    """With mean 0 and standard deviation 1, (n,)."""
    return (x - x.mean()) / (x.std(correction=0) + 1e-8)
