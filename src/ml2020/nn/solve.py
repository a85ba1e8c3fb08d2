"""Sums of squares and products, and linear systems that may be singular."""

from __future__ import annotations

import torch
from torch import Tensor


def gram(x: Tensor) -> Tensor:
    """x' x (d, d) of x (n, d). On the CPU by numpy, which computes one half of what is symmetric; torch computes both."""
    return torch.from_numpy(x.numpy().T @ x.numpy()) if x.device.type == "cpu" else x.T @ x


def eigen(a: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues (k,) and eigenvectors (d, k) of a symmetric positive semi-definite `a` (d, d), without those that are only rounding:
    below d times the machine precision of the largest, as numpy.linalg.matrix_rank counts."""
    values, vectors = torch.linalg.eigh(a)
    sound = values > len(a) * torch.finfo(a.dtype).eps * values[-1].clamp(min=0)
    return values[sound], vectors[:, sound]


def solve(a: Tensor, b: Tensor) -> Tensor:
    """The x (d,) of least length with a x = b, for a symmetric positive semi-definite `a` (d, d) and `b` (d,).

    Columns that are constant, or sums of others (every one-hot group), make `a` singular: what they leave open stays at 0.
    """
    values, vectors = eigen(a)
    return vectors @ (b @ vectors / values)
