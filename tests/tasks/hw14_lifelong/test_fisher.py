"""Importance of weights against the plainest way to say it: a loop over pictures, one gradient each, in float64."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ml2020.core.errors import TypedError
from ml2020.tasks.hw14_lifelong.fisher import KINDS, fisher, mas, mean_power, scp


class Odd(nn.Module):
    """What cannot be taken layer by layer: a layer used twice, a shared weight, a weight of its own, group norm, circular padding."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, padding=1, padding_mode="circular")
        self.norm = nn.GroupNorm(2, 4)
        self.twice = nn.Linear(16, 16)
        self.tied = nn.Linear(16, 16)
        self.tied.weight = self.twice.weight
        self.scale = nn.Parameter(torch.ones(16))
        self.last = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.adaptive_avg_pool2d(self.norm(self.first(x)), 2).flatten(1)
        x = torch.tanh(self.twice(torch.tanh(self.twice(x))))
        return self.last(self.scale * self.tied(x))


def convolutions() -> nn.Module:
    """Strides, dilation, groups, no bias, batch norm, an activation in place, and a dense end."""
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(inplace=True),
        nn.Conv2d(4, 8, 3, stride=2, groups=2),
        nn.LeakyReLU(0.1, inplace=True),
        nn.Conv2d(8, 6, (2, 1), dilation=(1, 2), padding=(0, 1)),
        nn.Flatten(),
        nn.Linear(6 * 2 * 5, 7),
        nn.BatchNorm1d(7),
        nn.Tanh(),
        nn.Dropout(0.5),
        nn.Linear(7, 5),
    )


def mlp() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 12), nn.ReLU(inplace=True), nn.Linear(12, 9), nn.ReLU(), nn.Linear(9, 5))


NETS: dict[str, Callable[[], nn.Module]] = {"mlp": mlp, "convolutions": convolutions, "odd": Odd}


@pytest.fixture(params=NETS)
def net(request: pytest.FixtureRequest) -> nn.Module:
    torch.manual_seed(1)
    found = NETS[request.param]().double()
    with torch.no_grad():  # batch norm has seen something
        found.train()
        for _ in range(3):
            found(torch.rand(16, 1, 8, 8, dtype=torch.float64))
        for p in found.parameters():
            p += 0.1 * torch.randn_like(p)
    return found


@pytest.fixture
def images() -> Tensor:
    return torch.rand(11, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


@pytest.fixture
def labels() -> Tensor:
    return torch.randint(0, 5, (11,), generator=torch.Generator().manual_seed(3))


def gradient(net: nn.Module, value: Tensor) -> dict[str, Tensor]:
    found = torch.autograd.grad(value, list(net.parameters()), retain_graph=True, allow_unused=True)
    return {name: torch.zeros_like(p) if g is None else g for (name, p), g in zip(net.named_parameters(), found, strict=True)}


def added(net: nn.Module, parts: list[tuple[float, dict[str, Tensor]]], power: int) -> dict[str, Tensor]:
    return {name: sum(w * g[name].abs() ** power for w, g in parts) for name, _ in net.named_parameters()}


def naive(net: nn.Module, images: Tensor, labels: Tensor, kind: str, batch: int = 4) -> dict[str, Tensor]:
    """The definition, picture by picture and class by class."""
    net.eval()
    n = len(images)
    if kind == "batched":
        pieces = list(zip(images.split(batch), labels.split(batch), strict=True))
        return added(net, [(1 / len(pieces), gradient(net, F.cross_entropy(net(x), y))) for x, y in pieces], 2)
    if kind == "original":
        total = sum(net(x[None]).log_softmax(1).sum() for x in images)
        return added(net, [(1 / n, gradient(net, total))], 2)
    parts = []
    for x, y in zip(images, labels, strict=True):
        log_p = net(x[None])[0].log_softmax(0)
        if kind == "exact":
            parts += [(float(log_p[c].exp()) / n, gradient(net, log_p[c])) for c in range(len(log_p))]
        elif kind == "mas":
            parts.append((1 / n, gradient(net, net(x[None]).square().sum())))
        else:
            parts.append((1 / n, gradient(net, log_p[y if kind == "empirical" else log_p.argmax()])))
    return added(net, parts, 1 if kind == "mas" else 2)


def assert_same(found: dict[str, Tensor], wanted: dict[str, Tensor], relative: float) -> None:
    assert list(found) == list(wanted)
    for name, value in wanted.items():
        assert found[name].shape == value.shape
        assert (found[name] - value).abs().max() <= relative * value.abs().max(), name


@pytest.mark.parametrize("kind", ["exact", "empirical", "predicted", "batched", "original"])
def test_every_kind_is_its_definition(net: nn.Module, images: Tensor, labels: Tensor, kind: str):
    net.train()
    found = fisher(net, images, labels, kind, batch_size=4)
    assert net.training and all(module.training for module in net.modules())
    assert_same(found, naive(net, images, labels, kind), 1e-6)
    assert all(float(value.sum()) > 0 for value in found.values())


@pytest.mark.parametrize("kind", ["exact", "empirical"])
def test_single_precision_agrees_to_a_thousandth(net: nn.Module, images: Tensor, labels: Tensor, kind: str):
    wanted = naive(net, images, labels, kind)
    found = fisher(net.float(), images.float(), labels, kind)
    assert_same({name: value.double() for name, value in found.items()}, wanted, 1e-3)


def test_a_drawn_label_is_the_networks_own_and_the_draws_average_to_the_exact_fisher(net: nn.Module, images: Tensor, labels: Tensor):
    generator = torch.Generator().manual_seed(5)
    found = fisher(net, images, labels, "sampled", batch_size=4, generator=generator)
    again = torch.Generator().manual_seed(5)
    net.eval()
    drawn = torch.cat([torch.multinomial(net(x).softmax(1), 1, generator=again)[:, 0] for x in images.split(4)])
    assert_same(found, naive(net, images, drawn, "empirical"), 1e-6)
    many = fisher(net, images.repeat(400, 1, 1, 1), labels.repeat(400), "sampled", batch_size=1100, generator=generator)
    exact = fisher(net, images, labels, "exact")
    assert sum(map(torch.Tensor.sum, many.values())) == pytest.approx(sum(map(torch.Tensor.sum, exact.values())).item(), rel=0.1)


def test_mas_is_the_mean_of_absolute_gradients_picture_by_picture(net: nn.Module, images: Tensor, labels: Tensor):
    assert_same(mas(net, images, batch_size=4), naive(net, images, labels, "mas"), 1e-6)


def test_the_exact_fisher_of_logistic_regression_has_a_closed_form():
    # F of weight (c, j) is the mean of p_c (1 - p_c) x_j^2, and of bias c the mean of p_c (1 - p_c).
    torch.manual_seed(0)
    net, x = nn.Linear(6, 4).double(), torch.randn(50, 6, dtype=torch.float64)
    p = net(x).softmax(1).detach()
    spread = p * (1 - p)
    found = fisher(net, x, torch.zeros(50, dtype=torch.int64))
    torch.testing.assert_close(found["weight"], spread.T @ x.square() / 50, rtol=1e-12, atol=0)
    torch.testing.assert_close(found["bias"], spread.mean(0), rtol=1e-12, atol=0)


def test_the_exact_fisher_is_the_diagonal_of_the_curvature_of_the_divergence():
    # KL(p(theta) || p(theta + h)) = h'Fh / 2 + O(h^3): a check that knows nothing of gradients of single pictures.
    torch.manual_seed(4)
    net, x = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 3)).double(), torch.randn(20, 3, dtype=torch.float64)
    found = fisher(net, x, torch.zeros(20, dtype=torch.int64))
    log_p, h = net(x).log_softmax(1).detach(), 1e-3

    def divergence(weight: Tensor, step: float) -> float:
        with torch.no_grad():
            weight += step
            moved = net(x).log_softmax(1)
            weight -= step
        return float((log_p.exp() * (log_p - moved)).sum(1).mean())

    for name in ("0.weight", "0.bias", "2.weight"):
        weight = dict(net.named_parameters())[name].data.view(-1)
        for i in range(len(weight)):
            second = (divergence(weight[i : i + 1], h) + divergence(weight[i : i + 1], -h)) / h**2
            assert second == pytest.approx(float(found[name].view(-1)[i]), rel=1e-4, abs=1e-9)


def test_outputs_that_do_not_compete_count_for_nothing(net: nn.Module, images: Tensor):
    units, labels = [3, 1], torch.tensor([3, 1] * 5 + [3])
    shown = nn.Sequential(net, Pick(units))
    for kind in ("exact", "empirical", "batched", "original"):
        wanted = naive(shown, images, (labels == 1).long(), kind)
        found = fisher(net, images, labels, kind, units=units, batch_size=4)
        assert_same({f"0.{name}": value for name, value in found.items()}, wanted, 1e-6)
    assert_same({f"0.{n}": v for n, v in mas(net, images, units=units).items()}, naive(shown, images, labels, "mas"), 1e-6)


class Pick(nn.Module):
    def __init__(self, units: list[int]) -> None:
        super().__init__()
        self.units = units

    def forward(self, x: Tensor) -> Tensor:
        return x[:, self.units]


def test_frozen_weights_have_no_importance_and_do_not_disturb_the_others(net: nn.Module, images: Tensor, labels: Tensor):
    whole = fisher(net, images, labels)
    frozen = [name for name, _ in net.named_parameters()][::3]
    for name, p in net.named_parameters():
        p.requires_grad_(name not in frozen)
    found = fisher(net, images, labels)
    assert not set(frozen) & set(found)
    assert_same(found, {name: value for name, value in whole.items() if name not in frozen}, 1e-9)


def test_no_gradient_and_no_statistic_is_left_behind(net: nn.Module, images: Tensor, labels: Tensor):
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    with torch.no_grad():  # as in a hook after a fit
        for kind in KINDS:
            fisher(net, images, labels, kind)
        fisher(net, images, labels, "original", batch_statistics=True)
        mas(net, images), scp(net, images)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    assert all(p.grad is None for p in net.parameters()) and not any(module._forward_hooks for module in net.modules())


def test_the_originals_guard_takes_batch_norm_by_the_pictures_own_statistics(images: Tensor, labels: Tensor):
    torch.manual_seed(1)
    net = convolutions().double()
    found = fisher(net, images, labels, "original", batch_statistics=True, batch_size=3)
    net.train()
    net[10].eval()  # no dropout
    wanted = added(net, [(1 / len(images), gradient(net, net(images).log_softmax(1).sum()))], 2)
    assert_same(found, wanted, 1e-6)
    kept = fisher(net, images, labels, "original")
    assert not torch.allclose(found["0.weight"], kept["0.weight"], rtol=0.1)


def test_the_originals_guard_grows_with_the_number_of_pictures_and_a_fisher_does_not(images: Tensor, labels: Tensor):
    torch.manual_seed(1)
    net = mlp().double()
    for kind, factor in (("original", 3), ("exact", 1), ("empirical", 1)):
        once, thrice = (fisher(net, images.repeat(k, 1, 1, 1), labels.repeat(k), kind)["1.weight"] for k in (1, 3))
        torch.testing.assert_close(thrice, factor * once)


def slice_by_slice(net: nn.Module, images: Tensor, vectors: Tensor) -> dict[str, Tensor]:
    net.eval()
    return added(net, [(1 / len(vectors), gradient(net, net(images).mean(0) @ v)) for v in vectors], 2)


@pytest.mark.parametrize("slices", [2, 5, 40])
def test_scp_is_the_mean_over_slices_of_the_squared_gradient_of_the_mean_output(net: nn.Module, images: Tensor, slices: int):
    found = scp(net, images, slices=slices, batch_size=4, generator=torch.Generator().manual_seed(7))
    drawn = torch.randn(slices, 5, generator=torch.Generator().manual_seed(7))
    assert_same(found, slice_by_slice(net, images, (drawn / drawn.norm(dim=1, keepdim=True)).double()), 1e-6)


def test_scp_without_slices_is_what_many_slices_tend_to(net: nn.Module, images: Tensor):
    exact = scp(net, images, slices=None, batch_size=4)
    assert_same(exact, slice_by_slice(net, images, torch.eye(5, dtype=torch.float64)), 1e-6)
    many = scp(net, images, slices=20_000, generator=torch.Generator().manual_seed(0))
    for name, value in exact.items():
        assert float(many[name].sum()) == pytest.approx(float(value.sum()), rel=0.03)


def test_an_unknown_kind_is_told_with_the_nearest():
    with pytest.raises(TypedError, match=r"model\.fisher=exakt is not one of exact, sampled, .*; did you mean exact\?"):
        fisher(nn.Linear(2, 2), torch.rand(3, 2), torch.zeros(3).long(), "exakt")


@pytest.mark.parametrize("name", ["mlp", "convolutions"])
def test_dense_layers_convolutions_and_batch_norm_need_no_gradient_for_each_picture(
    name: str, images: Tensor, labels: Tensor, monkeypatch: pytest.MonkeyPatch
):
    torch.manual_seed(1)
    net = NETS[name]().double()
    wanted = {kind: by_pictures(net, images, kind) for kind in (1, 2)}

    def refuse(*arguments: object) -> None:
        raise AssertionError("taken picture by picture")

    monkeypatch.setattr("ml2020.tasks.hw14_lifelong.fisher._per_picture", refuse)
    assert_same(mas(net, images), wanted[1], 1e-9)
    assert_same(fisher(net, images, labels, "exact"), wanted[2], 1e-9)


def by_pictures(net: nn.Module, images: Tensor, power: int) -> dict[str, Tensor]:
    """MAS (power 1) or the exact Fisher (2), every weight by torch.func."""

    def directions(logits: Tensor, part: slice):
        p = logits.softmax(1)
        pairs = [(torch.ones_like(p[:, 0]), 2 * logits)] if power == 1 else zip(p.T, torch.eye(5).double()[:, None] - p, strict=True)
        yield from pairs

    return mean_power(net, images, directions, power, by_layers=False)


def test_what_needs_labels_says_so_and_the_others_do_without():
    net, images = nn.Linear(2, 2), torch.rand(3, 2)
    for kind in ("empirical", "batched"):
        with pytest.raises(TypedError, match=f"model.fisher={kind} needs labels, and the task has none"):
            fisher(net, images, kind=kind)
    assert_same(fisher(net, images), fisher(net, images, torch.zeros(3).long()), 0)
    assert set(fisher(net, images, kind="original")) == {"weight", "bias"}


def test_a_label_that_does_not_compete_is_an_error():
    with pytest.raises(ValueError, match=r"label 2 is not among the units \[0, 1\]"):
        fisher(nn.Linear(2, 3), torch.rand(3, 2), torch.tensor([0, 1, 2]), "empirical", units=[0, 1])
