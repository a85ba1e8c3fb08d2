"""Columns, closed form and descent against numpy and scikit-learn."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import HuberRegressor, Ridge

from ml2020.core.errors import TypedError
from ml2020.tasks.hw01_regression.closed_form import ClosedForm
from ml2020.tasks.hw01_regression.columns import Columns
from ml2020.tasks.hw01_regression.data import Course
from ml2020.tasks.hw01_regression.model import GradientDescent
from ml2020.tasks.hw01_regression.original import Original
from ml2020.tasks.hw01_regression.station import MEASUREMENTS

SHARED = Path(os.environ.get("ML2020_SHARED_DATA") or Path(__file__).parents[4] / "shared" / "data") / "hw01"
PM25, WIND = MEASUREMENTS.index("PM2.5"), MEASUREMENTS.index("WIND_DIREC")


def table(count: int = 400) -> tuple[torch.Tensor, torch.Tensor, dict[str, Any]]:
    """Windows of noise around levels of their own, a target that is linear in them, and their spec."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(count, 18, 9, generator=generator, dtype=torch.float64) * torch.arange(1.0, 19)[:, None] + 30
    y = x[:, PM25, -1] - 0.5 * x[:, 3, 2] + torch.randn(count, generator=generator, dtype=torch.float64)
    spec = {"input": [18, 9], "measurements": list(MEASUREMENTS), "mean": x.mean((0, 2)).tolist(), "std": x.std((0, 2)).tolist()}
    return x, y, spec | {"target_mean": y.mean().item(), "target_std": y.std().item()}


def solved(
    x: torch.Tensor, y: torch.Tensor, spec: dict[str, Any], batch: int = 1000, passes: int = 1, columns: Any = Columns, **options: Any
) -> ClosedForm:
    """A closed form over batches of a size, without a trainer."""
    module = ClosedForm(columns, passes=passes, **options)
    module.configure(spec)
    rows = list(range(0, len(x), batch))

    class Trainer:
        current_epoch, is_last_batch, world_size = 0, False, 1

    module._trainer = Trainer()
    type(module).trainer, before = property(lambda self: self._trainer), type(module).trainer
    try:
        for Trainer.current_epoch in range(passes):
            for start in rows:
                Trainer.is_last_batch = start == rows[-1]
                module.training_step((x[start : start + batch], y[start : start + batch]), 0)
    finally:
        type(module).trainer = before
    return module


def test_columns_are_measurements_by_hour_then_products():
    x, _, spec = table(6)
    columns = Columns(spec, hours=2, measurements=["PM2.5", "O3"], products=["PM2.5"])
    assert columns.names == [("PM2.5", 7), ("PM2.5", 8), ("O3", 7), ("O3", 8), ("PM2.5 x PM2.5", 8)]
    z = (x[:, PM25] - spec["mean"][PM25]) / spec["std"][PM25]
    torch.testing.assert_close(columns.raw(x)[:, :2], z[:, 7:])
    torch.testing.assert_close(columns.raw(x)[:, 4], z[:, 8] ** 2)


def test_the_wind_on_a_circle_has_no_jump_at_north():
    x, _, spec = table(2)
    x[0, WIND], x[1, WIND] = 359.0, 1.0
    columns = Columns(spec, hours=1, measurements=["WIND_DIREC"], wind="circle")
    assert [name for name, _ in columns.names] == ["sin WIND_DIREC", "cos WIND_DIREC"]
    a, b = columns.raw(x)
    assert (a - b).norm() == pytest.approx(2 * np.sin(np.deg2rad(1)))


def test_all_products_of_all_measurements():
    _, _, spec = table(2)
    assert Columns(spec, products="all").width == 162 + 18 * 19 // 2


def test_measured_columns_have_mean_0_and_spread_1_and_constants_stay_0():
    x, _, spec = table()
    x[:, 4] = 30.0
    columns = Columns(spec)
    columns.measure(x)
    z = columns(x)
    varying = [i for i, (name, _) in enumerate(columns.names) if name != MEASUREMENTS[4]]
    torch.testing.assert_close(z.mean(0), torch.zeros(162, dtype=torch.float64), atol=1e-9, rtol=0)
    torch.testing.assert_close(z.std(0, correction=0)[varying], torch.ones(153, dtype=torch.float64))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"measurements": ["PM25"]}, r"there is no measurement PM25; did you mean PM2.5"),
        ({"measurements": []}, "takes all or a list of different measurements"),
        ({"measurements": ["O3", "O3"]}, "a list of different measurements"),
        ({"measurements": "some"}, "model.columns.measurements=some is not one of all"),
        ({"hours": 0}, "model.columns.hours must lie between 1 and 9, not 0"),
        ({"wind": "square"}, "model.columns.wind=square is not one of degrees, circle"),
        ({"products": ["PM2.5", "x"]}, "there is no measurement x"),
    ],
)
def test_wrong_columns_are_one_sentence(options: dict, sentence: str):
    with pytest.raises(TypedError, match=sentence):
        Columns(table(2)[2], **options)


@pytest.mark.parametrize("batch", [1000, 37])
def test_the_closed_form_predicts_what_numpys_lstsq_predicts(batch: int):
    x, y, spec = table()
    flat = np.column_stack([x.flatten(1).numpy(), np.ones(len(x))])
    expected = flat @ np.linalg.lstsq(flat, y.numpy(), rcond=None)[0]
    np.testing.assert_allclose(solved(x, y, spec, batch)(x).numpy(), expected, atol=1e-8)


def test_ridge_is_scikit_learns_on_standardised_columns():
    x, y, spec = table()
    module = solved(x, y, spec, batch=50, l2=0.3)
    z = module.columns(x).numpy()
    theirs = Ridge(alpha=0.3 * len(x)).fit(z, y.numpy())  # theirs is a sum over the samples, ours a mean
    np.testing.assert_allclose(module.linear.weight[0].numpy(), theirs.coef_, atol=1e-9)
    assert module.linear.bias.item() == pytest.approx(theirs.intercept_)


def test_the_loss_that_solve_gives_is_that_of_its_weights():
    x, y, spec = table()
    module = solved(x, y, spec)
    means = module.means.take()
    assert means["train/loss"] == pytest.approx((module(x) - y).square().mean().item())


def test_hubers_loss_finds_scikit_learns_weights_among_wild_hours():
    x, y, spec = table(600)
    y[::20] += 500.0
    columns = partial(Columns, hours=2, measurements=["PM2.5", "CO", "O3"])
    z = solved(x, y, spec, columns=columns).columns(x).numpy()
    # scikit-learn finds a scale too, and epsilon counts in it: with delta = epsilon x scale both minimise the same.
    theirs = HuberRegressor(epsilon=1.35, alpha=0.0, max_iter=1000, tol=1e-10).fit(z, y.numpy())
    delta = 1.35 * theirs.scale_
    ours = solved(x, y, spec, batch=100, passes=60, columns=columns, huber=delta)
    np.testing.assert_allclose(ours.linear.weight[0].numpy(), theirs.coef_, rtol=0.02, atol=0.01)  # it stops early

    def loss(answers: torch.Tensor) -> float:
        return torch.nn.functional.huber_loss(answers, y, delta=delta).item()

    assert loss(ours(x)) <= loss(torch.tensor(theirs.predict(z))) + 1e-12
    slope = (ours(x) - y).clamp(-delta, delta)
    assert (ours.columns(x).T @ slope).abs().max() / len(x) < 1e-4 and abs(slope.mean()) < 1e-4
    assert abs(solved(x, y, spec, columns=columns).linear.bias.item() - ours.linear.bias.item()) > 10  # least squares is drawn up


def test_the_gradient_of_descent_is_the_formula():
    # d/dw of mean (x w + b - y)^2 + l2 |w|^2 is 2 x'(x w + b - y) / n + 2 l2 w.
    x, y, spec = table(50)
    module = GradientDescent(Columns, l2=0.1)
    module.configure(spec)
    module.double()
    torch.nn.init.normal_(module.linear.weight)
    module.columns.measure(x)
    z = module.columns(x)
    module.loss((z, y)).backward()
    w, error = module.linear.weight[0].detach(), (module(x) - y).detach()
    torch.testing.assert_close(module.linear.weight.grad[0], 2 * z.T @ error / 50 + 0.2 * w)
    torch.testing.assert_close(module.linear.bias.grad[0], 2 * error.mean())


def test_the_product_form_is_w1_x_w2():
    x, _, spec = table(5)
    module = Original(Columns, scheme="product")
    torch.manual_seed(0)
    module.configure(spec)
    z = ((x - torch.tensor(spec["mean"])[:, None]) / torch.tensor(spec["std"])[:, None]).float()
    by_hand = torch.stack([module.w1 @ window @ module.w2 for window in z]) * spec["target_std"] + spec["target_mean"]
    torch.testing.assert_close(module(x), by_hand, rtol=1e-4, atol=1e-3)
    assert sum(p.numel() for p in module.parameters() if p.requires_grad) == 18 + 9 + 1


@pytest.mark.skipif(not (SHARED / "train.csv").exists(), reason="the course's files are not here")
def test_on_the_courses_table_the_closed_form_predicts_what_numpys_lstsq_predicts():
    data = Course(str(SHARED), split="tail", clean=False)
    data.prepare()
    (x, y), (later, answers) = data.splits["train"], data.splits["val"]
    flat, after = (np.column_stack([part.flatten(1).numpy(), np.ones(len(part))]) for part in (x, later))
    expected = after @ np.linalg.lstsq(flat, y.numpy(), rcond=None)[0]
    predicted = solved(x, y, data.spec, batch=500)(later)
    np.testing.assert_allclose(predicted.numpy(), expected, atol=1e-6)
    assert (predicted - answers).square().mean().sqrt().item() == pytest.approx(5.669, abs=5e-4)
