"""From what was typed to one checked config. Knows Hydra, never imports torch."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ml2020.core import capabilities
from ml2020.core.conf import CONF, groups, options
from ml2020.core.errors import TypedError, nearest, suggestion
from ml2020.core.keys import check_key, values_of

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
        check_key(override, base, choices, root)
    _check_family(base, choices)
    lines = {key: value for key, value in brought.items() if key not in groups()}
    if any(o.key_or_group == "quick" and o.value() is True for o in typed.values) and base.task:
        lines |= _plain(base.task.get("quick"))
    said = {o.key_or_group for o in typed.values}
    lesser = [f"{key}={_as_typed(value)}" for key, value in lines.items() if key not in said]
    cfg = _compose(root, chosen + lesser + [_first(o) for o in typed.values])
    OmegaConf.set_struct(cfg, False)
    del cfg["hydra"]
    if cfg.get("task") is not None:
        capabilities.check(cfg)
    return cfg, choices


def plain(cfg: DictConfig) -> dict[str, Any]:
    """The config of one run as it is kept: resolved, and without what chooses among runs."""
    config = OmegaConf.to_container(cfg, resolve=True)
    return {key: value for key, value in config.items() if key not in ("study", "resume")}


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
        if key not in stronger and key not in typed_groups and key.split(".")[0] not in typed_groups - {"model", "data", "task"}
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


def _meant(word: str) -> str:
    for group in ("task", "experiment"):
        if near := nearest(word, options(group), 1):
            return f"; did you mean {group}={near[0]}?"
    return "; type it as key=value, such as task=hw03_cnn"


def _first(override: Override) -> str:
    if not override.is_sweep_override():
        return override.input_line
    if isinstance(sweep := override.value(), IntervalSweep):
        return f"{override.get_key_element()}={sweep.start}"
    return f"{override.get_key_element()}={next(override.sweep_string_iterator())}"


def _check_options(override: Override) -> None:
    group = override.key_or_group
    for value in values_of(override):
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
