"""From what was typed to one checked config. Knows Hydra, never imports torch.

A key's type is the type of its default (an int passes for a float). Where the default is null, or a word is allowed too,
the comment behind the key in its YAML file lists what may stand there: `# int | all`, `# cpu | gpu`, `# path | null`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override
from hydra.errors import HydraException
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ml2020.core.errors import TypedError, nearest, suggestion

CONF = Path(__file__).resolve().parents[3] / "conf"
_TYPES = {"int": int, "float": (int, float), "str": str, "path": str, "bool": bool, "list": ListConfig}
_FOR_HYDRA = ("hydra.", "hydra/")


@dataclass
class Typed:
    """What stood on the command line, parsed: `groups` choose files (task=...), `values` set keys (model.width=32)."""

    groups: list[Override]
    values: list[Override]
    for_hydra: list[Override]

    @property
    def lines(self) -> list[str]:
        return [o.input_line for o in self.for_hydra + self.groups + self.values]

    @property
    def swept(self) -> bool:
        return any(o.is_sweep_override() for o in self.groups + self.values)


def load(root: str, words: list[str], multirun: bool = False) -> tuple[DictConfig, dict[str, str | None]]:
    """The composed and checked config of `conf/<root>.yaml` under the typed words (`key=value`), and the option of each group.

    In a multirun every value of a swept key is checked; the config returned is that of the first values.
    Raises TypedError with one sentence for a wrong key, option, type or combination.
    """
    typed = parse(words)
    if typed.swept and not multirun:
        swept = next(o for o in typed.groups + typed.values if o.is_sweep_override())
        raise TypedError(f"{swept.input_line} names several values; for a sweep type python train.py -m {swept.input_line}")
    chosen = [_first(o) for o in typed.groups]
    for override in typed.groups:
        _check_options(override)
    base = _compose(root, chosen)
    brought = _brought(base, typed)
    if any(key in groups() for key in brought):
        chosen += [f"{key}={value}" for key, value in brought.items() if key in groups()]
        base = _compose(root, chosen)
    choices = _choices(base)
    for override in typed.values:
        _check_key(override, base, choices, root)
    _check_family(base, choices)
    lines = {key: value for key, value in brought.items() if key not in groups()}
    if any(o.key_or_group == "quick" and o.value() is True for o in typed.values) and base.task:
        lines |= _plain(base.task.get("quick"))
    said = {o.key_or_group for o in typed.values}
    lesser = [f"{key}={_as_typed(value)}" for key, value in lines.items() if key not in said]
    cfg = _compose(root, chosen + lesser + [_first(o) for o in typed.values])
    OmegaConf.set_struct(cfg, False)
    del cfg["hydra"]
    return cfg, choices


def _brought(base: DictConfig, typed: Typed) -> dict[str, Any]:
    """What the files of model and data bring along (`brings:`), less what was typed and what the experiment sets.

    Strength: the command line, then an experiment, then what a model or data brings, then the task.
    """
    brought: dict[str, Any] = {}
    for group in ("data", "model"):
        if base.get(group):
            brought |= _plain(base[group].get("brings"))
    experiment = base.hydra.runtime.choices.get("experiment")
    stronger = set(_yaml_keys(CONF / "experiment" / f"{experiment}.yaml")) if experiment else set()
    typed_groups = {o.key_or_group for o in typed.groups}
    return {
        key: value
        for key, value in brought.items()
        if key not in stronger and key not in typed_groups and not (key.split(".")[0] in typed_groups - {"model", "data", "task"})
    }


def _yaml_keys(file: Path) -> Iterator[str]:
    """The dotted keys that an experiment's file sets, and the groups that it chooses."""
    content = yaml.safe_load(file.read_text()) or {}
    for entry in content.pop("defaults", []):
        if isinstance(entry, dict):
            yield from (key.removeprefix("override ").lstrip("/") for key in entry)
    yield from _dotted(content)


def _dotted(node: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in node.items():
        if isinstance(value, dict):
            yield from _dotted(value, f"{prefix}{key}.")
        else:
            yield prefix + key


def _plain(block: DictConfig | None) -> dict[str, Any]:
    return OmegaConf.to_container(block) if block is not None else {}


def _as_typed(value: Any) -> str:
    return json.dumps(value) if not isinstance(value, str) else value


def parse(words: list[str]) -> Typed:
    """Sort the words of a command line; refuse what is not `key=value`, and keys that are added or removed."""
    for word in words:
        if word[:1] in "+~" and not word.lstrip("+~").startswith(_FOR_HYDRA):
            raise TypedError(f"{word}: keys can be set, not added or removed; type {word.lstrip('+~')}, if there is such a key")
        if "=" not in word:
            raise TypedError(f"{word} is not key=value{_meant(word)}")
    try:
        overrides = OverridesParser.create().parse_overrides(words)
    except HydraException as error:
        bad = re.search(r"Error parsing override '(.*?)'", str(error), re.S)
        quoted = f"{bad[1]} cannot be read as key=value" if bad else str(error).splitlines()[0]
        raise TypedError(f"{quoted}; put values with blanks or signs between quotes: 'key=\"a b\"'") from None
    typed = Typed([], [], [])
    for override in overrides:
        key = override.key_or_group
        if key.startswith("hydra"):
            typed.for_hydra.append(override)
        elif key in groups():
            typed.groups.append(override)
        else:
            typed.values.append(override)
    return typed


@cache
def groups() -> list[str]:
    """The folders of conf/ that hold options, such as task and model."""
    return sorted(p.name for p in CONF.iterdir() if p.is_dir() and p.name != "hydra")


def options(group: str) -> list[str]:
    """The options of a group: the names of its YAML files."""
    return sorted(p.stem for p in (CONF / group).glob("*.yaml"))


def _meant(word: str) -> str:
    for group in ("task", "experiment"):
        if near := nearest(word, options(group), 1):
            return f"; did you mean {group}={near[0]}?"
    return "; type it as key=value, such as task=hw03_cnn"


def _values(override: Override) -> Iterator[Any]:
    """Every value an override can take: one, or those of a sweep (the two ends of an interval)."""
    if not override.is_sweep_override():
        yield override.value()
    elif isinstance(sweep := override.value(), IntervalSweep):
        yield from (sweep.start, sweep.end)
    else:
        yield from override.sweep_iterator()


def _first(override: Override) -> str:
    if not override.is_sweep_override():
        return override.input_line
    if isinstance(sweep := override.value(), IntervalSweep):
        return f"{override.get_key_element()}={sweep.start}"
    return f"{override.get_key_element()}={next(override.sweep_string_iterator())}"


def _check_options(override: Override) -> None:
    group = override.key_or_group
    for value in _values(override):
        if value is not None and str(value) not in options(group):
            raise TypedError(f"There is no {group}={value}{suggestion(str(value), options(group))} (conf/{group}/)")


def _compose(root: str, lines: list[str]) -> DictConfig:
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            return compose(root, lines, return_hydra_config=True)
    except (HydraException, OmegaConfBaseException) as error:
        cause = error.__cause__ or error
        raise TypedError(str(error).splitlines()[0] + (f": {str(cause).splitlines()[0]}" if cause is not error else "")) from error


def _choices(cfg: DictConfig) -> dict[str, str | None]:
    return {group: cfg.hydra.runtime.choices.get(group) for group in groups()}


def _check_key(override: Override, base: DictConfig, choices: dict[str, str | None], root: str) -> None:
    key = override.key_or_group
    known = {k: v for k, v in _leaves(base)}
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
    for value in _values(override):
        _check_type(key, node, value, allowed(key, choices, root))


def _leaves(cfg: DictConfig, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name in cfg:
        if prefix + name in ("hydra", "task.quick", "model.brings", "data.brings"):
            continue
        node = cfg._get_node(name)
        if isinstance(node, DictConfig) and not node._is_none() and not node._is_missing():
            yield from _leaves(node, f"{prefix}{name}.")
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
        return _same_type({"int": 0, "float": 0.0, "str": "", "path": "", "bool": False, "list": []}[word], value)
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


def _check_family(base: DictConfig, choices: dict[str, str | None]) -> None:
    """A model or data of another homework does not fit, unless the task's YAML says `borrows: [hw03]`."""
    task = choices.get("task")
    if not task:
        if choices.get("model") or choices.get("data"):
            raise TypedError(f"say which task: task=..., one of {', '.join(options('task'))}")
        return
    families = [task.split("_")[0], *(base.task.get("borrows") or [])]
    for group in ("model", "data"):
        option = choices.get(group)
        if option and option.split("_")[0] not in families:
            fitting = [o for o in options(group) if o.split("_")[0] in families]
            raise TypedError(f"{group}={option} belongs to another task than {task}; it takes {', '.join(fitting)}")
