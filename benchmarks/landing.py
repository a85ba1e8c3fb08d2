"""CPU seconds of training until LunarLander is solved, beside stable-baselines3's PPO.

    python benchmarks/landing.py [--seeds 3] [--most 2000000] [--record docs/performance.md]

Solved: the last 100 episodes of the training, whose actions are drawn, have a mean return of 200. One thread, ours and theirs in turns
in this process, each with its own settings: ours as `python train.py task=hw15_rl` has them, theirs of rl-baselines3-zoo. Collection
and update count, validations do not. A run that never gets there has its whole time and ">" before it, and no ratio.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import statistics
import tempfile
import time
from collections import deque
from pathlib import Path
from typing import Any

import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env

from ml2020.commands.train import train
from ml2020.tasks.hw15_rl.model import Agent
from ratios import record, table

SOLVED, EPISODES = 200, 100
ZOO = {"n_steps": 1024, "batch_size": 64, "n_epochs": 4, "gamma": 0.999, "gae_lambda": 0.98, "ent_coef": 0.01, "device": "cpu"}
Result = tuple[float, int, bool]  # CPU seconds, environment steps, whether it got there


class Window:
    """The returns of the last episodes."""

    def __init__(self) -> None:
        self.returns: deque[float] = deque(maxlen=EPISODES)

    @property
    def solved(self) -> bool:
        return len(self.returns) == EPISODES and statistics.fmean(self.returns) >= SOLVED


def ours(seed: int) -> Result:
    window, result = Window(), [0.0, 0, False]
    step, told = Agent.training_step, Agent.told

    def listened(ended: list[tuple[float, int, bool]]) -> dict[str, float]:
        window.returns.extend(total for total, _, _ in ended)
        return told(ended)

    def timed(self: Agent, *words: Any) -> None:
        start = time.process_time()
        step(self, *words)
        if not result[2]:
            result[:] = [result[0] + time.process_time() - start, int(self.env_steps), window.solved]

    Agent.training_step, Agent.told = timed, staticmethod(listened)
    words = ["task=hw15_rl", f"seed={seed}", "data.val_episodes=1", "data.test_episodes=1", "trainer.threads=1"]
    try:
        with tempfile.TemporaryDirectory() as output, contextlib.redirect_stdout(io.StringIO()):
            assert train([*words, f"output_dir={output}"]) == 0
    finally:
        Agent.training_step, Agent.told = step, staticmethod(told)
    return tuple(result)


class Until(BaseCallback):
    """Stops where it is solved."""

    def __init__(self) -> None:
        super().__init__()
        self.window = Window()

    def _on_step(self) -> bool:
        self.window.returns.extend(info["episode"]["r"] for info in self.locals["infos"] if "episode" in info)
        return not self.window.solved


def theirs(seed: int, most: int) -> Result:
    agent, until = PPO("MlpPolicy", make_vec_env("LunarLander-v3", 16, seed=seed), seed=seed, **ZOO), Until()
    start = time.process_time()
    agent.learn(most, callback=until)
    return time.process_time() - start, agent.num_timesteps, until.window.solved


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--most", type=int, default=2_000_000, help="environment steps after which theirs gives up")
    parser.add_argument("--record", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows, ratios = [], []
    for seed in range(options.seeds):
        a, b = ours(seed), theirs(seed, options.most)
        ratios += [b[0] / a[0]] if a[2] and b[2] else []
        told = [f"{'' if there else '> '}{seconds:.0f} s, {steps:,} steps" for seconds, steps, there in (a, b)]
        rows.append((f"seed {seed}", *told, b[0] / a[0] if a[2] and b[2] else ""))
        print(rows[-1], flush=True)
    text = table(
        ("until the mean return is 200", "ours", "stable-baselines3", "ratio"), [*rows, ("median", "", "", statistics.median(ratios))]
    )
    print(text)
    if options.record:
        record(options.record, "landing", text)


if __name__ == "__main__":
    main()
