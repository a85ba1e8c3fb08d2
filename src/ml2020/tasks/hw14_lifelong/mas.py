"""Memory aware synapses: hold the weights that move the output, whatever the labels (Aljundi et al. 2018)."""

from __future__ import annotations

from typing import Any

from ml2020.core.errors import at_least
from ml2020.core.module import Phase
from ml2020.tasks.hw14_lifelong import fisher
from ml2020.tasks.hw14_lifelong.ewc import first
from ml2020.tasks.hw14_lifelong.quadratic import Quadratic


class MAS(Quadratic):
    """loss = cross-entropy + lambda * sum_i Omega_i (theta_i - theta_i at the end of the last task)^2 (eq. 4).

    Omega adds up over the tasks: each brings the mean absolute gradient of the squared output norm, over `samples` pictures.
    """

    def __init__(self, mas_lambda: float = 1.0, samples: int | str = 500, **options: Any) -> None:
        super().__init__(**options)
        self.strength = at_least(0, mas_lambda, "model.mas_lambda")
        self.samples = samples if samples == "all" else at_least(1, samples, "model.samples")

    def on_phase_end(self, phase: Phase) -> None:
        super().on_phase_end(phase)
        if self.strength and phase.name != self.tasks[-1]:
            images, _ = first(self.data.plain_loader(self.tasks.index(phase.name), "train").to(self.device), self.samples)
            self.hold(fisher.mas(self.net, images), latest=True)
