"""Optimizers and schedules as the configs name them; lengths are counted from our own loader (docs/core.md)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LinearLR, LRScheduler, OneCycleLR, SequentialLR

from ml2020.core.errors import TypedError, at_least, within


def groups(parameters: Iterable[nn.Parameter], weight_decay: float) -> list[dict]:
    """Two groups: matrices and kernels decay, biases and the vectors of norms do not."""
    trained = [p for p in parameters if p.requires_grad]
    if not weight_decay:
        return [{"params": trained}]
    return [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]


def make(parameters: Iterable[nn.Parameter], optimizer: Callable[..., Optimizer], weight_decay: float) -> Optimizer:
    """The configured optimizer over `parameters`. Raises TypedError with what it says about its options."""
    said = getattr(optimizer, "keywords", {})
    if said.get("betas") is not None:
        optimizer = partial(optimizer, betas=betas(said["betas"], "optimizer.betas"))
    try:
        return optimizer(groups(parameters, weight_decay))
    except ValueError as error:
        raise TypedError(f"the optimizer refuses its options: {error}") from None


def betas(value: Any, key: str) -> tuple[float, float]:
    """Adam's two decays, each in [0, 1), as floats: torch does not take [0, 0.9]. Raises TypedError."""
    if isinstance(value, str) or not isinstance(value, Sequence) or len(value) != 2:
        raise TypedError(f"{key} must be two numbers, such as [0.9,0.999], not {value}")
    for beta in value:
        if isinstance(beta, bool) or not isinstance(beta, int | float) or not 0 <= beta < 1:
            raise TypedError(f"{key} must be two numbers of at least 0 and below 1, not {beta}")
    return float(value[0]), float(value[1])


def constant(optimizer: Optimizer, steps: int, warmup: float) -> LRScheduler | None:
    """A linear rise over the first share `warmup` of the steps, then the full rate; None (no schedule) without a rise."""
    rising = round(within(0, 1, warmup, "scheduler.warmup") * steps)
    return LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / rising)) if rising else None


def cosine(optimizer: Optimizer, steps: int, warmup: float, final: float) -> LRScheduler:
    """A linear rise, then half a cosine down to the share `final` of the peak (Loshchilov and Hutter 2017, without restarts)."""
    rising = round(within(0, 0.9, warmup, "scheduler.warmup") * steps)
    within(0, 1, final, "scheduler.final")
    peak = optimizer.param_groups[0]["lr"]
    falling = CosineAnnealingLR(optimizer, max(1, steps - rising), eta_min=final * peak)
    if not rising:
        return falling
    start = LinearLR(optimizer, start_factor=1 / rising, total_iters=max(1, rising - 1))
    return SequentialLR(optimizer, [start, falling], milestones=[rising])


def linear(optimizer: Optimizer, steps: int, warmup: float, final: float) -> LRScheduler:
    """A linear rise over the first share `warmup` of the steps, then a linear fall to the share `final` of the peak."""
    rising = round(within(0, 0.9, warmup, "scheduler.warmup") * steps)
    within(0, 1, final, "scheduler.final")
    falling = max(1, steps - rising)
    return LambdaLR(
        optimizer,
        lambda step: (step + 1) / rising if step < rising else max(final, 1 - (1 - final) * (step - rising) / falling),
    )


def one_cycle(optimizer: Optimizer, steps: int, warmup: float, start: float, final: float) -> LRScheduler:
    """One cosine up to the peak and one down (Smith and Topin 2018); the optimizer's momentum is left alone."""
    at_least(1e-8, start, "scheduler.start"), at_least(1e-12, final, "scheduler.final")
    within(0.001, 0.999, warmup, "scheduler.warmup")
    peaks = [group["lr"] for group in optimizer.param_groups]
    return OneCycleLR(
        optimizer,
        peaks,
        total_steps=max(2, steps),
        pct_start=warmup,
        div_factor=1 / start,
        final_div_factor=start / final,
        cycle_momentum=False,
    )
