"""Elastic weight consolidation: hold the weights that the Fisher information says matter (Kirkpatrick et al. 2017, eq. 3)."""

from __future__ import annotations

from typing import Any

import torch

from ml2020.core.errors import at_least, one_of, within
from ml2020.tasks.hw14_lifelong.fisher import KINDS, fisher
from ml2020.tasks.hw14_lifelong.quadratic import Quadratic


class EWC(Quadratic):
    """loss = cross-entropy + lambda / 2 * sum over finished tasks t of sum_i F_ti (theta_i - theta_ti)^2.

    F_t is the diagonal Fisher information of task t at its end, a mean over `fisher_samples` of its training pictures (all: every one),
    of the kind `fisher` (fisher.py). `online`: F <- gamma F + F_t with one anchor, the latest weights (Schwarz et al. 2018).
    """

    def __init__(
        self,
        ewc_lambda: float = 30.0,
        fisher: str = "exact",
        fisher_samples: int | str = 500,
        online: bool = False,
        gamma: float = 1.0,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.strength = at_least(0, ewc_lambda, "model.ewc_lambda") / 2
        self.fisher = one_of(KINDS, fisher, "model.fisher")
        self.samples = fisher_samples if fisher_samples == "all" else at_least(1, fisher_samples, "model.fisher_samples")
        gamma = within(0, 1, gamma, "model.gamma")
        self.latest, self.fading = online, gamma if online else 1.0

    def measure(self, number: int) -> dict[str, torch.Tensor]:
        """The Fisher information of a task."""
        images, labels = self.pictures(number, self.samples)
        units = None if self.scenario == "domain" else self.units[number]
        generator = torch.Generator().manual_seed(self.data.run_seed * 1_009 + number)
        slip = self.batch_statistics and self.fisher == "original"
        return fisher(self.net, images, labels, self.fisher, units=units, generator=generator, batch_statistics=slip)
