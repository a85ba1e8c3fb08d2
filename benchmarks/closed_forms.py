"""The generative model and Newton's method beside scikit-learn's, on the same table, in one process.

python benchmarks/closed_forms.py [--repeats 7] [--record docs/performance.md]

Both sides get the same standardised float64 array of the generated census (30,800 x 99) and one thread; repeats alternate, medians are
compared. Ours is timed as it runs in a fit: loader, training_step, solve; neither Lightning's start nor any import is counted. Newton's
method takes as many passes as scikit-learn takes iterations.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from ml2020.tasks.hw02_classification.data import Generated
from ml2020.tasks.hw02_classification.generative import Generative
from ml2020.tasks.hw02_classification.logistic import Logistic
from ratios import record


def ours(module: Any, data: Generated, passes: int) -> Callable[[], np.ndarray]:
    """What trains the module from zero and gives its decision values on the training rows."""
    loader = next(module.phases(data)).loader if isinstance(module, Generative) else data.train_dataloader()
    loader.shuffle = False  # as its phase sets it
    if isinstance(module, Logistic):
        loader.tensors[0] = module.standardised(loader.tensors[0])

    def train() -> np.ndarray:
        loader.load_state_dict({"epoch": 0, "batch": 0})
        for _ in range(passes):
            for number, batch in enumerate(loader):
                module.trainer.is_last_batch = number + 1 == len(loader)
                module.training_step(batch, number)
        return module.linear.weight[0].numpy()

    return train


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--record", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.linear_model import LogisticRegression

    data = Generated(batch_size=1024)
    data.prepare()
    x, y = data.splits["train"]
    l2 = 1e-4

    def made(module: Any) -> Any:
        class Alone(type(module)):
            trainer = SimpleNamespace(is_last_batch=False)

        module.__class__ = Alone
        module.configure(data.spec)
        return module

    generative, newton = made(Generative()), made(Logistic(l2=l2, solver="newton"))
    z, labels = generative.standardised(x).numpy(), y.numpy()

    def logistic() -> LogisticRegression:
        return LogisticRegression(C=1 / (2 * len(z) * l2), solver="newton-cholesky", tol=1e-8).fit(z, labels)

    passes = int(logistic().n_iter_[0])

    def fresh_newton() -> np.ndarray:
        newton.configure(data.spec)
        return ours(newton, data, passes)()

    def fresh_generative() -> np.ndarray:
        generative.configure(data.spec)
        return ours(generative, data, 1)()

    theirs = {
        "generative": lambda: LinearDiscriminantAnalysis(solver="lsqr").fit(z, labels).coef_[0],
        "newton": lambda: logistic().coef_[0],
    }
    print(f"Newton: {passes} passes")
    lines = ["| model | ours / scikit-learn, time | largest difference of decision values |", "| --- | --- | --- |"]
    for name, own in (("generative", fresh_generative), ("newton", fresh_newton)):
        seconds: dict[str, list[float]] = {"ours": [], "theirs": []}
        found: dict[str, np.ndarray] = {}
        for _ in range(options.repeats):
            for side, function in (("ours", own), ("theirs", theirs[name])):
                began = time.perf_counter()
                found[side] = function()
                seconds[side].append(time.perf_counter() - began)
        gap = np.abs(z @ (found["ours"] - found["theirs"])).max()
        ratio = statistics.median(seconds["ours"]) / statistics.median(seconds["theirs"])
        lines.append(f"| {name} | {ratio:.2f} | {gap:.0e} |")
    print("\n".join(lines))
    if options.record:
        record(options.record, "closed_forms", "\n".join(lines))


if __name__ == "__main__":
    main()
