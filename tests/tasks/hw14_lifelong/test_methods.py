"""The methods against what their papers say, on tiny networks and tasks."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from ml2020.core.errors import TypedError
from ml2020.tasks.hw14_lifelong.ewc import EWC
from ml2020.tasks.hw14_lifelong.mas import MAS
from ml2020.tasks.hw14_lifelong.model import Lifelong
from ml2020.tasks.hw14_lifelong.networks import original
from ml2020.tasks.hw14_lifelong.quadratic import Spring
from ml2020.tasks.hw14_lifelong.replay import Joint, Replay
from ml2020.tasks.hw14_lifelong.scp import SCP
from ml2020.tasks.hw14_lifelong.si import SI

SPEC = {"input": [1, 2, 2], "outputs": list("abc"), "tasks": ["one", "two", "three"], "units": [[0, 1, 2]] * 3, "scenario": "domain"}


def made(kind: Any, spec: dict[str, Any] = SPEC, **options: Any) -> Any:
    """A module in double precision with a perceptron of 4-5-3, on data of 30 pictures a task."""
    torch.manual_seed(0)
    module = kind(net="mlp", hidden=[5], **options)
    module.configure(spec)
    module.double()
    generator = torch.Generator().manual_seed(1)
    tasks = [(torch.rand(30, 1, 2, 2, generator=generator).double(), torch.randint(3, (30,), generator=generator)) for _ in range(3)]

    class Loader(list):
        def to(self, device: Any) -> Loader:
            return self

    def plain_loader(number: int, split: str) -> Loader:
        return Loader([tasks[number]])

    module.data = SimpleNamespace(
        run_seed=0,
        plain_loader=plain_loader,
        train_loader=lambda number: Loader([tasks[number]]),
        joint_loader=lambda count: Loader([tuple(torch.cat(parts) for parts in zip(*tasks[:count], strict=True))]),
        chain=lambda split: Loader([(*task, torch.full((30,), i)) for i, task in enumerate(tasks)]),
    )
    return module


def phase(name: str) -> SimpleNamespace:
    return SimpleNamespace(name=name, reset=("optimizer",))


def through(module: Any, steps: int = 5, lr: float = 0.1, tasks: int = 3) -> Any:
    """Train by plain gradient steps through the tasks, with the hooks that Lightning would call."""
    for number, name in enumerate(SPEC["tasks"][:tasks]):
        module.on_phase_start(phase(name))
        (batch,) = module.enter(number)
        for _ in range(steps):
            module.zero_grad()
            module.loss(batch).backward()
            module.on_before_optimizer_step(None)
            with torch.no_grad():
                for w in module.net.parameters():
                    w -= lr * w.grad
            module.on_train_batch_end(None, batch, 0)
        module.on_phase_end(phase(name))
    return module


@pytest.mark.parametrize(("kind", "off"), [(EWC, "ewc_lambda"), (MAS, "mas_lambda"), (SCP, "scp_lambda"), (SI, "si_c")])
def test_without_strength_every_penalty_is_naive_to_the_bit(kind: Any, off: str):
    naive, weak = through(made(Lifelong)), through(made(kind, **{off: 0.0}))
    assert all(torch.equal(a, b) for a, b in zip(naive.net.parameters(), weak.net.parameters(), strict=True))
    strong = through(made(kind, **{off: 50.0}))
    assert any(not torch.equal(a, b) for a, b in zip(naive.net.parameters(), strong.net.parameters(), strict=True))


def test_one_quadratic_has_the_gradients_of_one_for_each_finished_task():
    """lambda / 2 * sum_t sum_i F_ti (theta_i - theta_ti)^2, with the Fisher information by a loop over pictures and classes."""
    module = made(EWC, ewc_lambda=3.0, fisher_samples="all")
    finished = []
    for number, name in enumerate(SPEC["tasks"][:2]):
        through_one(module, number, name)
        images, _ = module.data.plain_loader(number, "train")[0]
        finished.append((exact_fisher(module.net, images), [w.detach().clone() for w in module.net.parameters()]))
        module.on_phase_end(phase(name))
    module.current = 2
    with torch.no_grad():
        for w in module.net.parameters():
            w += 0.3 * torch.randn(w.shape, generator=torch.Generator().manual_seed(w.numel()), dtype=w.dtype)
    module.zero_grad()
    module.penalty().backward()
    for i, w in enumerate(module.net.parameters()):
        expected = sum(3.0 * fishers[i] * (w - anchors[i]) for fishers, anchors in finished)
        torch.testing.assert_close(w.grad, expected.detach(), rtol=1e-8, atol=1e-12)


def through_one(module: Any, number: int, name: str, steps: int = 5) -> None:
    """The steps of one task, without its end."""
    module.on_phase_start(phase(name))
    (batch,) = module.enter(number)
    for _ in range(steps):
        module.zero_grad()
        module.loss(batch).backward()
        with torch.no_grad():
            for w in module.net.parameters():
                w -= 0.1 * w.grad


def exact_fisher(net: torch.nn.Module, images: torch.Tensor) -> list[torch.Tensor]:
    sums = [torch.zeros_like(w) for w in net.parameters()]
    for image in images:
        log_p = net(image[None])[0].log_softmax(0)
        for c in range(3):
            grads = torch.autograd.grad(log_p[c], list(net.parameters()), retain_graph=True)
            sums = [s + log_p[c].exp().detach() * g.square() for s, g in zip(sums, grads, strict=True)]
    return [s / len(images) for s in sums]


def test_online_ewc_keeps_one_sum_and_the_latest_anchor():
    module = through(made(EWC, online=True, gamma=0.5, fisher_samples="all"), tasks=2)
    assert all(torch.equal(a, w) for a, w in zip(module.anchor.parameters(), module.net.parameters(), strict=True))
    assert min(float(i.min()) for i in module.importance.parameters()) >= 0


def test_mas_and_si_hold_the_latest_weights_and_add_importance_up():
    for kind in (MAS, SI):
        module = made(kind)
        through(module, tasks=1)
        first = [i.clone() for i in module.importance.parameters()]
        module.current = 1
        through_one_of(module, 1, "two")
        assert all(torch.equal(a, w) for a, w in zip(module.anchor.parameters(), module.net.parameters(), strict=True))
        assert all((i >= f).all() for i, f in zip(module.importance.parameters(), first, strict=True))


def through_one_of(module: Any, number: int, name: str) -> None:
    module.on_phase_start(phase(name))
    (batch,) = module.enter(number)
    module.zero_grad()
    module.loss(batch).backward()
    module.on_before_optimizer_step(None)
    with torch.no_grad():
        for w in module.net.parameters():
            w -= 0.1 * w.grad
    module.on_train_batch_end(None, batch, 0)
    module.on_phase_end(phase(name))


def test_the_path_of_si_adds_up_to_how_far_the_loss_fell():
    """For small steps sum_i omega_i is the fall of the cross-entropy (Zenke et al. 2017, eq. 2)."""
    module = made(SI)
    module.on_phase_start(phase("one"))
    (batch,) = module.enter(0)
    before = float(F.cross_entropy(module.net(batch[0]), batch[1]))
    for _ in range(400):
        module.zero_grad()
        module.loss(batch).backward()
        module.on_before_optimizer_step(None)
        with torch.no_grad():
            for w in module.net.parameters():
                w -= 0.002 * w.grad
        module.on_train_batch_end(None, batch, 0)
    fall = before - float(F.cross_entropy(module.net(batch[0]), batch[1]))
    assert fall > 0.001 and sum(float(p.sum()) for p in module.path.parameters()) == pytest.approx(fall, rel=0.02)


def test_the_matrix_has_a_row_before_training_and_one_after_each_task():
    module = through(made(Lifelong))
    assert module.matrix.shape == (4, 3) and not module.matrix.isnan().any()
    images, labels = module.data.plain_loader(1, "test")[0]
    right = (module.net(images).argmax(1) == labels).double().mean()
    assert float(module.matrix[3, 1]) == pytest.approx(float(right))


def test_replay_sees_kept_pictures_with_the_weight_of_the_tasks_before():
    module = made(Replay, memory=4)
    (batch,) = module.enter(2)
    assert len(module.labels) == 8
    torch.manual_seed(3)
    loss = module.loss(batch)
    torch.manual_seed(3)
    chosen = torch.randint(8, (30,))
    now = F.cross_entropy(module.net(batch[0]), batch[1])
    then = F.cross_entropy(module.net(module.images[chosen]), module.labels[chosen])
    assert float(loss) == pytest.approx(float(now / 3 + 2 / 3 * then))


def test_joint_training_has_all_tasks_so_far():
    module = made(Joint)
    assert len(module.enter(1)[0][1]) == 60


@pytest.mark.parametrize(
    ("scenario", "task", "current", "competing"),
    [("task", 1, 0, [2, 3]), ("class", 0, 1, [0, 1, 2, 3]), ("domain", 1, 0, [0, 1, 2, 3, 4, 5])],
)
def test_outputs_compete_as_the_scenario_says(scenario: str, task: int, current: int, competing: list[int]):
    spec = SPEC | {"outputs": list("abcdef"), "units": [[0, 1], [2, 3], [4, 5]], "scenario": scenario}
    module = made(Lifelong, spec)
    module.current = current
    logits = module.competing(torch.zeros(1, 6), task)
    assert logits.isfinite().nonzero()[:, 1].tolist() == competing


def test_a_wrong_strength_is_one_sentence():
    with pytest.raises(TypedError, match=r"model.ewc_lambda must be at least 0, not -1"):
        EWC(ewc_lambda=-1)


@pytest.mark.parametrize("batch_statistics", [False, True])
def test_the_slip_reads_the_test_with_its_own_statistics_and_leaves_no_trace(batch_statistics: bool):
    spec = SPEC | {"input": [1, 28, 28]}
    module = made(Lifelong, spec, batch_statistics=batch_statistics)
    module.net = original([1, 28, 28], 3).double()
    images, labels = torch.rand(30, 1, 28, 28, dtype=torch.float64), torch.arange(30) % 3
    parts = [(images[:20], labels[:20]), (images[20:], labels[20:])]

    class Loader(list):
        def to(self, device: Any) -> Loader:
            return self

    module.data.plain_loader = lambda number, split: Loader(parts)
    twin = copy.deepcopy(module.net).train(batch_statistics)
    with torch.no_grad():
        expected = F.cross_entropy(twin(images), labels)
    buffers = [buffer.clone() for buffer in module.net.buffers()]
    module.measure_all(0)
    torch.testing.assert_close(module.losses[0], expected.expand(3))
    assert all(torch.equal(a, b) for a, b in zip(buffers, module.net.buffers(), strict=True))


def test_the_penalty_by_hand_has_autograds_value_and_gradient():
    generator = torch.Generator().manual_seed(0)
    shapes = [(3, 2), (4,)]
    weights, importance, anchors = ([torch.rand(s, generator=generator, dtype=torch.float64) for s in shapes] for _ in range(3))
    weights = [w.requires_grad_() for w in weights]
    expected = sum((i * (w - a).square()).sum() for w, i, a in zip(weights, importance, anchors, strict=True))
    assert float(Spring.apply(*weights, *importance, *anchors)) == pytest.approx(float(expected), rel=1e-12)
    assert torch.autograd.gradcheck(lambda *w: 3 * Spring.apply(*w, *importance, *anchors), weights)
