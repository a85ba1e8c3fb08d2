"""An episode seen: frames, and the words for its actions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ml2020.core import terminal
from ml2020.tasks.hw15_rl.actor import Actor
from ml2020.tasks.hw15_rl.fleet import Fleet

_ACTIONS = {
    "LunarLander": ["nothing", "left engine", "main engine", "right engine"],
    "CartPole": ["left", "right"],
    "MountainCar": ["left", "nothing", "right"],
    "Acrobot": ["left", "nothing", "right"],
}


def names(env: str) -> list[str]:
    """Words for an environment's actions, where they are known."""
    return _ACTIONS.get(env.partition("-")[0], [])


def frames(make: Callable[[], Fleet], seed: int, actor: Actor, length: int, most: int = 80) -> tuple[np.ndarray, np.ndarray] | None:
    """Pictures (k, h, w, 3) uint8 of the greedy episode of a seed, which has `length` steps, and their steps (k,): at most `most`,
    evenly spaced, and the last. None, with a word why, where the environment cannot be drawn."""
    steps, shown = set(range(0, length, -(-length // most))) | {length - 1}, {}
    try:
        fleet = make()

        def act(observations: np.ndarray) -> np.ndarray:
            step = len(fleet.actions[0])
            if step in steps:
                shown[step] = shrunk(np.asarray(fleet.envs[0].render()))
            return actor.greedy(observations)

        fleet.episodes(act, [seed])
    except Exception as error:  # each environment has its own way to say that it cannot be drawn
        terminal.note(f"no film: {type(error).__name__}: {error}")
        return None
    return np.stack(list(shown.values())), np.array(list(shown))


def shrunk(picture: np.ndarray, width: int = 300) -> np.ndarray:
    """A picture (h, w, 3) by a whole number smaller, `width` pixels wide or a little more; means over blocks."""
    by = max(1, picture.shape[1] // width)
    h, w = picture.shape[0] // by, picture.shape[1] // by
    return picture[: h * by, : w * by].reshape(h, by, w, by, 3).mean((1, 3)).round().astype(np.uint8)
