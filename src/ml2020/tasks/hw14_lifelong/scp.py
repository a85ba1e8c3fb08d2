"""Sliced Cramer preservation: hold the weights that move the mean output along random directions (Kolouri et al. 2020)."""

from __future__ import annotations

from typing import Any

import torch

from ml2020.core.errors import at_least
from ml2020.tasks.hw14_lifelong import fisher
from ml2020.tasks.hw14_lifelong.quadratic import Quadratic


class SCP(Quadratic):
    """loss = cross-entropy + lambda * sum over finished tasks t of sum_i Gamma_ti (theta_i - theta_ti)^2.

    Gamma_t: the mean over `slices` random unit vectors v of the squared gradient of v . (mean output), over `samples` pictures.
    """

    def __init__(self, scp_lambda: float = 1.0, slices: int = 100, samples: int | str = 500, **options: Any) -> None:
        super().__init__(**options)
        self.strength = at_least(0, scp_lambda, "model.scp_lambda")
        self.slices = at_least(1, slices, "model.slices")
        self.samples = samples if samples == "all" else at_least(1, samples, "model.samples")

    def measure(self, number: int) -> dict[str, torch.Tensor]:
        """Gamma of a task; its labels are not looked at."""
        generator = torch.Generator().manual_seed(self.data.run_seed * 1_009 + number)
        return fisher.scp(self.net, self.pictures(number, self.samples)[0], slices=self.slices, generator=generator)
