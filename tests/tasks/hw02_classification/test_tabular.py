"""The encodings by hand, the networks against plain ones, and what they share: nothing."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ml2020.core.errors import TypedError
from ml2020.tasks.hw02_classification.bins import thresholds
from ml2020.tasks.hw02_classification.tabular import Bins, Members, Tabular


def table(count: int = 50) -> tuple[Tensor, Tensor, dict[str, Any]]:
    """Two continuous columns and a one-hot group of three, labels, and the spec."""
    draw = torch.Generator().manual_seed(0)
    numbers = torch.randint(0, 9, (count, 2), generator=draw).double() * torch.tensor([1.0, 100.0], dtype=torch.float64)
    x = torch.cat([numbers, F.one_hot(torch.randint(0, 3, (count,), generator=draw), 3).double()], 1)
    y = torch.randint(0, 2, (count,), generator=draw)
    spec = {
        "columns": ["age", "gains", "a", "b", "c"],
        "continuous": [0, 1],
        "groups": {"letter": [2, 3, 4]},
        "tested": "val",
        "mean": x.mean(0).tolist(),
        "std": x.std(0, correction=0).tolist(),
    }
    return x, y, spec


def configured(**options: Any) -> tuple[Tabular, Tensor, Tensor]:
    """A module with measured bins, in eval mode, and its table."""
    x, y, spec = table()
    module = Tabular(**{"bins": 6, "members": 3, "hidden": [4], "init": 0.5} | options)
    module.configure(spec)
    module.net.bins.measure(x[:, :2])
    return module.eval(), x, y


def test_few_values_are_told_apart_one_by_one():
    values = torch.tensor([5.0, 0.0, 0.0, 10.0, 5.0], dtype=torch.float64)
    assert thresholds(values, 4).tolist() == [2.5, 7.5]
    assert thresholds(torch.zeros(5, dtype=torch.float64), 4).tolist() == []


def test_many_values_are_cut_by_quantiles_beside_the_commonest():
    # Eight rows at 0 and one each at 1 to 8. Four bins: 0 alone, and the rest cut at its half, 5; the side below 0 does not exist.
    values = torch.tensor([0.0] * 8 + [8.0, 1.0, 7.0, 2.0, 6.0, 3.0, 5.0, 4.0], dtype=torch.float64)
    assert thresholds(values, 4).tolist() == [0.5, 4.5]
    # The commonest value in the middle has a threshold on both sides.
    assert thresholds(torch.tensor([4.0] * 3 + [1.0, 2.0, 3.0, 5.0, 6.0, 7.0], dtype=torch.float64), 4).tolist() == [3.5, 4.5]


@pytest.mark.parametrize("most", [4, 5, 16, 128])
def test_there_are_never_more_bins_than_asked_for(most: int):
    values = torch.randn(3000, generator=torch.Generator().manual_seed(0), dtype=torch.float64).mul(20).round()
    found = thresholds(values, most)
    assert len(found) <= most - 1 and (found.diff() > 0).all()


def test_a_value_lies_in_the_bin_above_the_thresholds_it_passes():
    bins = Bins(2, 4, 1, 0.1)
    bins.measure(torch.tensor([[0.0, 7.0], [5.0, 7.0], [10.0, 7.0]], dtype=torch.float64))
    asked = torch.tensor([[-1.0, 7.0], [2.5, 0.0], [2.6, 9.0], [7.0, 7.0], [1e15, 1e15]], dtype=torch.float64)
    assert bins.numbers(asked).tolist() == [[0, 0], [0, 0], [1, 0], [1, 0], [2, 0]]


def test_the_look_up_is_the_product_with_the_columns_of_zeros_and_ones():
    module, x, _ = configured()
    bins = module.net.bins
    edges = bins.edges
    above = (x[:, :2, None] > edges).float()  # (n, 2, 5)
    own = F.one_hot(above.sum(2).long(), 6).float()  # (n, 2, 6)
    expected = own.flatten(1) @ bins.own.flatten(0, 1) + above.flatten(1) @ bins.above.flatten(0, 1)
    assert 0 < above.mean() < 1
    torch.testing.assert_close(bins(bins.numbers(x[:, :2])), expected)


def test_continuous_columns_are_standardised_and_the_others_stand_as_they_are():
    module, x, _ = configured()
    encoded, numbers = module.encode(x)
    torch.testing.assert_close(encoded[:, :2].double().mean(0), torch.zeros(2, dtype=torch.float64), atol=1e-6, rtol=0)
    torch.testing.assert_close(encoded[:, :2].double().std(0, correction=0), torch.ones(2, dtype=torch.float64))
    assert torch.equal(encoded[:, 2:].double(), x[:, 2:]) and numbers.shape == (50, 2)


def test_the_parameters_are_as_many_as_the_layers_say():
    module, _, _ = configured(hidden=[4, 3])
    first = 5 * 12 + 12 + 2 * 6 * 12 + 2 * 5 * 12  # columns, bias, bins and thresholds, for 3 members of 4 units
    rest = 3 * (4 * 3 + 3 + 3 * 1 + 1)
    assert sum(p.numel() for p in module.parameters()) == first + rest
    assert all(p.ndim == 1 for name, p in module.named_parameters() if "bias" in name)  # weight decay passes over vectors


def test_each_member_is_a_plain_perceptron():
    module, x, _ = configured(hidden=[4, 3])
    encoded, numbers = module.encode(x)
    net = module.net
    first = net.linear(encoded) + net.bins(numbers)
    odds = []
    for k in range(3):
        plain = nn.Sequential(nn.ReLU(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 1))
        for layer, weight, bias in zip((plain[1], plain[3]), net.weights, net.biases, strict=True):
            layer.weight.data, layer.bias.data = weight[k].T, bias.view(3, -1)[k]
        odds.append(plain(first[:, 4 * k : 4 * k + 4]).squeeze(1))
    torch.testing.assert_close(net(encoded, numbers), torch.stack(odds))
    torch.testing.assert_close(module(x), sum(odds) / 3)


def test_a_members_loss_moves_no_weight_of_another():
    module, x, y = configured(hidden=[4, 3])
    F.binary_cross_entropy_with_logits(module.net(*module.encode(x))[1], y.float()).backward()
    net = module.net
    for gradient in (net.linear.weight.grad.view(3, 4, -1), *(w.grad for w in net.weights), *(b.grad.view(3, -1) for b in net.biases)):
        assert gradient[1].abs().sum() > 0 and gradient[0].abs().sum() == gradient[2].abs().sum() == 0
    for gradient in (net.bins.own.grad, net.bins.above.grad):
        units = gradient.abs().sum((0, 1)).view(3, 4).sum(1)
        assert units[1] > 0 and units[0] == units[2] == 0


def test_the_loss_is_the_mean_of_the_members_own_losses_and_its_gradient_the_formula():
    module, x, y = configured()
    encoded, numbers = module.encode(x)
    odds = module.net(encoded, numbers).detach()
    p = odds.sigmoid()
    losses = -(y * p.log() + (1 - y) * (1 - p).log()).mean(1)  # (3,)
    loss = module.loss((encoded, numbers, y))
    torch.testing.assert_close(loss, losses.mean())
    assert loss > F.binary_cross_entropy_with_logits(odds.mean(0), y.float())  # Jensen: the mean of the members is no worse
    loss.backward()
    torch.testing.assert_close(module.net.biases[-1].grad, (p - y).mean(1) / 3)


def test_dropout_leaves_out_units_in_training_only():
    net = Members(1, 0, 4, 2, [1000], 0.3, 0.0)
    net.linear.bias.data.fill_(1.0)
    net.weights[0].data.fill_(1.0)
    x, numbers = torch.zeros(200, 1), torch.zeros(200, 0, dtype=torch.int64)
    assert torch.equal(net.eval()(x, numbers), torch.full((2, 200), 1000.0))
    kept = net.train()(x, numbers) * 0.7  # of 1000 units a binomial number: mean 700, variance 210
    assert abs(kept.mean().item() - 700) < 5 and 150 < kept.var().item() < 280


def test_a_table_without_known_groups_or_without_continuous_columns_will_do():
    x, y, spec = table()
    for continuous, groups in (([0, 1], {}), ([], {})):
        module = Tabular(bins=6, members=2)
        module.configure(spec | {"continuous": continuous, "groups": groups})
        module.net.bins.measure(x[:, continuous])
        module.loss((*module.encode(x), y)).backward()
        assert module(x).shape == (50,) and module.net.linear.weight.grad.isfinite().all()


def test_a_fresh_module_with_the_same_state_answers_the_same():
    module, x, _ = configured()
    other = Tabular(bins=6, members=3, hidden=[4])
    other.configure(table()[2])
    other.load_state_dict(module.state_dict())
    assert torch.equal(other.eval()(x), module(x))
    assert all(value.isfinite().all() for value in module.state_dict().values())  # a moving average of infinities is no number


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"bins": 3}, "model.bins must lie between 4 and 1024, not 3"),
        ({"members": 0}, "model.members must be at least 1, not 0"),
        ({"hidden": []}, "model.hidden must be a list of whole numbers of at least 1"),
        ({"hidden": 32}, "model.hidden must be a list of whole numbers of at least 1"),
        ({"dropout": 1.0}, "model.dropout must lie between 0 and 0.95, not 1.0"),
        ({"init": -0.1}, "model.init must be at least 0, not -0.1"),
    ],
)
def test_a_wrong_option_is_one_sentence(options: dict[str, Any], sentence: str):
    with pytest.raises(TypedError, match=sentence):
        Tabular(**options)
