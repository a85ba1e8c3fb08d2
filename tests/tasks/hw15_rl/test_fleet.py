"""Many environments at once: what comes after an end, whose observation is whose, and going on after a restart."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

from ml2020.tasks.hw15_rl import environments
from ml2020.tasks.hw15_rl.fleet import Fleet


class Counting(gymnasium.Env):
    """Shows (number of the episode, step); comes to an end after three steps, or is cut after two, in turns. The reward is the step."""

    action_space = gymnasium.spaces.Discrete(2)
    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,))

    def __init__(self) -> None:
        self.episode = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.episode += 1
        self.step_number = 0
        return self.seen(), {}

    def seen(self) -> np.ndarray:
        return np.array([self.episode, self.step_number], np.float32)

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.step_number += 1
        ends = self.episode % 2 == 0
        return self.seen(), float(self.step_number), ends and self.step_number == 3, not ends and self.step_number == 2, {}


def still(observations: np.ndarray) -> np.ndarray:
    return np.zeros(len(observations), np.int64)


def script(actions: Sequence[np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    """Plays these actions, whatever it sees."""
    told = iter(actions)
    return lambda observations: next(told)


def test_an_environment_that_ends_begins_again_within_the_step():
    fleet = Fleet(Counting, 1, 2).seed([0])  # seeding is an episode of its own: the one that counts is number 2
    rollout = fleet.rollout(7, still)
    assert rollout.observations[:, 0].tolist() == [[2, 0], [2, 1], [2, 2], [3, 0], [3, 1], [4, 0], [4, 1]]
    assert rollout.rewards[:, 0].tolist() == [1, 2, 3, 1, 2, 1, 2]
    assert np.nonzero(rollout.terminated)[0].tolist() == [2] and np.nonzero(rollout.cut)[0].tolist() == [4]
    assert rollout.finals.tolist() == [[3, 2]]  # of the episode that was cut, not the next one's first
    assert rollout.last.tolist() == [[4, 2]]
    assert rollout.ended == [(6.0, 3, False), (3.0, 2, True)]


def test_the_share_of_the_steps_that_is_left_is_one_more_observation():
    rollout = Fleet(Counting, 1, 2, limit=4).seed([0]).rollout(5, still)
    assert rollout.observations[:, 0, 2].tolist() == [1.0, 0.75, 0.5, 1.0, 0.75]
    assert rollout.finals[0].tolist() == [3, 2, 0.5]


def test_a_rollout_is_that_of_gymnasiums_own_vector():
    # SAME_STEP, with the last observations in info; cut after 15 steps, so that both kinds of end occur.
    count, steps = 3, 120
    actions = np.random.default_rng(0).integers(0, 2, (steps, count))
    made = [lambda: gymnasium.make("CartPole-v1", max_episode_steps=15)] * count
    vector = gymnasium.vector.SyncVectorEnv(made, autoreset_mode=gymnasium.vector.AutoresetMode.SAME_STEP)
    vector.reset(seed=[5, 6, 7])
    observation, _ = vector.reset()
    rollout = Fleet(made[0], count, 4).seed([5, 6, 7]).rollout(steps, script(actions))
    finals = []
    for t in range(steps):
        assert np.array_equal(rollout.observations[t], observation)
        observation, rewards, terminated, truncated, info = vector.step(actions[t])
        cut = truncated & ~terminated
        assert np.array_equal(rollout.terminated[t], terminated) and np.array_equal(rollout.cut[t], cut)
        assert np.array_equal(rollout.rewards[t], rewards)
        finals += [info["final_obs"][i] for i in np.nonzero(cut)[0]]
    assert rollout.terminated.any() and len(finals) > 2
    assert np.array_equal(rollout.finals, np.array(finals)) and np.array_equal(rollout.last, observation)


def test_whole_episodes_are_those_of_a_plain_loop():
    def act(observations: np.ndarray) -> np.ndarray:
        return (observations[:, 2] + 0.3 * observations[:, 3] > 0).astype(np.int64)

    played = Fleet(lambda: environments.make("CartPole-v1", max_episode_steps=60), 4, 4).episodes(act, [11, 12, 13, 14])
    env = gymnasium.make("CartPole-v1", max_episode_steps=60)
    for seed, episode in zip([11, 12, 13, 14], played, strict=True):
        observation, _ = env.reset(seed=seed)
        total, seen, over, truncated = 0.0, [], False, False
        while not (over or truncated):
            seen.append(observation)
            observation, reward, over, truncated, _ = env.step(int(act(observation[None])[0]))
            total += reward
        assert np.array_equal(episode.observations, np.stack(seen)) and np.array_equal(episode.final, observation)
        assert episode.total == total and len(episode) == len(seen) and episode.cut == (truncated and not over)


@pytest.mark.parametrize("name", ["LunarLander-v3", "CartPole-v1"])
def test_replayed_actions_bring_an_environment_back_to_the_bit(name: str):
    size = int(np.prod(environments.make(name).observation_space.shape))
    rng = np.random.default_rng(1)
    acts = [rng.integers(0, 2, 3) for _ in range(400)]
    fleet = Fleet(lambda: environments.make(name), 3, size).seed([1, 2, 3])
    fleet.rollout(130, script(acts))
    stream = io.BytesIO()
    torch.save(fleet.state_dict(), stream)
    stream.seek(0)
    state = torch.load(stream, weights_only=True)
    used = Fleet(lambda: environments.make(name), 3, size).seed([7, 8, 9])
    used.rollout(20, still)
    used.load_state_dict(state)
    assert np.array_equal(used.observations, fleet.observations) and np.array_equal(used.returns, fleet.returns)
    one, two = (f.rollout(250, script(acts)) for f in (fleet, used))
    assert len(one.ended) > 2 and one.ended == two.ended  # the episodes that follow are the same too
    assert np.array_equal(one.observations, two.observations) and np.array_equal(one.rewards, two.rewards)
