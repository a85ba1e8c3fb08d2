"""From what was typed to one checked config. Knows Hydra, never imports torch."""

from __future__ import annotations

import copy
import functools
import itertools
import json
import os
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
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ml2020.core import capabilities
from ml2020.core.conf import CONF, dotted, groups, options
from ml2020.core.errors import TypedError, nearest, suggestion
from ml2020.core.keys import check_key, check_value, is_text, values_of

_FOR_HYDRA = ("hydra.", "hydra/")
_LAUNCHERS = {"joblib": "hydra-joblib-launcher", "ray": "hydra-ray-launcher"}
_LAUNCHERS |= dict.fromkeys(("submitit_local", "submitit_slurm"), "hydra-submitit-launcher")


@dataclass
class Typed:
    """What stood on the command line, parsed: `groups` choose files (task=...), `values` set keys (model.width=32)."""

    groups: list[Override]
    values: list[Override]
    for_hydra: list[Override]


def load(root: str, words: list[str], multirun: bool = False) -> tuple[DictConfig, dict[str, str | None]]:
    """The composed and checked config of `conf/<root>.yaml` under the typed words (`key=value`), and the option of each group.

    In a multirun every value of a swept key is checked, with every choice of files; the config returned is that of the first values.
    Raises TypedError with one sentence for a wrong key, option, type or combination.
    """
    typed = parse(words, root)
    if not multirun:
        _check_single(typed, root)
    for override in typed.groups:
        _check_options(override, typed)
    first, *_ = [_load(root, list(chosen), typed) for chosen in itertools.product(*(_alternatives(o) for o in typed.groups))]
    return first


def _load(root: str, chosen: list[str], typed: Typed) -> tuple[DictConfig, dict[str, str | None]]:
    """`load` for one choice of files; `chosen` are the lines that name them."""
    for_hydra = [o.input_line for o in typed.for_hydra]
    base = _compose(root, for_hydra + chosen)
    brought = _brought(base, typed)
    if any(key in groups() for key in brought):
        chosen += [f"{key}={value}" for key, value in brought.items() if key in groups()]
        base = _compose(root, for_hydra + chosen)
    choices = _choices(base)
    for override in typed.values:
        check_key(override, base, choices, root)
    _check_family(base, choices)
    lines = {key: value for key, value in brought.items() if key not in groups()}
    if any(o.key_or_group == "quick" and o.value() is True for o in typed.values) and base.get("task"):
        lines |= _plain(base.task.get("quick"))
    said = {o.key_or_group for o in typed.values}
    lesser = [f"{key}={_as_typed(value)}" for key, value in lines.items() if key not in said]
    cfg = _with_values(base, lesser + [_first(o) for o in typed.values])
    if root == "train":
        cfg.setdefault("task", None)
    _settle(cfg, base, typed, choices, root)
    if cfg.get("task") is not None:
        capabilities.check(cfg)
    return cfg, choices


def _with_values(base: DictConfig, lines: list[str]) -> DictConfig:
    """A config with other values, and without Hydra's own block.

    As Hydra's compose would give it for the same choice of files, in a tenth of the time: a study checks a hundred jobs at its start.
    """
    cfg = OmegaConf.masked_copy(base, [key for key in base if key != "hydra"])
    OmegaConf.set_struct(cfg, True)
    for override in OverridesParser.create().parse_overrides(lines):
        try:
            OmegaConf.update(cfg, override.key_or_group, override.value(), merge=True)
        except OmegaConfBaseException as error:
            raise TypedError(f"{override.input_line} does not fit: {str(error).splitlines()[0]}") from error
    OmegaConf.set_struct(cfg, False)
    return cfg


def _settle(cfg: DictConfig, base: DictConfig, typed: Typed, choices: dict[str, str | None], root: str) -> None:
    """Make words of numbers typed for words, and paths of ~; refuse a ${...} that leads nowhere, or to a value of the wrong type."""
    for override in typed.values:
        key, line = override.key_or_group, override.input_line
        default = OmegaConf.select(base, key)
        try:
            value = OmegaConf.select(cfg, key)
        except OmegaConfBaseException as error:
            raise TypedError(f"{line} leads nowhere: {str(error).splitlines()[0]}") from None
        if "${" in line:
            check_value(key, default, value, choices, root)
        elif isinstance(value, int | float) and is_text(key, default, choices, root):
            OmegaConf.update(cfg, key, str(value) if override.is_sweep_override() else line.partition("=")[2])
        elif isinstance(value, str) and value.startswith("~") and is_text(key, default, choices, root):
            OmegaConf.update(cfg, key, os.path.expanduser(value))


def _check_single(typed: Typed, root: str) -> None:
    """Refuse what has a meaning for sweeps only."""
    for override in typed.groups + typed.values:
        if override.is_sweep_override():
            line = override.input_line
            more = f"for a sweep type python train.py -m {line}" if root == "train" else "give one"
            raise TypedError(f"{line} names several values; {more}")
    if typed.for_hydra:
        line = typed.for_hydra[0].input_line
        more = " is for sweeps (-m); the folder of a single run is chosen by output_dir= and name="
        raise TypedError(f"{line}{more if root == 'train' else ' is no key of eval.py; see python eval.py --help'}")


def plain(cfg: DictConfig) -> dict[str, Any]:
    """The config of one run as it is kept: resolved, and without what chooses among runs."""
    config = OmegaConf.to_container(cfg, resolve=True)
    return {key: value for key, value in config.items() if key not in ("study", "resume", "sweep")}


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
    yield from dotted(content)


def _plain(block: DictConfig | None) -> dict[str, Any]:
    return OmegaConf.to_container(block) if block is not None else {}


def _as_typed(value: Any) -> str:
    return json.dumps(value) if not isinstance(value, str) else value


def parse(words: list[str], root: str = "train") -> Typed:
    """Sort the words of a command line; refuse what is not `key=value`, and keys that are added or removed."""
    typed = Typed([], [], [])
    parser = OverridesParser.create()
    for number, word in enumerate(words):
        if word[:1] in ("+", "~") and not word.lstrip("+~").startswith(_FOR_HYDRA):
            raise TypedError(f"{word}: keys can be set, not added or removed; type {word.lstrip('+~')}, if there is such a key")
        if "=" not in word[1:]:
            raise TypedError(f"{word.strip() or repr(word)} is not key=value{_meant(word, words[number + 1 :], root)}")
        try:
            (override,) = parser.parse_overrides([_quoted(word)])
        except HydraException:
            why = "a bracket or quote is open; " if _open(word) else ""
            raise TypedError(
                f"{word} cannot be read as key=value; {why}put values with blanks or signs between quotes: 'key=\"a b\"'"
            ) from None
        if override.key_or_group.startswith(_FOR_HYDRA):
            typed.for_hydra.append(override)
        elif override.key_or_group in groups() and root == "train":
            typed.groups.append(override)
        else:
            typed.values.append(override)
    return typed


def _quoted(word: str) -> str:
    """A path that is there needs no quotes of the user's, whatever signs are in it: the jobs of a sweep have = and , in their names."""
    key, _, value = word.partition("=")
    if value.startswith("~") or (re.search(r"[^\w./-]", value) and os.path.lexists(value)):
        return f"{key}='" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return word


def _open(word: str) -> bool:
    return any(word.count(a) != word.count(b) for a, b in ("()", "[]", "{}")) or any(word.count(quote) % 2 for quote in "'\"")


def _meant(word: str, behind: list[str], root: str) -> str:
    """What may have been meant by a word without =: an option, a key with a blank behind it, a folder."""
    for group in ("task", "experiment") if root == "train" else ():
        if near := nearest(word, options(group), 1):
            return f"; did you mean {group}={near[0]}?"
    values = [other for other in behind if other != "="]
    if re.fullmatch(r"[a-z_.]*[a-z]", word) and values and "=" not in values[0]:
        return f"; did you mean {word}={values[0]}?"
    key, example = ("resume", "task=hw03_cnn") if root == "train" else ("run", "do=test")
    return f"; did you mean {key}={word}?" if Path(word, "run.json").is_file() else f"; type it as key=value, such as {example}"


def _alternatives(override: Override) -> list[str]:
    """The lines that choose one file each."""
    if not override.is_sweep_override():
        return [override.input_line]
    return [f"{override.get_key_element()}={value}" for value in values_of(override)]


def _first(override: Override) -> str:
    """The line that sets the first value of a swept key."""
    if not override.is_sweep_override():
        return override.input_line
    if isinstance(sweep := override.value(), IntervalSweep):
        return f"{override.get_key_element()}={sweep.start}"
    return f"{override.get_key_element()}={next(override.sweep_string_iterator())}"


def _check_options(override: Override, typed: Typed) -> None:
    group = override.key_or_group
    families = {str(value).split("_")[0] for o in typed.groups if o.key_or_group == "task" for value in values_of(o)}
    fitting = [o for o in options(group) if group not in ("model", "data") or o.split("_")[0] in families] or options(group)
    values = list(values_of(override))
    if values in ([], [""]):
        raise TypedError(f"{override.input_line} names none; there are {', '.join(options(group))} (conf/{group}/)")
    for value in values:
        if str(value) not in options(group):
            word = "null" if value is None else value
            raise TypedError(f"There is no {group}={word}{suggestion(str(word), fitting)} (conf/{group}/)")


def _compose(root: str, lines: list[str]) -> DictConfig:
    return copy.deepcopy(_composed(root, tuple(lines)))


@functools.lru_cache(maxsize=256)  # the jobs of a study choose the same files again and again
def _composed(root: str, lines: tuple[str, ...]) -> DictConfig:
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            return compose(root, list(lines), return_hydra_config=True)
    except MissingConfigException as error:
        group, _, option = (error.missing_cfg_file or "").rpartition("/")
        if group == "hydra/launcher" and option in _LAUNCHERS:
            raise TypedError(f"hydra/launcher={option} is not installed; run: pip install {_LAUNCHERS[option]}") from error
        raise TypedError(f"There is no {group}={option}{suggestion(option, error.options or [])}") from error
    except (HydraException, OmegaConfBaseException) as error:
        if key := re.match(r"Could not override '([\w./]+)'", str(error)):
            raise TypedError(f"There is no key {key[1]}") from error
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
