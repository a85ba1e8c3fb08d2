"""A slip of the finger in a key, a group or an option is answered with the word that was meant."""

from __future__ import annotations

import functools
import random
import re
import string

import pytest

from ml2020.commands.help import tasks
from ml2020.core.conf import groups, options
from ml2020.core.config import load
from ml2020.core.errors import TypedError
from ml2020.core.keys import leaves

COUNT = 200


def slip(word: str, rng: random.Random) -> str:
    """`word` with one letter replaced, dropped or added, or with two neighbours exchanged."""
    i, letter = rng.randrange(len(word)), rng.choice(string.ascii_lowercase)
    how = rng.choice(("replace", "drop", "add", "swap"))
    if how == "add":
        return word[:i] + letter + word[i:]
    if how == "swap" and i + 1 < len(word):
        return word[:i] + word[i + 1] + word[i] + word[i + 2 :]
    return word[:i] + (letter if how == "replace" else "") + word[i + 1 :]


@functools.cache
def known_keys(task: str) -> list[str]:
    return [key for key, _ in leaves(load("train", [f"task={task}"])[0])]


def meant_and_typed(rng: random.Random) -> tuple[str, list[str]]:
    """(the right word, a command line with a slip in it): a key of some task three times in five, else a group or an option."""
    task = rng.choice(list(tasks()))
    group = rng.choice(groups())
    kind = rng.choice(("key", "key", "key", "group", "option"))
    if kind == "key":
        known = known_keys(task)
        right = rng.choice(known)
        valid, wrong = {*known, *groups()}, slip(right, rng)
        line = [f"task={task}", f"{wrong}=1"]
    elif kind == "group":
        right, valid, wrong = group, set(groups()), slip(group, rng)
        line = [f"{wrong}={rng.choice(options(group))}"] + ([] if group in ("task", "experiment") else [f"task={task}"])
    else:
        family = task.split("_")[0]  # another homework's model is no answer to a slip in this one's
        right = rng.choice([o for o in options(group) if group not in ("model", "data") or o.startswith(f"{family}_")])
        valid, wrong = set(options(group)), slip(right, rng)
        line = [f"{group}={wrong}"] + ([] if group in ("task", "experiment") else [f"task={task}"])
    return (right, line) if wrong not in valid and re.fullmatch(r"\w[\w.]*\w", wrong) else meant_and_typed(rng)


def test_at_least_95_of_100_slips_are_answered_with_the_right_word():
    rng, missed = random.Random(2020), []
    for _ in range(COUNT):
        right, line = meant_and_typed(rng)
        with pytest.raises(TypedError) as raised:
            load("train", line)
        answer = str(raised.value).partition(";")[2]
        if right not in re.findall(r"[\w.]+", answer.replace("?", "")):
            missed.append(f"{' '.join(line)} (meant {right}): {raised.value}")
    assert len(missed) <= 0.05 * COUNT, "\n".join(missed)
