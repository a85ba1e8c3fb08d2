"""Who gets the credit for a reward: returns and advantages, in numpy, over all environments at once."""

from __future__ import annotations

import numpy as np

CREDITS = ("total", "to_go", "discounted", "advantage")


def rewards_to_go(rewards: np.ndarray, gamma: float, after: float = 0.0) -> np.ndarray:
    """G_t = r_t + gamma G_(t+1), (t,) -> (t,) float64; `after` is the value of the state after the last step."""
    total, found = after, np.empty(len(rewards))
    for t in range(len(rewards) - 1, -1, -1):
        total = rewards[t] + gamma * total
        found[t] = total
    return found


def gae(rewards: np.ndarray, values: np.ndarray, following: np.ndarray, ended: np.ndarray, gamma: float, lam: float) -> np.ndarray:
    """Generalised advantage estimation (Schulman et al. 2016, eq. 16): A_t = d_t + gamma lambda A_(t+1), d_t = r_t + gamma V' - V.

    All (T, n). `values`: V of the state before each step. `following`: V' of the state after it (following_values). `ended`: after
    these steps another episode begins, whose advantages are not ours.
    """
    deltas = rewards + gamma * following - values
    going_on = gamma * lam * ~ended
    advantages, later = np.empty_like(deltas), np.zeros_like(deltas[0])
    for t in range(len(deltas) - 1, -1, -1):
        later = deltas[t] + going_on[t] * later
        advantages[t] = later
    return advantages


def following_values(
    values: np.ndarray, last: np.ndarray, terminated: np.ndarray, cut: np.ndarray, finals: np.ndarray | None
) -> np.ndarray:
    """V of the state after each step, (T, n): of the next row, of `last` (n,) after the final one, 0 after an end.

    `finals`: V of the last states of the cut episodes, in the order of np.nonzero(cut); None takes a cut for an end. What stands in the
    next row after either is another episode's first state, and never its value.
    """
    following = np.concatenate([values[1:], last[None]])
    following[terminated | cut] = 0.0
    if finals is not None:
        following[cut] = finals
    return following
