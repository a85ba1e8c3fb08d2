"""Synaptic intelligence: hold the weights that brought the loss down while they were learnt (Zenke, Poole and Ganguli 2017)."""

from __future__ import annotations

from typing import Any

import torch

from ml2020.core.errors import at_least
from ml2020.core.module import Phase
from ml2020.tasks.hw14_lifelong.quadratic import Quadratic, shadow


class SI(Quadratic):
    """loss = cross-entropy + c * sum_i Omega_i (theta_i - theta_i at the end of the last task)^2 (eq. 4).

    omega_i adds up -g_i * (change of theta_i) over the steps of a task, g the gradient of its cross-entropy alone (eq. 3);
    Omega_i adds up omega_i / (D_i^2 + xi) over the tasks, D_i how far the weight went in the task (eq. 5), and is never negative.
    """

    latest = True

    def __init__(self, si_c: float = 10.0, xi: float = 0.1, **options: Any) -> None:
        super().__init__(**options)
        self.strength = at_least(0, si_c, "model.si_c")
        self.xi = at_least(1e-9, xi, "model.xi")

    def configure(self, spec: dict[str, Any]) -> None:
        super().configure(spec)
        self.path, self.began = shadow(self.net), shadow(self.net)

    @torch.no_grad()
    def on_phase_start(self, phase: Phase) -> None:
        super().on_phase_start(phase)
        for path, began, w in zip(self.path.parameters(), self.began.parameters(), self.weights(), strict=True):
            path.zero_()
            began.copy_(w)

    @torch.no_grad()
    def on_before_optimizer_step(self, optimizer: Any) -> None:
        """Lightning's hook: gradients are there, and the weights have not moved yet."""
        self.slopes, self.before = [], []
        for w, i, a in zip(self.weights(), self.importance.parameters(), self.anchor.parameters(), strict=True):
            slope = torch.addcmul(w.grad, i, w - a, value=-2 * self.strength) if self.finished else w.grad.clone()
            self.slopes.append(slope)  # without the penalty's part
            self.before.append(w.detach().clone())

    @torch.no_grad()
    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Lightning's hook: the weights have moved."""
        for path, g, old, w in zip(self.path.parameters(), self.slopes, self.before, self.weights(), strict=True):
            path.addcmul_(g, old.sub_(w))  # old is ours, and not needed any more
        self.slopes, self.before = [], []

    @torch.no_grad()
    def measure(self, number: int) -> dict[str, torch.Tensor]:
        """What the task adds to Omega."""
        parts = zip(self.net.named_parameters(), self.path.parameters(), self.began.parameters(), strict=True)
        return {name: (path / ((w - began).square() + self.xi)).clamp_min(0) for (name, w), path, began in parts}
