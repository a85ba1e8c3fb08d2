"""Several environments at once: rollouts of fixed length, whole episodes, and a state that can be kept.

Unlike gymnasium's own vector it knows how to go on after a restart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Act = Callable[[np.ndarray], np.ndarray]  # observations (n, d) -> actions (n,)
TRAINING = 2**40  # the seeds of training begin here: no measured episode has one of them


@dataclass
class Episode:
    """One episode: observations (t, d), actions, rewards (t,), its last observation `final` (d,). `cut`: by the limit of steps."""

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    cut: bool
    final: np.ndarray

    @property
    def total(self) -> float:
        return float(self.rewards.sum())

    def __len__(self) -> int:
        return len(self.rewards)


@dataclass
class Rollout:
    """T steps of n environments: observations (T, n, d), actions, rewards (T, n), terminated and cut (T, n) bool.

    An environment that ends begins its next episode within the same step: the observation after it is the next episode's first.
    `finals`, (k, d): the last observations of the k episodes that were cut, in the order of np.nonzero(cut). `last`, (n, d): what the
    environments show after the T steps. `ended`: (return, length, cut) of the episodes that ended.
    """

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    terminated: np.ndarray
    cut: np.ndarray
    finals: np.ndarray
    last: np.ndarray
    ended: list[tuple[float, int, bool]] = field(default_factory=list)


class Fleet:
    """`count` environments with a present episode each. `limit`: the share of these steps that is left is one more observation."""

    def __init__(self, make: Callable[[], Any], count: int, size: int, limit: int | None = None) -> None:
        self.envs = [make() for _ in range(count)]
        self.size, self.limit = size, limit
        self.observations = np.zeros((count, size + (limit is not None)), np.float32)
        self.returns = np.zeros(count)
        self.starts: list[dict[str, Any]] = [{}] * count  # each environment's generator before its present episode
        self.actions: list[list[int]] = [[] for _ in range(count)]

    def __len__(self) -> int:
        return len(self.envs)

    def seed(self, seeds: Sequence[int]) -> Fleet:
        """Seed every environment, and begin an episode in each from its generator."""
        for i, seed in enumerate(seeds):
            self.envs[i].reset(seed=seed)
            self.begin(i)
        return self

    def begin(self, i: int, seed: int | None = None) -> None:
        """The next episode of environment i; or the one of a seed, which is for measuring: `state_dict` does not know it."""
        env = self.envs[i]
        self.starts[i] = env.unwrapped.np_random.bit_generator.state
        self.actions[i] = []
        self.returns[i] = 0.0
        self.see(i, env.reset(seed=seed)[0])

    def see(self, i: int, observation: np.ndarray) -> None:
        self.observations[i, : self.size] = observation
        if self.limit is not None:
            self.observations[i, self.size] = 1.0 - len(self.actions[i]) / self.limit

    def advance(self, i: int, action: int) -> tuple[float, bool, bool]:
        """One step of environment i: reward, whether its episode has come to an end of its own, or was cut."""
        observation, reward, terminated, truncated, _ = self.envs[i].step(action)
        self.actions[i].append(action)
        self.returns[i] += reward
        self.see(i, observation)
        return reward, terminated, truncated and not terminated

    def rollout(self, steps: int, act: Act) -> Rollout:
        """`steps` steps of every environment, which begin again as they end."""
        n, d = self.observations.shape
        observations = np.empty((steps, n, d), np.float32)
        actions = np.empty((steps, n), np.int64)
        rewards = np.empty((steps, n), np.float32)
        terminated, cut = np.zeros((steps, n), bool), np.zeros((steps, n), bool)
        finals, ended = [], []
        for t in range(steps):
            observations[t] = self.observations
            actions[t] = act(self.observations)
            for i, action in enumerate(actions[t].tolist()):
                rewards[t, i], over, short = self.advance(i, action)
                if over or short:
                    terminated[t, i], cut[t, i] = over, short
                    if short:
                        finals.append(self.observations[i].copy())
                    ended.append((float(self.returns[i]), len(self.actions[i]), short))
                    self.begin(i)
        last = self.observations.copy()
        return Rollout(observations, actions, rewards, terminated, cut, np.array(finals, np.float32).reshape(-1, d), last, ended)

    def episodes(self, act: Act, seeds: Sequence[int] | None = None) -> list[Episode]:
        """One whole episode of every environment, to its own end: the batch that `act` sees shrinks as they finish.

        Not the first n episodes that end in a fleet that begins again: short ones end first, and the mean would be theirs. With `seeds`
        the episodes are those of the seeds, else the present ones; afterwards every environment stands before its next episode.
        """
        if seeds is not None:
            for i, seed in enumerate(seeds):
                self.begin(i, seed)
        running = list(range(len(self)))
        seen, rewards = [[] for _ in running], [[] for _ in running]
        done: list[Episode | None] = [None] * len(self)
        while running:
            for i, action in zip(running, act(self.observations[running]).tolist(), strict=True):
                seen[i].append(self.observations[i].copy())
                reward, over, short = self.advance(i, action)
                rewards[i].append(reward)
                if over or short:
                    taken = np.array(self.actions[i], np.int64)
                    done[i] = Episode(np.stack(seen[i]), taken, np.array(rewards[i], np.float32), short, self.observations[i].copy())
            running = [i for i in running if done[i] is None]
        for i in range(len(self)):
            self.begin(i)
        return done

    # Copies of an environment lose its state (pickle and deepcopy rebuild it from its constructor); replayed actions bring it back.

    def state_dict(self) -> list[dict[str, Any]]:
        """Of each environment the generator before its present episode, and the actions since: plain data."""
        return [{"start": start, "actions": list(actions)} for start, actions in zip(self.starts, self.actions, strict=True)]

    def load_state_dict(self, state: list[dict[str, Any]]) -> Fleet:
        """Play every present episode again up to where it stood."""
        for i, kept in enumerate(state):
            self.envs[i].unwrapped.np_random.bit_generator.state = kept["start"]
            self.begin(i)
            for action in kept["actions"]:
                self.advance(i, action)
        return self
