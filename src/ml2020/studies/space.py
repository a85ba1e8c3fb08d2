"""The ranges of a search, in Hydra's own syntax: interval(a,b), range(a,b), choice(x,y), a plain list, tag(log, ...)."""

from __future__ import annotations

from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep
from hydra.errors import HydraException
from omegaconf import OmegaConf

from ml2020.core.conf import groups
from ml2020.core.errors import TypedError
from ml2020.studies.sweep import in_order


def ranges(cfg: Any, typed: list[str]) -> tuple[dict[str, str], list[str]]:
    """({key: range as text}, the other words). Typed ranges, else those of the study: block, else those of the task's search: block.

    Raises TypedError where there are none, or one of them has no sense.
    """
    overrides = [o for o in in_order(typed) if not o.key_or_group.startswith("sweep")]
    space = {o.get_key_element(): _text(o, cfg) for o in overrides if o.is_sweep_override()}
    fixed = [o.input_line for o in overrides if not o.is_sweep_override()]
    said = {o.key_or_group for o in overrides}
    space = space or {key: _with_type(key, text, cfg) for key, text in _written(cfg).items() if key not in said}
    if not space:
        raise TypedError(
            f"a search needs ranges, such as optimizer.lr=tag(log,interval(1e-4,1e-1)); {cfg.task.name} has none of its own"
        )
    distributions(space)
    return space, fixed


def _written(cfg: Any) -> dict[str, str]:
    """The ranges in the files of conf/."""
    study = OmegaConf.to_container(cfg.study) if cfg.study is not None else {}
    if study.get("search"):
        return study["search"]
    if study.get("grid"):
        return {key: f"choice({','.join(map(as_word, values))})" for key, values in study["grid"].items()}
    return OmegaConf.to_container(cfg.task.search) if cfg.task.get("search") else {}


def _text(override: Override, cfg: Any) -> str:
    return _with_type(override.get_key_element(), override.input_line.partition("=")[2], cfg)


def _with_type(key: str, text: str, cfg: Any) -> str:
    """A range over a key that counts is one of whole numbers: int(...) says so."""
    default = None if key in groups() else OmegaConf.select(cfg, key)
    counts = isinstance(default, int) and not isinstance(default, bool)
    return f"int({text})" if counts and "interval" in text and not text.startswith("int(") else text


def distributions(space: dict[str, str]) -> dict[str, Any]:
    """Optuna's distribution for each range. Raises TypedError for a range that has no sense."""
    return {key: _distribution(key, text) for key, text in space.items()}


def _distribution(key: str, text: str) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    whole = text.startswith("int(")
    bare = text[4:-1] if whole else text
    try:
        (override,) = OverridesParser.create().parse_overrides([f"{key}={bare}"])
        value = override.value()
        if isinstance(value, IntervalSweep):
            log = "log" in value.tags
            if not value.start < value.end or (log and value.start <= 0):
                raise ValueError("the lower end must be below the upper one" + (", and above 0 for log" if log else ""))
            kind, number = (IntDistribution, int) if whole else (FloatDistribution, float)
            return kind(number(value.start), number(value.end), log=log)
        if isinstance(value, RangeSweep):
            return _range(value, IntDistribution, FloatDistribution)
        if isinstance(value, ChoiceSweep):
            return CategoricalDistribution([text.partition("=")[2] for text in _lines(override)])
    except (HydraException, ValueError, TypeError) as error:
        raise TypedError(f"{key}={text} is no range to search: {str(error).splitlines()[0]}") from None
    raise TypedError(f"{key}={text} is no range to search; type interval(a,b), range(a,b), choice(x,y) or tag(log,interval(a,b))")


def _lines(override: Override) -> list[str]:
    return [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]


def _range(value: RangeSweep, whole: Any, real: Any) -> Any:
    """Hydra's range(start, stop, step) leaves out the stop."""
    numbers = list(value.range())
    if len(numbers) < 2:
        raise ValueError("it holds fewer than two values")
    kind = whole if all(float(number).is_integer() for number in (value.start, value.step)) else real
    return kind(numbers[0], numbers[-1], step=value.step)


def as_word(value: Any) -> str:
    """A value as it is typed."""
    return repr(value) if isinstance(value, float) else str(value)
