"""What a search looks for: metrics of a run, the size of its model, its time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ml2020.core import report
from ml2020.core.errors import TypedError, UserError
from ml2020.core.folder import RunFolder

_FEW = ("model/", "run/")  # of these less is better


@dataclass(frozen=True)
class Objective:
    """The name of a number (val/acc, model/bytes) and whether its least or its most is looked for."""

    name: str
    goal: str


def objectives_of(names: list[str], main: dict[str, str]) -> list[Objective]:
    """The objectives of sweep.objectives; the main metric alone where it is empty. Raises TypedError for what cannot be one."""
    if not names:
        return [Objective(main["name"], main["goal"])]
    return [_objective(str(name), main) for name in names]


def _objective(word: str, main: dict[str, str]) -> Objective:
    goal, colon, name = word.rpartition(":")
    if colon and goal not in ("min", "max"):
        raise TypedError(f"sweep.objectives takes names such as val/acc or min:val/loss, not {word}")
    if "/" not in name:
        raise TypedError(f"sweep.objectives takes names such as {main['name']} or model/bytes, not {word}")
    if name.startswith("test/"):
        raise TypedError(f"sweep.objectives: {name} is not for choosing; a search looks at validation metrics")
    if name == main["name"]:
        return Objective(name, goal or main["goal"])
    if name.startswith(_FEW):
        return Objective(name, goal or "min")
    if not goal:
        raise TypedError(f"sweep.objectives: say whether less or more is better: min:{name} or max:{name}")
    return Objective(name, goal)


def values_of_run(folder: RunFolder, objectives: list[Objective]) -> list[float] | None:
    """The values of a finished run; None, with the reason in its run.json, where it lacks one."""
    try:
        known: dict[str, Any] = report.flat(folder.metrics())
    except UserError as error:
        folder.update(status="failed", error=str(error))
        return None
    known |= {
        "model/parameters": folder.facts.get("parameters"),
        "model/bytes": _bytes(folder.facts),
        "run/seconds": folder.facts.get("seconds"),
    }
    values = [known.get(one.name) for one in objectives]
    for one, value in zip(objectives, values, strict=True):
        if value is None:
            there = ", ".join(name for name in known if not name.startswith("test/"))
            folder.update(status="failed", error=f"the run has no {one.name} to look for; there are {there}")
            return None
    return [float(value) for value in values]


def _bytes(facts: dict[str, Any]) -> int | None:
    """The size of the model's weights: a file that a homework says it made, else four bytes a parameter."""
    parameters = facts.get("parameters")
    return facts.get("model_bytes") or (None if parameters is None else 4 * parameters)
