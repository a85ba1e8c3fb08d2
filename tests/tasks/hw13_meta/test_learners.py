"""Learners as a whole: their scores, their runs, and what each is by definition."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ml2020.core.folder import RunFolder
from ml2020.tasks.hw13_meta.episodes import Episodes
from ml2020.tasks.hw13_meta.maml import MAML
from ml2020.tasks.hw13_meta.model import handed_on, interval, score
from ml2020.tasks.hw13_meta.pretrain import Pretrain
from ml2020.tasks.hw13_meta.protonet import ProtoNet
from ml2020.tasks.hw13_meta.reptile import Reptile

QUICK = ["task=hw13_meta", "quick=true"]
SAMPLE = ["data=hw13_sample", "model.width=8", "data.steps=3", "data.val_episodes=4", "data.test_episodes=4", "trainer.max_epochs=1"]


def waves(tasks: int = 4) -> Episodes:
    torch.manual_seed(0)
    x = torch.randn(tasks, 5, 1), torch.randn(tasks, 7, 1)
    return Episodes(x[0], x[0].sin(), x[1], x[1].sin())


def pictures(tasks: int = 4, ways: int = 3, shots: int = 2) -> Episodes:
    torch.manual_seed(0)
    targets = torch.arange(ways).repeat_interleave(shots).expand(tasks, -1)
    return Episodes(torch.randn(tasks, ways * shots, 1, 16, 16), targets, torch.randn(tasks, ways * shots, 1, 16, 16), targets)


def made(kind: type, episodes: Episodes, **options: object):
    torch.manual_seed(1)
    classes = 0 if episodes.support_targets.is_floating_point() else 3
    learner = kind(width=8, **options)
    learner.configure({"input": list(episodes.support.shape[2:]), "ways": classes, "classes": 12})
    return learner


def test_scores_are_shares_of_right_answers_and_squared_errors():
    logits = torch.tensor([[[2.0, 1.0], [0.0, 3.0], [5.0, 4.0]]])
    assert score(logits, torch.tensor([[0, 0, 0]])).item() == pytest.approx(2 / 3)
    assert score(torch.tensor([[[1.0], [3.0]]]), torch.tensor([[[0.0], [1.0]]])).item() == pytest.approx((1 + 4) / 2)
    # Of 0, 1, 2, 3: standard deviation 1.29099, by the root of 4 episodes, times 1.96.
    assert interval(torch.tensor([0.0, 1.0, 2.0, 3.0])) == pytest.approx(1.96 * 1.290994 / 2, rel=1e-6)


def test_a_loss_hands_its_gradients_on():
    p = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    loss = handed_on(torch.tensor(7.0), [p], [torch.tensor([3.0, -4.0])])
    loss.backward()
    assert loss.item() == 7.0 and p.grad.tolist() == [3.0, -4.0]


def test_tasks_in_parts_are_all_tasks_at_once(monkeypatch: pytest.MonkeyPatch):
    episodes = pictures(tasks=5)
    learner = made(MAML, episodes)
    found = []
    for size in (5, 2):
        monkeypatch.setattr("ml2020.tasks.hw13_meta.model.AT_ONCE", size)
        learner.zero_grad()
        loss = learner.loss(episodes)
        loss.backward()
        found.append((loss.item(), learner.network.layers[1].weight.grad.clone()))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5)
    torch.testing.assert_close(found[0][1], found[1][1], rtol=1e-4, atol=1e-6)


def test_the_prototypes_are_means_and_the_nearest_one_wins():
    episodes = pictures()
    net = made(ProtoNet, episodes)
    logits = net.answers(episodes, [0])[0]
    for task in range(4):
        features, queries = net.forward(episodes.support[task]), net.forward(episodes.query[task])
        means = torch.stack([features[2 * kind : 2 * kind + 2].mean(0) for kind in range(3)])
        torch.testing.assert_close(logits[task], -torch.cdist(queries, means).square(), rtol=1e-3, atol=1e-4)
    assert "head.weight" not in dict(net.network.named_parameters())


def test_pretraining_adapts_a_new_head_of_zeros_and_keeps_the_features():
    episodes = pictures()
    learner = made(Pretrain, episodes)
    assert learner.network.head.weight.shape == (12, 8)  # all training characters
    first, later = (learner.path(episodes, 3, order=0)[step] for step in (0, 3))
    assert first["head.weight"].shape == (4, 3, 8) and not first["head.weight"].any()
    assert later["head.weight"].any() and torch.equal(first["layers.0.weight"], later["layers.0.weight"])


def test_the_first_step_of_a_head_of_zeros_is_the_closed_form():
    # At zero all classes have 1/3: the step is rate * mean of features times (one-hot - 1/3).
    episodes = pictures()
    learner = made(Pretrain, episodes, inner_lr=0.3)
    features = learner.network.body(learner.network.start(4), episodes.support)
    wanted = torch.nn.functional.one_hot(episodes.support_targets, 3) - 1 / 3
    step = learner.path(episodes, 1, order=0)[1]["head.weight"]
    torch.testing.assert_close(step, 0.3 * wanted.transpose(1, 2) @ features / 6, rtol=1e-4, atol=1e-6)


def test_broadcast_errors_are_least_at_the_mean_of_the_targets():
    learner, targets = made(MAML, waves(), slips=["broadcast"]), torch.tensor([[[1.0], [2.0], [6.0]]])
    # Any answer a loses mean((a - t)^2) = 14/3 + (a - 3)^2: the variance of the targets at their mean, 3.
    assert learner.error(torch.full((1, 3, 1), 3.0), targets).item() == pytest.approx(14 / 3)
    assert learner.error(targets.clone(), targets).item() == pytest.approx(2 * 14 / 3)  # right answers do worse


@pytest.mark.parametrize("kind", [MAML, Reptile])
def test_references_leave_the_last_tasks_weights(kind: type):
    episodes = waves()
    learner = made(kind, episodes, slips=["references"])
    last = learner.left if hasattr(learner, "left") else None
    assert last is None
    learner.loss(episodes).backward()
    if kind is Reptile:
        (x, y), *more = learner.turns(episodes)
        expected = learner.descend(learner.network, learner.network.start(4), x, y, learner.inner_steps, 0, more)[-1]
    else:
        expected = learner.path(episodes, learner.inner_steps, 0)[-1]
    learner.on_before_optimizer_step(None)
    for name, p in learner.network.named_parameters():
        torch.testing.assert_close(p.detach(), expected[name][-1].detach())


def test_a_single_task_kept_by_reference_gives_reptile_nothing_to_learn():
    learner = made(Reptile, waves(1), slips=["references"])
    learner.loss(waves(1)).backward()
    assert all(not p.grad.any() for p in learner.parameters())


def test_losses_that_count_add_up_to_one(monkeypatch: pytest.MonkeyPatch):
    learner = made(MAML, waves(), inner_steps=4)
    for progress in (0.0, 0.5, 1.0):
        monkeypatch.setattr(MAML, "progress", progress)
        for losses, first in (("last", 0.0), ("all", 0.25), ("annealed", 0.25 * (1 - progress))):
            learner.losses = losses
            assert learner.shares()[0] == pytest.approx(first) and sum(learner.shares()) == pytest.approx(1)


@pytest.mark.parametrize("model", ["maml", "anil", "reptile", "pretrain", "protonet"])
def test_every_learner_learns_characters_from_the_command_line(model: str, run_task: Callable[..., RunFolder]):
    run = run_task(*QUICK, *SAMPLE, f"model=hw13_{model}")
    test = json.loads((run.path / "metrics.json").read_text())["test"]
    assert 0 <= test["acc"] <= 1 and test["interval"] >= 0
    assert {"steps.png", "training.png", "episode.png", "network.png"} <= {file.name for file in (run.path / "figures").iterdir()}


def test_an_interrupted_run_on_characters_ends_with_the_same_bits(
    run_task: Callable[..., RunFolder], stopped_at: Callable, tmp_path: Path
):
    from ml2020.commands.resume import resume_run
    from ml2020.commands.train import train

    words = [*QUICK, *SAMPLE, "trainer.max_epochs=2", "model.rates=layers", "model.losses=annealed", "model.inner_steps=2"]
    whole = run_task(*words)
    with stopped_at(4):
        train([*words, f"output_dir={tmp_path}", "trainer.threads=1"])
    (folder,) = tmp_path.glob("*/*")
    resume_run(RunFolder.open(folder), {})
    one, two = (torch.load(path / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"] for path in (whole.path, folder))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert (folder / "metrics.json").read_text() == (whole.path / "metrics.json").read_text()


def losses(folder: Path) -> list[float]:
    rows = [line.split(",") for line in (folder / "metrics.csv").read_text().splitlines()]
    place = rows[0].index("train/loss")
    return [float(row[place]) for row in rows[1:] if row[place]]


@pytest.mark.full
def test_two_processes_share_out_the_tasks_of_a_batch(run_task: Callable[..., RunFolder], tmp_path: Path):
    # About 40 s: the import of torch in three processes.
    import subprocess
    import sys

    words = [*QUICK, "data.meta_batch=5", "trainer.log_every=1", "trainer.precision=64-true", "trainer.threads=1"]
    done = subprocess.run(
        [sys.executable, "train.py", *words, "trainer.devices=2", f"output_dir={tmp_path}"],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (folder,) = tmp_path.glob("*/*")
    assert losses(folder) == pytest.approx(losses(run_task(*words).path), rel=1e-9)


@pytest.mark.full
def test_maml_learns_sine_waves_and_an_untrained_network_does_not(run_task: Callable[..., RunFolder]):
    # About 20 s.
    def after(run: RunFolder) -> Tensor:
        return json.loads((run.path / "metrics.json").read_text())["test"]["mse_5"]

    words = ["task=hw13_meta", "data.steps=500", "data.test_episodes=200"]
    learned = after(run_task(*words, "trainer.max_epochs=6"))
    untrained = after(run_task(*words, "trainer.max_epochs=1", "data.steps=1", "optimizer.lr=0"))
    assert learned < 0.8 < 2 < untrained
