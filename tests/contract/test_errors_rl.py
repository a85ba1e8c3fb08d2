"""Wrong input of homework 15, which has environments instead of files: one sentence, nothing created."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable

import gymnasium
import pytest

Refused = Callable[[list[str], int], str]
RL = "task=hw15_rl"

WRONG = [
    ([RL, "data.env=LunarLander-v4"], 2, "there is no environment data.env=LunarLander-v4; did you mean LunarLander-v3"),
    ([RL, "data.env=CartPol-v1"], 2, "did you mean CartPole-v1"),
    ([RL, "data.env=os:CartPole-v1"], 2, "takes the name of an environment of gymnasium, such as LunarLander-v3"),
    ([RL, "data.env=MountainCarContinuous-v0"], 2, "has continuous actions; homework 15 chooses one of a few"),
    ([RL, "data.env=LunarLanderContinuous-v3"], 2, "LunarLanderContinuous-v3 has continuous actions"),
    ([RL, "data.updates=0"], 2, "data.updates must be at least 1, not 0"),
    ([RL, "data.test_episodes=0"], 2, "data.test_episodes must lie between 1 and 100000, not 0"),
    ([RL, "model.envs=0"], 2, "model.envs must be at least 1, not 0"),
    ([RL, "model.gamma=1.5"], 2, "model.gamma must lie between 0 and 1, not 1.5"),
    ([RL, "model.time_limit=ends"], 2, "did you mean end?"),
    (
        [RL, "model.time_limit=observed", "data.env=Blackjack-v1"],
        2,
        "model.time_limit=observed needs a limit, and Blackjack-v1 has none",
    ),
    ([RL, "model.hidden=[0]"], 2, "model.hidden must be a list of whole numbers of at least 1"),
    ([RL, "model=hw15_reinforce", "model.credit=too_go"], 2, "did you mean to_go?"),
    ([RL, "model=hw15_reinforce", "model.credit=to_go", "model.time_limit=bootstrap"], 2, "type model.credit=advantage"),
    ([RL, "model=hw15_reinforce", "model.init=xavier"], 2, "model.init takes orthogonal or torch, not xavier"),
    ([RL, "model=hw15_reinforce", "model.horizon=5"], 2, "model.horizon"),
    ([RL, "model=hw15_dqn", "model.memory=10"], 2, "model.memory must be at least 64, not 10"),
    ([RL, "model=hw15_dqn", "model.warm_up=60000"], 2, "model.warm_up must lie between 0 and 50000, not 60000"),
    ([RL, "model=hw15_poo"], 2, "did you mean hw15_ppo?"),
    ([RL, "trainer.devices=2"], 2, "hw15_rl cannot have trainer.devices"),
    ([RL, "trainer.clip_norm=1"], 2, "type model.clip_norm"),
]


@pytest.mark.parametrize(("words", "status", "sentence"), WRONG, ids=lambda value: " ".join(value) if isinstance(value, list) else None)
def test_it_is_one_sentence_and_leaves_nothing(words: list[str], status: int, sentence: str, refused: Refused):
    assert sentence in refused(words, status)


def test_without_box2d_the_line_to_type_is_told(refused: Refused, monkeypatch: pytest.MonkeyPatch):
    def missing(*words: object, **options: object) -> None:
        raise gymnasium.error.DependencyNotInstalled('Box2D is not installed, run `pip install "gymnasium[box2d]"`')

    monkeypatch.setattr(gymnasium, "make", missing)
    assert "data.env=LunarLander-v3 needs packages that are not installed; type pip install 'gymnasium[box2d]'" in refused([RL], 1)


def test_without_gymnasium_the_line_to_type_is_told(refused: Refused, monkeypatch: pytest.MonkeyPatch):
    original = importlib.metadata.version

    def version(package: str) -> str:
        if package == "gymnasium":
            raise importlib.metadata.PackageNotFoundError
        return original(package)

    monkeypatch.setattr(importlib.metadata, "version", version)
    assert "the package gymnasium, which is not installed; type pip install -e '.[rl]'" in refused([RL], 1)
