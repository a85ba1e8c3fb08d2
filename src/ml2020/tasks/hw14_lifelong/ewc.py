"""Elastic weight consolidation: hold the weights that the Fisher information says matter (Kirkpatrick et al. 2017, eq. 3)."""

from __future__ import annotations

from typing import Any

import torch

from ml2020.core.errors import TypedError, at_least, one_of, within
from ml2020.core.module import Phase
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
        batch_statistics: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.strength = at_least(0, ewc_lambda, "model.ewc_lambda") / 2
        self.fisher = one_of(KINDS, fisher, "model.fisher")
        self.samples = fisher_samples if fisher_samples == "all" else at_least(1, fisher_samples, "model.fisher_samples")
        self.online, self.gamma = online, within(0, 1, gamma, "model.gamma")
        self.batch_statistics = batch_statistics
        if batch_statistics and fisher != "original":
            raise TypedError("model.batch_statistics is a slip of model.fisher=original alone")

    def on_phase_end(self, phase: Phase) -> None:
        """Measure what mattered for the task that ends here, and hold it."""
        super().on_phase_end(phase)
        if self.strength and phase.name != self.tasks[-1]:
            number = self.tasks.index(phase.name)
            images, labels = self.samples_of(number)
            units = None if self.scenario == "domain" else self.units[number]
            generator = torch.Generator().manual_seed(self.data.run_seed * 1_009 + number)
            more = {"batch_statistics": True} if self.batch_statistics else {}
            found = fisher(self.net, images, labels, self.fisher, units=units, generator=generator, **more)
            self.hold(found, keep=self.gamma if self.online else 1.0, latest=self.online)

    def samples_of(self, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The first training pictures of a task in its own order, and their labels."""
        return first(self.data.plain_loader(number, "train").to(self.device), self.samples)


def first(loader: Any, count: int | str) -> tuple[torch.Tensor, torch.Tensor]:
    """The first `count` (all) pictures and labels of a loader."""
    images, labels, found = [], [], 0
    for x, y in loader:
        images.append(x), labels.append(y)
        found += len(y)
        if count != "all" and found >= count:
            break
    end = None if count == "all" else count
    return torch.cat(images)[:end], torch.cat(labels)[:end]
