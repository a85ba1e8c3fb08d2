"""Which device a run uses, and how many threads. The only place that knows about accelerators."""

from __future__ import annotations

import os
from typing import Any

import torch

from ml2020.core.errors import TypedError, UserError, at_least


def resolve(trainer: dict[str, Any]) -> tuple[str, int]:
    """(accelerator, devices a machine) for Lightning from trainer.gpus, or from trainer.accelerator and trainer.devices.

    Raises TypedError where the two disagree, UserError where the machine lacks the device.
    """
    gpus, accelerator, devices = trainer["gpus"], trainer["accelerator"], trainer["devices"]
    if gpus is None:
        at_least(1, devices, "trainer.devices")
    elif gpus == 0:
        if accelerator not in ("cpu", "auto"):
            raise TypedError(f"trainer.gpus=0 and trainer.accelerator={accelerator} disagree; give one of them")
        accelerator = "cpu"
    else:
        at_least(-1, gpus, "trainer.gpus")
        if devices not in (1, gpus):
            raise TypedError(f"trainer.gpus={gpus} and trainer.devices={devices} disagree; give one of them")
        accelerator, devices = "gpu", gpus
    if accelerator != "cpu":
        devices = _gpus(devices, f"trainer.gpus={gpus}" if gpus is not None else f"trainer.accelerator={accelerator}")
    elif devices > max(2, cores()):  # each is an interpreter with torch in it: more of them than cores only fill the memory
        raise TypedError(f"trainer.devices={devices} asks for more processes than the {cores()} cores of this machine")
    return accelerator, devices


def _gpus(wanted: int, typed: str) -> int:
    there = torch.cuda.device_count() or int(torch.backends.mps.is_available())
    if there == 0:
        raise UserError(f"{typed} asks for a GPU, and this machine has none that torch can use; type trainer.gpus=0")
    if wanted > there:
        raise UserError(f"{typed} asks for {wanted} GPUs, and this machine has {there}; type trainer.gpus={there}")
    return there if wanted == -1 else wanted


def set_threads(threads: int | None, processes: int = 1) -> int:
    """Set torch's threads and say how many; None takes OMP_NUM_THREADS, or this process' part of the cores it may use."""
    if threads is None:
        threads = int(os.environ.get("OMP_NUM_THREADS") or max(1, cores() // processes))
    torch.set_num_threads(at_least(1, threads, "trainer.threads"))
    return threads


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def name(accelerator: str) -> str:
    """The device in words."""
    if accelerator == "cpu":
        return "cpu"
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "Apple GPU"
