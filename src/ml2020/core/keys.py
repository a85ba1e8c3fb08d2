"""Whether a typed key is there, and whether its value is of the right type. Never imports torch.

A key's type is the type of its default (an int passes for a float). Where the default is null, or a word is allowed too, the comment
behind the key in its YAML file lists what may stand there: `# int | all`, `# cpu | gpu`, `# path | null`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.types import IntervalSweep, Override
from omegaconf import DictConfig, ListConfig, OmegaConf

from ml2020.core.conf import CONF, options
from ml2020.core.errors import TypedError, nearest, suggestion

_TYPES = {"int": 0, "float": 0.0, "str": "", "path": "", "bool": False, "list": []}
_NOT_TYPED = ("hydra", "study", "task.quick", "model.brings", "data.brings", "task.cannot", "model.cannot")


def check_key(override: Override, base: DictConfig, choices: dict[str, str | None], root: str) -> None:
    """Refuse an override of a key that is not there, or with a value of another type. Raises TypedError."""
    key = override.key_or_group
    known = {k: v for k, v in leaves(base)}
    if key not in known and not OmegaConf.is_config(OmegaConf.select(base, key)):
        group = key.split(".")[0]
        where = f"conf/{group}/{choices[group]}.yaml" if choices.get(group) else f"conf/{root}.yaml"
        if base.get("task") is None and group in choices and not choices[group]:
            raise TypedError(f"{key} belongs to a task, but none is chosen; begin with task=..., one of {', '.join(options('task'))}")
        near = suggestion(key, [k for k in known if not k.endswith("_target_")], 0)
        raise TypedError(f"There is no key {key}{near} ({where})")
    if key.split(".")[-1] == "_target_":
        raise TypedError(f"{key} is chosen by the file of its group; type {key.split('.')[0]}=... instead")
    node = OmegaConf.select(base, key, throw_on_missing=False)
    for value in values_of(override):
        _check_type(key, node, value, allowed(key, choices, root))


def leaves(cfg: DictConfig, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key, node) of everything in a config that can be typed."""
    for name in cfg:
        if prefix + name in _NOT_TYPED:
            continue
        node = cfg._get_node(name)
        if isinstance(node, DictConfig) and not node._is_none() and not node._is_missing():
            yield from leaves(node, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", node


def _check_type(key: str, default: Any, value: Any, words: list[str] | None) -> None:
    if isinstance(value, str) and value.startswith("${"):
        return
    if words:
        if not any(_is(value, word) for word in words):
            raise TypedError(f"{key} takes {' or '.join(words)}, not {value}{_hint(value, words)}")
    elif default is None or value is None:
        if value is not default:
            raise TypedError(f"{key} cannot be null")
    elif not _same_type(default, value):
        raise TypedError(f"{key} takes {_kind(default)}, such as {default}, not {value}")


def _is(value: Any, word: str) -> bool:
    if word == "null":
        return value is None
    if word in _TYPES:
        return _same_type(_TYPES[word], value)
    return str(value) == word


def _same_type(default: Any, value: Any) -> bool:
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(default, bool) and isinstance(value, bool)
    if isinstance(default, float):
        return isinstance(value, int | float)
    if isinstance(default, list | ListConfig):
        return isinstance(value, list | ListConfig)
    if isinstance(default, dict | DictConfig):
        return isinstance(value, dict | DictConfig)
    if isinstance(default, str):  # a name made of digits is still a name
        return isinstance(value, str | int | float) or type(value).__name__ == "QuotedString"
    return isinstance(value, type(default))


def _kind(default: Any) -> str:
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "a word"}
    return names.get(type(default), "a list" if isinstance(default, list | ListConfig) else "a mapping")


def _hint(value: Any, words: list[str]) -> str:
    near = nearest(str(value), [w for w in words if w not in _TYPES], 1)
    return f"; did you mean {near[0]}?" if near else ""


def allowed(key: str, choices: dict[str, str | None], root: str = "train") -> list[str] | None:
    """What the comment behind a key lists (`# int | all` gives ["int", "all"]), or None where it lists nothing."""
    for file, dotted in _places(key, choices, root):
        found = _comment(file, dotted)
        if found is not None:
            return found or None
    return None


def _places(key: str, choices: dict[str, str | None], root: str) -> Iterator[tuple[Path, str]]:
    group, _, rest = key.partition(".")
    if rest and choices.get(group):
        yield from ((file, rest) for file in _chain(group, choices[group]))
    for overall in ("experiment", "task"):
        if choices.get(overall):
            yield CONF / overall / f"{choices[overall]}.yaml", key
    yield CONF / f"{root}.yaml", key


def _chain(group: str, option: str) -> Iterator[Path]:
    """The option's file, then the files of its group that it builds on."""
    file = CONF / group / f"{option}.yaml"
    yield file
    for entry in (yaml.safe_load(file.read_text()) or {}).get("defaults", []):
        if isinstance(entry, str) and entry != "_self_":
            yield from _chain(group, entry)


@cache
def _comment(file: Path, dotted: str) -> list[str] | None:
    """The alternatives in the comment of a key; [] for a key without any, None for a key that is not in the file."""
    text = file.read_text()
    node = yaml.compose(text)
    key = None
    for part in dotted.split("."):
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        key, node = next(((k, v) for k, v in pairs if k.value == part), (None, None))
        if key is None:
            return None
    _, _, comment = text.splitlines()[key.start_mark.line].partition("#")
    listed = re.match(r"\s*([\w.-]+(?:\s*\|\s*[\w.-]+)+)\s*(?:[:;,.(]|$)", comment)
    return re.split(r"\s*\|\s*", listed[1]) if listed else []


def values_of(override: Override) -> Iterator[Any]:
    """Every value an override can take: one, or those of a sweep (the two ends of an interval)."""
    if not override.is_sweep_override():
        yield override.value()
    elif isinstance(sweep := override.value(), IntervalSweep):
        yield from (sweep.start, sweep.end)
    else:
        yield from override.sweep_iterator()
