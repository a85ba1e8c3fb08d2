"""Environment steps a second of training, collection and update, against stable-baselines3's PPO and A2C.

    python benchmarks/rl.py [--repeats 3] [--updates 6] [--record docs/performance.md]

LunarLander-v3, one thread, CPU seconds, ours and theirs in turns in this process. Ours runs as `python train.py` runs it, through
Lightning, and is timed from the end of its first training step to the end of its last. Theirs is `learn`, after one warm-up. First with
the same networks, environments, steps, minibatches and passes, then each with its own settings: ours of conf/model, theirs of
rl-baselines3-zoo (PPO: 16 environments, 1,024 steps, minibatches of 64, 4 passes; A2C: 8 environments, 5 steps).
"""

from __future__ import annotations

import argparse
import contextlib
import io
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.env_util import make_vec_env

from ml2020.commands.train import train
from ml2020.tasks.hw15_rl.model import Agent
from ratios import record, table

NETS = {"net_arch": {"pi": [64, 64], "vf": [64, 64]}}
SHARED = {"gamma": 0.999, "gae_lambda": 0.98, "ent_coef": 0.01, "learning_rate": 1e-3, "device": "cpu", "policy_kwargs": NETS}
SAME = {
    "PPO": (PPO, 16, {"n_steps": 512, "batch_size": 1024, "n_epochs": 6, **SHARED}),
    "A2C": (A2C, 8, {"n_steps": 128, "use_rms_prop": False, "normalize_advantage": True, **SHARED, "learning_rate": 3e-3}),
}
ZOO = {
    "PPO": (
        PPO,
        16,
        {"n_steps": 1024, "batch_size": 64, "n_epochs": 4, "gamma": 0.999, "gae_lambda": 0.98, "ent_coef": 0.01, "device": "cpu"},
    ),
    "A2C": (A2C, 8, {"n_steps": 5, "gamma": 0.995, "ent_coef": 1e-5, "learning_rate": 8.3e-4, "device": "cpu"}),
}
OURS = {"PPO": ("hw15_ppo", 16 * 512), "A2C": ("hw15_actor_critic", 8 * 128)}


def trained(words: list[str], seen: Callable[[Agent, float, float], None]) -> None:
    """`python train.py` with these words; `seen` gets the agent and the CPU times before and after each of its training steps."""
    original = Agent.training_step

    def timed(self: Agent, *arguments: Any) -> None:
        start = time.process_time()
        original(self, *arguments)
        seen(self, start, time.process_time())

    Agent.training_step = timed
    measured = ["data.val_episodes=1", "data.test_episodes=1", "trainer.threads=1"]
    try:
        with tempfile.TemporaryDirectory() as output, contextlib.redirect_stdout(io.StringIO()):
            assert train(["task=hw15_rl", *words, *measured, f"output_dir={output}"]) == 0
    finally:
        Agent.training_step = original


def ours(model: str, steps: int, updates: int) -> float:
    """Environment steps a CPU second."""
    ends: list[float] = []
    trained([f"model={model}", f"data.updates={updates}", "trainer.max_epochs=1"], lambda agent, start, end: ends.append(end))
    return steps * (updates - 1) / (ends[-1] - ends[0])


def theirs(kind: Any, envs: int, options: dict[str, Any], steps: int) -> float:
    """Environment steps a CPU second of stable-baselines3, in about `steps` steps."""
    agent = kind("MlpPolicy", make_vec_env("LunarLander-v3", envs), **options)
    agent.learn(envs * agent.n_steps)
    start = time.process_time()
    agent.learn(steps)
    taken = agent.num_timesteps  # of this call: `learn` begins to count anew
    return taken / (time.process_time() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--updates", type=int, default=6, help="of PPO, each of 8,192 steps; A2C takes as many steps")
    parser.add_argument("--record", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for name, (model, steps) in OURS.items():
        updates = options.updates * OURS["PPO"][1] // steps
        found: dict[str, list[float]] = {"ours": [], "same": [], "zoo": []}
        for _ in range(options.repeats):
            found["ours"].append(ours(model, steps, updates))
            found["same"].append(theirs(*SAME[name], updates * steps))
            found["zoo"].append(theirs(*ZOO[name], updates * steps))
        for words, other in (("the same settings", "same"), ("each with its own", "zoo")):
            ratios = [a / b for a, b in zip(found["ours"], found[other], strict=True)]
            middle = (f"{statistics.median(found['ours']):,.0f}", f"{statistics.median(found[other]):,.0f}")
            rows.append((f"{name}, {words}", statistics.median(ratios), min(ratios), max(ratios), *middle))
    text = table(("ours / stable-baselines3", "median", "least", "most", "ours, steps a CPU second", "theirs"), rows)
    print(text)
    if options.record:
        record(options.record, "rl", text)


if __name__ == "__main__":
    main()
