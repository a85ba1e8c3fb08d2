"""Checkpoints: plain data, written so that a kill cannot tear them, with the random states that Lightning leaves out."""

from __future__ import annotations

import os
import random
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ml2020.core import terminal
from ml2020.core.errors import UserError


def write(content: dict[str, Any], target: Path) -> None:
    """Write beside the target, then rename: the target is the old file or the new one, never half of one."""
    target.parent.mkdir(parents=True, exist_ok=True)
    half = target.with_name(target.name + ".tmp")
    torch.save(content, half)
    os.replace(half, target)


def read(file: Path) -> dict[str, Any]:
    """The content of a checkpoint. Nothing in it is run (weights_only); raises UserError where it cannot be read."""
    if not file.is_file():
        raise UserError(f"there is no checkpoint {file}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is odd about a foreign file: it is told below
            content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a file that is torn, foreign, or holds code
        terminal.note(f"{type(error).__name__}: {error}")
        code = "GLOBAL" in str(error) or "Unsupported" in str(error)
        why = "it holds code, which is not run" if code else "it is torn, or no checkpoint"
        raise UserError(f"{file} cannot be read: {why}") from error
    weights = content.get("state_dict") if isinstance(content, dict) else None
    if not isinstance(weights, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in weights.values()):
        raise UserError(f"{file} is not a checkpoint of a run: it holds no state_dict of tensors")
    return content


def put(content: dict[str, Any], module: Any, file: Path | str = "the checkpoint", averaged: bool = True) -> None:
    """Put the weights of a checkpoint into `module`: the averaged ones, where there are (`averaged`)."""
    average = content.get("callbacks", {}).get("Conductor", {}).get("average") if averaged else None
    module.on_load_checkpoint(content)
    try:
        module.load_state_dict(content["state_dict"] | (average["tensors"] if average else {}))
    except RuntimeError as error:
        terminal.note(str(error))
        raise UserError(f"{file} does not fit this model: {_difference(content['state_dict'], module.state_dict())}") from error


def _difference(there: dict[str, Any], wanted: dict[str, Any]) -> str:
    if missing := sorted(set(wanted) - set(there)):
        return f"{missing[0]} is missing"
    if more := sorted(set(there) - set(wanted)):
        return f"{more[0]} has no place in it"
    name = next(name for name in wanted if there[name].shape != wanted[name].shape)
    return f"{name} has the shape {list(there[name].shape)}, not {list(wanted[name].shape)}"


def load_weights(module: Any, file: Path) -> None:
    """The weights of a checkpoint file into `module`. Raises UserError for what is torn, foreign or of another shape."""
    put(read(file), module, file)


def random_states() -> dict[str, Any]:
    """The states of every global generator, as tensors, numbers and lists."""
    numpy = np.random.get_state(legacy=False)
    version, words, gauss = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "cuda": [state.cpu() for state in torch.cuda.get_rng_state_all()] if torch.cuda.is_initialized() else [],
        "numpy": [numpy["state"]["key"].tolist(), int(numpy["state"]["pos"]), int(numpy["has_gauss"]), float(numpy["gauss"])],
        "python": [version, list(words), gauss],
    }


def set_random_states(state: dict[str, Any]) -> None:
    """Go on with the random numbers of `random_states()`."""
    torch.set_rng_state(state["torch"])
    if state["cuda"] and torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
    key, position, has_gauss, gauss = state["numpy"]
    np.random.set_state(("MT19937", np.array(key, np.uint32), position, has_gauss, gauss))
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
