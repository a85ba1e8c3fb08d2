"""CPU seconds of training until LunarLander is solved, beside stable-baselines3's PPO.

    python benchmarks/landing.py [--seeds 3] [--most 2000000] [--record docs/performance.md]

Solved: the last 100 episodes of the training, whose actions are drawn, have a mean return of 200. One thread, ours and theirs in turns
in this process, each with its own settings: ours as `python train.py task=hw15_rl` has them, theirs of rl-baselines3-zoo. Collection
and update count, validations do not. A run that never gets there has its whole time and ">" before it, and no ratio.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import deque
from pathlib import Path

import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env

from ml2020.tasks.hw15_rl.model import Agent
from ratios import record, table
from rl import ZOO, trained

SOLVED, EPISODES = 200, 100
Result = tuple[float, int, bool]  # CPU seconds, environment steps, whether it got there


class Window:
    """The returns of the last episodes."""

    def __init__(self) -> None:
        self.returns: deque[float] = deque(maxlen=EPISODES)

    @property
    def solved(self) -> bool:
        return len(self.returns) == EPISODES and statistics.fmean(self.returns) >= SOLVED


def ours(seed: int) -> Result:
    window, result, told = Window(), [0.0, 0, False], Agent.told

    def listened(ended: list[tuple[float, int, bool]]) -> dict[str, float]:
        window.returns.extend(total for total, _, _ in ended)
        return told(ended)

    def seen(agent: Agent, start: float, end: float) -> None:
        if not result[2]:
            result[:] = [result[0] + end - start, int(agent.env_steps), window.solved]

    Agent.told = staticmethod(listened)
    try:
        trained([f"seed={seed}"], seen)
    finally:
        Agent.told = staticmethod(told)
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
    kind, envs, options = ZOO["PPO"]
    agent, until = kind("MlpPolicy", make_vec_env("LunarLander-v3", envs, seed=seed), seed=seed, **options), Until()
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
        ("until the mean return is 200", "ours", "stable-baselines3", "ratio"),
        [*rows, ("median", "", "", statistics.median(ratios) if ratios else "")],
    )
    print(text)
    if options.record:
        record(options.record, "landing", text)


if __name__ == "__main__":
    main()
