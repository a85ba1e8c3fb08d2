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
from hydra.core.override_parser.types import Glob, IntervalSweep, Override
from omegaconf import DictConfig, ListConfig, OmegaConf

from ml2020.core.conf import CONF, groups, options
from ml2020.core.errors import TypedError, nearest, suggestion, within

_TYPES = {"int": 0, "float": 0.0, "str": "", "path": "", "bool": False, "list": []}
_WORDS = {"int": "a whole number", "float": "a number", "str": "a word", "path": "a path", "bool": "true or false", "list": "a list"}
# What stands in the files of conf/ for the program, not for who types. task.main may be typed: by what runs are ranked.
_OF_THE_FILE = re.compile(
    r"(.*\.)?_\w+_|(hydra|study)(\..*)?|(model|data)\.(brings|cannot)(\..*)?|task\.(?!main)\w+(\..*)?|sweep\.method"
)
_LARGEST_SEED = 2**32 - 1  # numpy's


def check_key(override: Override, base: DictConfig, choices: dict[str, str | None], root: str) -> None:
    """Refuse an override of a key that is not there, or with a value of another type. Raises TypedError."""
    key = override.key_or_group
    known = dict(leaves(base))
    node = OmegaConf.select(base, key, throw_on_missing=False)
    if _OF_THE_FILE.fullmatch(key) and key != "hydra" and (node is not None or key.startswith("study")):
        group = {"study": "experiment"}.get(key.split(".")[0], key.split(".")[0])
        raise TypedError(f"{key} is chosen by the file of its group; type {group}=... instead")
    if inside := [other for other in known if other.startswith(f"{key}.")]:
        raise TypedError(f"{key} is a group of keys; set them one by one, such as {inside[0]}=...")
    if key not in known:
        raise TypedError(_unknown(key, list(known), base, choices, root))
    for value in values_of(override):
        check_value(key, node, value, choices, root)


def check_value(key: str, default: Any, value: Any, choices: dict[str, str | None], root: str = "train") -> None:
    """Refuse a value of another type than its default's, or one that its comment does not list. Raises TypedError."""
    if isinstance(value, str) and "${" in value:
        return  # checked when it is known
    if value == "" and default != "":
        raise TypedError(f"{key}= needs a value right behind it")
    _check_type(key, default, value, allowed(key, choices, root))
    if key == "seed":
        within(0, _LARGEST_SEED, value, key)
    if key == "name" and not re.fullmatch(r"[\w.-]{1,80}", "x" if value is None else str(value)):
        raise TypedError(f"name={value} goes into the name of a folder; use letters, digits, - and _, at most 80")


def _unknown(key: str, known: list[str], base: DictConfig, choices: dict[str, str | None], root: str) -> str:
    """The sentence for a key that is not there: a group, or one of its keys, may have been meant."""
    group = key.split(".")[0]
    if root == "train" and base.get("task") is None and group in choices and not choices[group]:
        return f"{key} belongs to a task, but none is chosen; begin with task=..., one of {', '.join(options('task'))}"
    if others := _options_with(key, choices):
        return f"There is no key {key} with {group}={choices[group]}; it is one of {group}={f' or {group}='.join(others)}"
    blocks = {other.rpartition(".")[0] for other in known if other.count(".") > 1}
    where = f"conf/{group}/{choices[group]}.yaml" if choices.get(group) else f"conf/{root}.yaml"
    near = suggestion(key, [*known, *blocks, *(choices if root == "train" else ())])
    return f"There is no key {key}{near or '; --cfg job behind the same words lists every key'} ({where})"


def _options_with(key: str, choices: dict[str, str | None]) -> list[str]:
    """The options of the key's group that have it; of models and data only those of the same homework."""
    group, _, rest = key.partition(".")
    if not rest or not choices.get(group):
        return []
    family = choices[group].split("_")[0] if group in ("model", "data") else ""
    return [
        option
        for option in options(group)
        if option.startswith(family) and any(_comment(file, rest) is not None for file in _chain(group, option))
    ]


def leaves(cfg: DictConfig, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key, node) of everything in a config that can be typed."""
    for name in cfg:
        if _OF_THE_FILE.fullmatch(f"{prefix}{name}"):
            continue
        node = cfg._get_node(name)
        if isinstance(node, DictConfig) and not node._is_none() and not node._is_missing():
            yield from leaves(node, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", node


def _check_type(key: str, default: Any, value: Any, words: list[str] | None) -> None:
    if words:
        if not any(_is(value, word) for word in words):
            kinds = " or ".join(_WORDS.get(word, word) for word in words)
            raise TypedError(f"{key} takes {kinds}, not {_as_typed(value)}{_hint(value, words)}")
    elif default is None or value is None:
        if value is not default:
            raise TypedError(f"{key} cannot be null")
    elif not _same_type(default, value):
        kind = next((word for word in ("bool", "int", "float", "str") if isinstance(default, type(_TYPES[word]))), "list")
        example = "" if kind == "bool" else f", such as {_as_typed(default)}"
        raise TypedError(f"{key} takes {_WORDS[kind]}{example}, not {_as_typed(value)}")


def _as_typed(value: Any) -> str:
    """A value as it is written on a command line."""
    if isinstance(value, list | ListConfig):
        return f"[{','.join(_as_typed(v) for v in value)}]"
    return {None: "null", True: "true", False: "false"}[value] if value is None or isinstance(value, bool) else str(value)


def is_text(key: str, default: Any, choices: dict[str, str | None], root: str) -> bool:
    """Whether a key takes words or paths, and no numbers."""
    words = allowed(key, choices, root) or []
    return bool({"str", "path"} & set(words)) and not {"int", "float"} & set(words) if words else isinstance(default, str)


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
    if isinstance(default, str):  # a name made of digits is still a name
        return isinstance(value, str | int | float)
    return isinstance(value, type(default))


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
    """Every value an override can take: one, or those of a sweep (the two ends of an interval, the options that a glob fits)."""
    if not override.is_sweep_override():
        yield override.value()
    elif isinstance(sweep := override.value(), IntervalSweep):
        yield from (sweep.start, sweep.end)
    elif isinstance(sweep, Glob):
        if override.key_or_group not in groups():
            raise TypedError(f"{override.input_line}: glob() chooses among files, such as model=glob(hw03_*); list the values instead")
        yield from sweep.filter(options(override.key_or_group))
    else:
        yield from (Override._convert_value(value) for value in override.sweep_iterator())  # without its quotes
