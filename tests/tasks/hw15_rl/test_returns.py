"""Returns and advantages against numbers worked out by hand, and against naive loops."""

from __future__ import annotations

import numpy as np
import pytest

from ml2020.tasks.hw15_rl.returns import following_values, gae, rewards_to_go

# Three steps of one environment, gamma = lambda = 0.5: rewards 1, 2, 3; values 4, 2, 1, and 6 after the last step.
REWARDS, VALUES, LAST = np.array([[1.0], [2.0], [3.0]]), np.array([[4.0], [2.0], [1.0]]), np.array([6.0])


def advantages(terminated: list[bool], cut: list[bool], finals: list[float] | None) -> list[float]:
    over, short = np.array(terminated)[:, None], np.array(cut)[:, None]
    following = following_values(VALUES, LAST, over, short, None if finals is None else np.array(finals))
    return gae(REWARDS, VALUES, following, over | short, 0.5, 0.5)[:, 0].tolist()


NO = [False] * 3
SECOND = [False, True, False]


@pytest.mark.parametrize(
    ("terminated", "cut", "finals", "expected"),
    [
        # d = (1 + 1 - 4, 2 + 0.5 - 2, 3 + 3 - 1) = (-2, 0.5, 5); A_2 = 5, A_1 = 0.5 + 5 / 4, A_0 = -2 + A_1 / 4
        (NO, NO, [], [-1.5625, 1.75, 5.0]),
        # an end after the second step: d_1 = 2 - 2, and nothing of the third step reaches back
        (SECOND, NO, [], [-2.0, 0.0, 5.0]),
        # a cut there, before a state worth 8: d_1 = 2 + 4 - 2
        (NO, SECOND, [8.0], [-1.0, 4.0, 5.0]),
        # the same cut taken for an end
        (NO, SECOND, None, [-2.0, 0.0, 5.0]),
    ],
)
def test_generalised_advantages_are_those_worked_out_by_hand(terminated: list, cut: list, finals: list | None, expected: list):
    assert advantages(terminated, cut, finals) == expected


def test_generalised_advantages_equal_a_naive_sum():
    rng = np.random.default_rng(0)
    steps, count, gamma, lam = 40, 5, 0.97, 0.9
    rewards, values, last = rng.normal(size=(steps, count)), rng.normal(size=(steps, count)), rng.normal(size=count)
    fate = rng.integers(0, 8, (steps, count))
    terminated, cut = fate == 0, fate == 1
    finals = rng.normal(size=cut.sum())
    at_cut = dict(zip(zip(*np.nonzero(cut), strict=True), finals, strict=True))
    found = gae(rewards, values, following_values(values, last, terminated, cut, finals), terminated | cut, gamma, lam)
    for t in range(steps):
        for i in range(count):
            expected, weight = 0.0, 1.0
            for k in range(t, steps):
                after = last[i] if k + 1 == steps else values[k + 1, i]
                after = 0.0 if terminated[k, i] else at_cut.get((k, i), after)
                expected += weight * (rewards[k, i] + gamma * after - values[k, i])
                weight *= gamma * lam
                if terminated[k, i] or cut[k, i]:
                    break
            assert found[t, i] == pytest.approx(expected, abs=1e-12)


def test_with_lambda_one_an_advantage_is_the_return_less_the_value():
    following = following_values(VALUES, LAST, np.zeros((3, 1), bool), np.zeros((3, 1), bool), None)
    found = gae(REWARDS, VALUES, following, np.zeros((3, 1), bool), 0.5, 1.0)
    assert (found + VALUES)[:, 0].tolist() == rewards_to_go(REWARDS[:, 0], 0.5, after=6.0).tolist()


def test_rewards_to_go_are_those_worked_out_by_hand():
    assert rewards_to_go(np.array([1.0, 2.0, 4.0]), 0.5).tolist() == [3.0, 4.0, 4.0]
    assert rewards_to_go(np.array([1.0, 2.0, 4.0]), 1.0).tolist() == [7.0, 6.0, 4.0]
    assert rewards_to_go(np.array([1.0, 2.0, 4.0]), 0.5, after=8.0).tolist() == [4.0, 6.0, 8.0]
