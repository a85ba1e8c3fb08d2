"""The user's mistakes, each worded as one sentence. Imports nothing heavy: it is used before torch is there."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


class UserError(Exception):
    """Something the user can mend: a file, the data, the device. Shown as its one sentence; exit status 1."""

    status = 1


class TypedError(UserError):
    """What was typed is wrong: a key, an option, a value, a folder. Exit status 2."""

    status = 2


def nearest(word: str, words: Iterable[str], most: int = 3) -> list[str]:
    """The words most like `word`, best first; of dotted keys the last parts alone count too (lr is near optimizer.lr)."""
    scores = {other: max(_likeness(word, other), 0.85 * _likeness(_last(word), _last(other))) for other in words}
    best = max(scores.values(), default=0)
    close = [other for other, score in scores.items() if score >= max(0.6, best - 0.1)]
    return sorted(close, key=lambda other: -scores[other])[:most]


def _likeness(a: str, b: str) -> float:
    """Share of letters in common, and half as much again where one slip of a finger makes the one of the other."""
    a, b = a.lower(), b.lower()
    return difflib.SequenceMatcher(None, a, b).ratio() + 0.5 * _one_slip(a, b)


def _one_slip(a: str, b: str) -> bool:
    """Whether at most one letter was replaced, dropped or added, or two neighbours changed places."""
    same = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    a, b = a[same:], b[same:]
    return a[1:] == b[1:] or a[1:] == b or a == b[1:] or (a[1::-1] == b[:2] and a[2:] == b[2:])


def _last(word: str) -> str:
    return word.rpartition(".")[2]


def suggestion(word: str, words: Iterable[str], most_listed: int = 12) -> str:
    """`; did you mean X?`, or the list where nothing is near and the list is short."""
    words = sorted(words)
    if near := nearest(word, words):
        return f"; did you mean {' or '.join(near)}?"
    return f"; there are {', '.join(words)}" if 0 < len(words) <= most_listed else ""


def at_least(low: float, value: Any, key: str) -> Any:
    """`value`, if it is a number >= low."""
    if not _is_number(value) or not value >= low:
        raise TypedError(f"{key} must be at least {low}, not {value}")
    return value


def within(low: float, high: float, value: Any, key: str) -> Any:
    """`value`, if it is a number in [low, high]."""
    if not _is_number(value) or not low <= value <= high:
        raise TypedError(f"{key} must lie between {low} and {high}, not {value}")
    return value


def one_of(options: Iterable[str], value: Any, key: str) -> Any:
    """`value`, if it is one of the options."""
    options = list(options)
    if value not in options:
        raise TypedError(f"{key}={value} is not one of {', '.join(options)}{_did_you_mean(value, options)}")
    return value


def whole_numbers(value: Any, key: str, least: int = 1, empty: bool = False) -> list[int]:
    """`value`, if it is a list of whole numbers >= `least`."""
    good = isinstance(value, list | tuple) and all(isinstance(v, int) and not isinstance(v, bool) and v >= least for v in value)
    if not good or (not value and not empty):
        raise TypedError(f"{key} must be a list of whole numbers of at least {least}, such as [32,64], not {value}")
    return list(value)


def _did_you_mean(value: Any, options: list[str]) -> str:
    near = nearest(str(value), options, 1)
    return f"; did you mean {near[0]}?" if near else ""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
