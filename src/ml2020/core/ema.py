"""An exponential moving average of the weights (Polyak and Juditsky 1992, in the form of Izmailov et al.'s swa_utils)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class Average:
    """Averages of a module's parameters and floating-point buffers.

    Early averages would still hold the random start, so the decay rises with the number of updates t: min(decay, (1 + t) / (10 + t)).
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.module, self.decay, self.updates = module, decay, 0
        self.names = [name for name, tensor in module.state_dict().items() if tensor.is_floating_point()]
        self.tensors = [tensor.clone() for tensor in self._live()]

    def _live(self) -> list[Tensor]:
        state = self.module.state_dict()
        return [state[name].detach() for name in self.names]

    def follow(self) -> None:
        """Go where the module is now: a fit moves it to its device and precision after the averages were made."""
        self.tensors = [average.to(live) for average, live in zip(self.tensors, self._live(), strict=True)]

    @torch.no_grad()
    def update(self) -> None:
        """Move the averages towards the present weights."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        get_ema_multi_avg_fn(decay)(self.tensors, self._live(), self.updates)
        self.updates += 1

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the averages and the present weights; twice is nothing."""
        for average, live in zip(self.tensors, self._live(), strict=True):
            held = live.clone()
            live.copy_(average)
            average.copy_(held)

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """The module with its averaged weights."""
        self.swap()
        try:
            yield
        finally:
            self.swap()

    def state_dict(self) -> dict:
        return {"updates": self.updates, "tensors": dict(zip(self.names, self.tensors, strict=True))}

    def load_state_dict(self, state: dict) -> None:
        self.updates = state["updates"]
        self.tensors = [state["tensors"][name].clone() for name in self.names]
