"""Memory aware synapses: hold the weights that move the output, whatever the labels (Aljundi et al. 2018)."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ml2020.core.errors import at_least
from ml2020.tasks.hw14_lifelong import fisher
from ml2020.tasks.hw14_lifelong.quadratic import Quadratic


class MAS(Quadratic):
    """loss = cross-entropy + lambda * sum_i Omega_i (theta_i - theta_i at the end of the last task)^2 (eq. 4).

    Omega adds up over the tasks: each brings the mean absolute gradient of the squared output norm, over `samples` pictures.
    """

    latest = True

    def __init__(self, mas_lambda: float = 0.01, samples: int | str = 500, **options: Any) -> None:
        super().__init__(**options)
        self.strength = at_least(0, mas_lambda, "model.mas_lambda")
        self.samples = samples if samples == "all" else at_least(1, samples, "model.samples")

    def measure(self, number: int) -> dict[str, Tensor]:
        """Omega of a task; its labels are not looked at."""
        return fisher.mas(self.net, self.pictures(number, self.samples)[0])
