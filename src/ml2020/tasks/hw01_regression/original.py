"""The student's original: two schemes on fifteen windows, with their slips."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ml2020.core.errors import one_of
from ml2020.core.module import Phase
from ml2020.tasks.hw01_regression.columns import Columns
from ml2020.tasks.hw01_regression.model import Regression


class Original(Regression):
    """Scheme "linear": 162 weights; scheme "product": y = w1 X w2 + b with w1 (18) over measurements and w2 (9) over hours.

    The target is standardised too, as there; here the answers are scaled back, so that the error is in ug/m3. What trains it (fifteen
    windows, one at a time, across the ends of months) is brought by conf/model/hw01_original.yaml.
    """

    def __init__(self, columns: Callable[..., Columns], scheme: str = "linear") -> None:
        super().__init__(columns)
        self.scheme = one_of(("linear", "product"), scheme, "model.scheme")

    def configure(self, spec: dict[str, Any]) -> None:
        """Weights of the scheme, and the target's mean and spread of `spec`."""
        super().configure(spec)
        self.register_buffer("target", torch.tensor([spec["target_mean"], spec["target_std"]]))
        if self.scheme == "product":
            measurements, hours = spec["input"]
            self.linear.requires_grad_(False)
            self.w1, self.w2 = nn.Parameter(torch.randn(measurements)), nn.Parameter(torch.randn(hours))
            self.b = nn.Parameter(torch.zeros(()))
            self.shape = measurements, hours

    def standardised(self, windows: Tensor) -> Tensor:
        """(n, 18, 9) -> (n,) in standard deviations of the target from its mean."""
        x = self.columns(windows).to(self.dtype)
        if self.scheme == "linear":
            return self.linear(x).squeeze(1)
        return torch.einsum("m,nmh,h->n", self.w1, x.unflatten(1, self.shape), self.w2) + self.b

    def forward(self, windows: Tensor) -> Tensor:
        return self.standardised(windows) * self.target[1] + self.target[0]

    def loss(self, batch: tuple[Tensor, ...]) -> Tensor:
        windows, targets = batch
        return (self.standardised(windows) - (targets.to(self.dtype) - self.target[0]) / self.target[1]).square().mean()

    def on_phase_end(self, phase: Phase) -> None:
        """The product as one weight a column, for the figure of the weights."""
        if self.scheme == "product":
            with torch.no_grad():
                self.linear.weight.copy_(torch.outer(self.w1, self.w2).flatten()[None])
