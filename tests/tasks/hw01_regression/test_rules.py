"""The hand-written update rules against torch.optim, step for step, and against steps worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from ml2020.core.errors import TypedError
from ml2020.tasks.hw01_regression import rules

PAIRS: list[tuple[type, dict[str, Any], type, dict[str, Any]]] = [
    (rules.SGD, {"lr": 0.01}, torch.optim.SGD, {"lr": 0.01}),
    (rules.Momentum, {"lr": 0.01, "momentum": 0.8}, torch.optim.SGD, {"lr": 0.01, "momentum": 0.8}),
    (rules.Adagrad, {"lr": 0.5}, torch.optim.Adagrad, {"lr": 0.5}),
    (rules.RMSprop, {"lr": 0.01, "alpha": 0.9}, torch.optim.RMSprop, {"lr": 0.01, "alpha": 0.9}),
    (rules.Adam, {"lr": 0.05, "beta1": 0.8}, torch.optim.Adam, {"lr": 0.05, "betas": (0.8, 0.999)}),
]


def walk(make: Any, steps: int = 100) -> list[torch.Tensor]:
    """Where a small network's parameters stand after each step of a regression, in float64."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 1)).double()
    x = torch.randn(60, 5, dtype=torch.float64)
    y = x.sum(1, keepdim=True).sin()
    optimizer, places = make(net.parameters()), []
    for step in range(steps):
        optimizer.zero_grad()
        rows = slice(10 * (step % 6), 10 * (step % 6) + 10)
        (net(x[rows]) - y[rows]).square().mean().backward()
        optimizer.step()
        places.append(torch.cat([p.detach().flatten() for p in net.parameters()]))
    return places


@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize(("ours", "options", "theirs", "their_options"), PAIRS, ids=[pair[0].__name__ for pair in PAIRS])
def test_a_hundred_steps_are_torchs(ours: type, options: dict, theirs: type, their_options: dict, decay: float):
    def made(parameters: Any) -> torch.optim.Optimizer:
        return ours([{"params": list(parameters), "weight_decay": decay}], **options)

    expected = walk(lambda parameters: theirs(parameters, weight_decay=decay, **their_options))
    for one, two in zip(walk(made), expected, strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-10)


def test_adagrads_first_steps_are_those_by_hand():
    # g = 3 then 4 at lr 1: 0 - 3 / 3 = -1, then -1 - 4 / sqrt(9 + 16) = -1.8.
    theta = nn.Parameter(torch.zeros(1, dtype=torch.float64))
    rule = rules.Adagrad([theta], lr=1.0)
    for gradient, place in ((3.0, -1.0), (4.0, -1.8)):
        theta.grad = torch.tensor([gradient], dtype=torch.float64)
        rule.step()
        assert theta.item() == pytest.approx(place, abs=1e-9)


def test_a_rule_goes_on_from_its_state():
    def stepped(rule: rules.Adam, theta: nn.Parameter, count: int) -> None:
        for _ in range(count):
            theta.grad = theta.detach() - 3.0
            rule.step()

    whole, half = (nn.Parameter(torch.zeros(2)) for _ in range(2))
    stepped(rules.Adam([whole], lr=0.05), whole, 20)
    first, second = (rules.Adam([half], lr=0.05) for _ in range(2))
    stepped(first, half, 10)
    second.load_state_dict(first.state_dict())
    stepped(second, half, 10)
    assert torch.equal(whole, half)


@pytest.mark.parametrize(
    ("rule", "option", "value"), [("Momentum", "momentum", 1.0), ("RMSprop", "alpha", -1), ("Adam", "beta2", 2), ("SGD", "lr", -1)]
)
def test_an_option_out_of_its_range_is_refused(rule: str, option: str, value: float):
    with pytest.raises(TypedError, match=rf"optimizer.{option} must"):
        getattr(rules, rule)([nn.Parameter(torch.zeros(1))], **{"lr": 0.1, option: value})
