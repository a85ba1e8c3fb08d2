"""Gradients through gradients: against finite differences, an unrolled loop over ordinary modules, and closed forms."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from ml2020.tasks.hw13_meta.anil import ANIL
from ml2020.tasks.hw13_meta.convolution import Moments, Pool, Unpool, convolve
from ml2020.tasks.hw13_meta.descent import Descent
from ml2020.tasks.hw13_meta.episodes import Episodes
from ml2020.tasks.hw13_meta.inner import adapt, errors
from ml2020.tasks.hw13_meta.maml import MAML
from ml2020.tasks.hw13_meta.networks import Conv4, Network, Perceptron
from ml2020.tasks.hw13_meta.reptile import Reptile

TASKS = 3


@pytest.fixture(autouse=True)
def double() -> Iterator[None]:
    """Seeded float64: differences say nothing in single precision."""
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def pictures(ways: int = 3, shots: int = 2, queries: int = 2, channels: int = 1) -> Episodes:
    targets = [torch.arange(ways).repeat_interleave(count).expand(TASKS, -1) for count in (shots, queries)]
    support, query = (torch.randn(TASKS, ways * count, channels, 16, 16) for count in (shots, queries))
    return Episodes(support, targets[0], query, targets[1])


def waves() -> Episodes:
    x = torch.randn(TASKS, 5, 1), torch.randn(TASKS, 7, 1)
    return Episodes(x[0], x[0].sin(), x[1], x[1].sin())


def learner(kind: type[Descent], episodes: Episodes, smooth: bool = True, **options: object) -> Descent:
    """A learner with a small network; with tanh where it is to be differentiated numerically: ReLU has kinks.

    The largest of four has kinks too: its differences must be so small that no other becomes the largest.
    """
    classes = not episodes.support_targets.is_floating_point()
    made = kind(hidden=[6, 5], width=8, **options)
    made.configure({"input": list(episodes.support.shape[2:]), "ways": 3 if classes else 0})
    if smooth:
        for part in made.network.modules():
            if hasattr(part, "activation"):
                part.activation = torch.tanh
    for name, p in made.network.named_parameters():
        if name.endswith("gain"):  # of both signs
            p.data = torch.randn_like(p)
    return made


def gradients(made: Descent, episodes: Episodes) -> dict[str, Tensor]:
    names, parameters = zip(*((n, p) for n, p in made.named_parameters() if p.requires_grad), strict=True)
    made.zero_grad()
    made.loss(episodes).backward()
    return dict(zip(names, [p.grad.clone() for p in parameters], strict=True))


CASES = {
    "one step": (MAML, pictures, {"inner_steps": 1}),
    "three steps, all losses": (MAML, pictures, {"inner_steps": 3, "losses": "all", "inner_lr": 0.1}),
    "adagrad": (MAML, pictures, {"inner_steps": 3, "inner_optimizer": "adagrad", "inner_lr": 0.1}),
    "adam": (MAML, waves, {"inner_steps": 3, "inner_optimizer": "adam", "inner_lr": 0.1, "rates": "fixed"}),
    "learned rates": (MAML, pictures, {"inner_steps": 2, "rates": "layers"}),
    "a rate for each weight": (MAML, waves, {"inner_steps": 2, "rates": "weights", "inner_lr": 0.1}),
    "statistics of the support": (MAML, pictures, {"inner_steps": 2, "norm": "support"}),
    "the head alone": (ANIL, pictures, {"inner_steps": 2}),
    "the original's broadcast": (MAML, waves, {"inner_steps": 2, "inner_lr": 0.1, "slips": ["broadcast"]}),
}


@pytest.mark.parametrize(("kind", "drawn", "options"), CASES.values(), ids=CASES)
def test_the_outer_gradient_is_that_of_finite_differences(kind: type[Descent], drawn: Callable, options: dict):
    episodes = drawn()
    made = learner(kind, episodes, **options)
    found = gradients(made, episodes)
    ways = {name: torch.randn_like(p) for name, p in made.named_parameters()}
    values, start, small = [], copy.deepcopy(made.state_dict()), 3e-9 if drawn is pictures else 1e-6
    for side in (1, -1):
        made.load_state_dict({name: w + side * small * ways[name] for name, w in start.items()})
        values.append(made.loss(episodes).item())
    slope = (values[0] - values[1]) / (2 * small)
    assert sum((found[name] * ways[name]).sum() for name in found).item() == pytest.approx(slope, rel=1e-5)


class Ordinary(nn.Module):
    """The convolutional network as anyone writes it, for one task."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(width if i else 1, width, 3, padding=1) for i in range(4))
        self.norms = nn.ModuleList(nn.BatchNorm2d(width, track_running_stats=False) for _ in range(4))
        self.head = nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = F.max_pool2d(F.relu(norm(conv(x))), 2)
        return self.head(x.flatten(1))


def loop(net: nn.Module, episodes: Episodes, rate: float, steps: int, order: int) -> dict[str, Tensor]:
    """The course's way: task after task, each with a functional call of an ordinary module."""
    total = 0.0
    for x, y, xq, yq in zip(*episodes, strict=True):
        weights = dict(net.named_parameters())
        for _ in range(steps):
            loss = F.cross_entropy(functional_call(net, weights, (x,)), y)
            g = torch.autograd.grad(loss, list(weights.values()), create_graph=order == 2)
            weights = {name: w - rate * part for (name, w), part in zip(weights.items(), g, strict=True)}
        total = total + F.cross_entropy(functional_call(net, weights, (xq,)), yq) / TASKS
    total.backward()
    return {name: p.grad for name, p in net.named_parameters()}


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("steps", [1, 3])
def test_all_tasks_at_once_are_a_loop_over_ordinary_modules(order: int, steps: int):
    episodes = pictures()
    made = learner(MAML, episodes, smooth=False, inner_steps=steps, inner_lr=0.1, order=order)
    found = gradients(made, episodes)
    net = Ordinary(8, 3)
    with torch.no_grad():
        for i, (conv, norm) in enumerate(zip(net.convs, net.norms, strict=True)):
            layer = made.network.layers[i]
            conv.weight.copy_(layer.weight), norm.weight.copy_(layer.gain), norm.bias.copy_(layer.shift)
        net.head.weight.copy_(made.network.head.weight), net.head.bias.copy_(made.network.head.bias)
    expected = loop(net, episodes, 0.1, steps, order)
    for i in range(4):
        for ours, theirs in (("weight", f"convs.{i}.weight"), ("gain", f"norms.{i}.weight"), ("shift", f"norms.{i}.bias")):
            torch.testing.assert_close(found[f"network.layers.{i}.{ours}"], expected[theirs], rtol=1e-6, atol=1e-9)
        assert expected[f"convs.{i}.bias"].abs().max() < 1e-12  # why ours has none
    torch.testing.assert_close(found["network.head.weight"], expected["head.weight"], rtol=1e-6, atol=1e-9)


def test_first_order_is_second_order_with_detached_inner_gradients():
    episodes = waves()
    net = Perceptron(1, [6], 1)
    rates = {name: torch.tensor([0.1]) for name, _ in net.named_parameters()}
    weights = adapt(net, net.start(TASKS), episodes.support, episodes.support_targets, rates, 2, order=1)[-1]
    found = torch.autograd.grad(errors(net(weights, episodes.query), episodes.query_targets).sum(), list(net.parameters()))
    weights = net.start(TASKS)
    for _ in range(2):
        inner = errors(net(weights, episodes.support), episodes.support_targets).sum()
        g = torch.autograd.grad(inner, list(weights.values()), create_graph=True)
        weights = {name: w - 0.1 * part.detach() for (name, w), part in zip(weights.items(), g, strict=True)}
    loss = errors(net(weights, episodes.query), episodes.query_targets).sum()
    for ours, theirs in zip(found, torch.autograd.grad(loss, list(net.parameters())), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=0)


class Slope(Network):
    """answer = w x: one weight, whose steps can be worked out by hand."""

    def __init__(self, w: float) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([w]))

    def forward(self, weights: dict[str, Tensor], x: Tensor, rows: int | None = None) -> Tensor:
        return weights["w"].unsqueeze(1) * x


def test_the_steps_of_a_line_are_those_worked_out_by_hand():
    # Loss (w - 1)^2 at x = 1, y = 1, from w = 0: gradients -2, -1.6 at the rate .1 (the distance to 1 shrinks to .8, .64).
    net, one = Slope(0.0), torch.ones(1, 1, 1)
    path = adapt(net, net.start(1), one, one, {"w": torch.tensor([0.1])}, 2)
    assert [float(step["w"]) for step in path] == pytest.approx([0.0, 0.2, 0.36])
    # w_2 = 1 - .64 (1 - w): second order sees .64, first order 1.
    for order, slope in ((2, 0.64), (1, 1.0)):
        path = adapt(net, net.start(1), one, one, {"w": torch.tensor([0.1])}, 2, order=order)
        assert torch.autograd.grad(path[-1]["w"].sum(), net.w)[0].item() == pytest.approx(slope)
    # Two rates, the last of which holds for the third step: distances 1, .8, .48, .288.
    path = adapt(net, net.start(1), one, one, {"w": torch.tensor([0.1, 0.2])}, 3)
    assert [1 - float(step["w"]) for step in path] == pytest.approx([1.0, 0.8, 0.48, 0.288])
    # Adagrad: -2 / sqrt(4 + .08^2), then -2 + 2 w_1 over the root of both squares.
    first = 0.1 * 2 / (4 + 0.08**2) ** 0.5
    second = first + 0.1 * (2 - 2 * first) / (4 + (2 - 2 * first) ** 2 + 0.08**2) ** 0.5
    path = adapt(net, net.start(1), one, one, {"w": torch.tensor([0.1])}, 2, optimizer="adagrad")
    assert [float(step["w"]) for step in path[1:]] == pytest.approx([first, second])


def test_adam_is_torchs():
    episodes = waves()
    net = Perceptron(1, [4], 1)
    rates = {name: torch.tensor([0.05]) for name, _ in net.named_parameters()}
    path = adapt(net, net.start(TASKS), episodes.support, episodes.support_targets, rates, 4, order=0, optimizer="adam")
    for task in range(TASKS):
        alone = copy.deepcopy(net)
        optimizer = torch.optim.Adam(alone.parameters(), 0.05)
        for _ in range(4):
            optimizer.zero_grad()
            answers = alone(alone.start(1), episodes.support[task : task + 1])
            F.mse_loss(answers, episodes.support_targets[task : task + 1]).backward()
            optimizer.step()
        for name, p in alone.named_parameters():
            torch.testing.assert_close(path[-1][name][task], p, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("drawn", [waves, pictures, lambda: pictures(shots=1, queries=3)], ids=["waves", "pictures", "one shot"])
def test_reptile_goes_the_mean_way_to_the_adapted_weights(drawn: Callable):
    episodes = drawn()
    made = learner(Reptile, episodes, smooth=False, inner_steps=4, inner_lr=0.05)
    before = {name: p.detach().clone() for name, p in made.network.named_parameters()}
    ends = []
    for x, y, xq, yq in zip(*episodes, strict=True):  # plain gradient descent, task after task
        weights = {name: p.unsqueeze(0).clone().requires_grad_() for name, p in before.items()}
        ways = made.ways or 1
        shots, queries = len(x) // ways, len(xq) // ways
        batches = [(x, y)]
        for first in range(0, queries, shots):  # as many queries of each class as there are shots
            own = [c * queries + i for c in range(ways) for i in range(first, min(first + shots, queries))]
            batches.append((xq[own], yq[own]))
        for step in range(4):
            now, wanted = batches[step % len(batches)]
            loss = errors(made.network(weights, now.unsqueeze(0)), wanted.unsqueeze(0)).sum()
            g = torch.autograd.grad(loss, list(weights.values()))
            weights = {n: (w - 0.05 * part).detach().requires_grad_() for (n, w), part in zip(weights.items(), g, strict=True)}
        ends.append({name: w[0].detach() for name, w in weights.items()})
    optimizer = torch.optim.SGD(made.parameters(), 0.7)
    made.loss(episodes).backward()
    optimizer.step()
    for name, p in made.network.named_parameters():
        expected = before[name] + 0.7 * (torch.stack([end[name] for end in ends]).mean(0) - before[name])
        torch.testing.assert_close(p.detach(), expected, rtol=1e-9, atol=1e-12)
    made.slips = ["sign"]
    with_sign = gradients(made, episodes)
    made.slips = []
    for name, g in gradients(made, episodes).items():
        torch.testing.assert_close(with_sign[name], -g)


def test_each_operation_has_its_right_first_and_second_derivatives():
    x, w = torch.randn(2, 6, 4, 4, requires_grad=True), torch.randn(4, 3, 3, 3, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, w: convolve(x, w, 2), (x, w))
    assert torch.autograd.gradgradcheck(lambda x, w: convolve(x, w, 2), (x, w))
    maps = torch.randn(2, 3, 4, 4).contiguous(memory_format=torch.channels_last).requires_grad_()
    assert torch.autograd.gradcheck(Pool.apply, maps) and torch.autograd.gradgradcheck(Pool.apply, maps)
    places = F.max_pool2d(maps, 2, return_indices=True)[1]
    g = torch.randn(2, 3, 2, 2, requires_grad=True)
    assert torch.autograd.gradcheck(lambda g: Unpool.apply(g, places, maps.shape), g)
    assert torch.autograd.gradcheck(lambda x: Moments.apply(x, (0, 2, 3)), maps)
    assert torch.autograd.gradgradcheck(lambda x: Moments.apply(x, (0, 2, 3)), maps)


def test_statistics_of_the_support_do_not_see_the_queries():
    episodes = pictures()
    net = Conv4((1, 16, 16), 8, 3)
    other = torch.cat([episodes.query[:, :1], torch.randn_like(episodes.query[:, 1:])], 1)
    n = episodes.support.shape[1]
    one, two = (net(net.start(TASKS), torch.cat([episodes.support, q], 1), n)[:, n] for q in (episodes.query, other))
    torch.testing.assert_close(one, two)
    one, two = (net(net.start(TASKS), q)[:, 0] for q in (episodes.query, other))
    assert (one - two).abs().max() > 0.01  # transduction
