"""The files of conf/: groups and their options. Imports nothing, so that help is instant."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

CONF = Path(__file__).resolve().parents[3] / "conf"


@cache
def groups() -> list[str]:
    """The folders of conf/ that hold options, such as task and model."""
    return sorted(p.name for p in CONF.iterdir() if p.is_dir() and p.name != "hydra")


def dotted(node: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """{dotted key: value} of a config; lists, and mappings without content, are values."""
    flat: dict[str, Any] = {}
    for key, value in node.items():
        flat |= dotted(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {f"{prefix}{key}": value}
    return flat


def options(group: str) -> list[str]:
    """The options of a group: the names of its YAML files."""
    return sorted(p.stem for p in (CONF / group).glob("*.yaml"))
