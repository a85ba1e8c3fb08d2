"""Both models against scikit-learn, and their metrics by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score
from sklearn.naive_bayes import GaussianNB

from ml2020.core.errors import TypedError
from ml2020.tasks.hw02_classification.bins import measured
from ml2020.tasks.hw02_classification.generative import Generative
from ml2020.tasks.hw02_classification.logistic import Logistic, RowByRow


def people(count: int = 600, d: int = 6) -> tuple[torch.Tensor, torch.Tensor, dict[str, Any]]:
    """Correlated columns of different sizes, labels that depend on them, and the spec."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(count, d)) @ rng.normal(size=(d, d)) * np.arange(1, d + 1) + 5
    y = (rng.random(count) < 1 / (1 + np.exp(-(x[:, 0] - 5 + 0.1 * x[:, 1])))).astype(np.int64)
    spec = {"input": [d], "columns": [f"c{i}" for i in range(d)], "continuous": list(range(d)), "tested": "val"}
    spec |= {"mean": x.mean(0).tolist(), "std": x.std(0).tolist()}
    return torch.tensor(x), torch.tensor(y), spec


def trained(module: Any, spec: dict[str, Any], x: torch.Tensor, y: torch.Tensor, batch: int = 1000, passes: int = 1) -> Any:
    """The module after `passes` passes over batches, without a trainer."""
    module.configure(spec)
    if getattr(module, "bins", 0):
        module.edges.copy_(measured(x[:, module.continuous], module.bins))
    rows = x if isinstance(module, Generative) else module.features(x)
    starts = range(0, len(x), batch)

    class Trainer:
        is_last_batch = False

    module._trainer = Trainer()
    before = type(module).trainer
    type(module).trainer = property(lambda self: self._trainer)
    try:
        for _ in range(passes):
            for start in starts:
                Trainer.is_last_batch = start == starts[-1]
                module.training_step((rows[start : start + batch], y[start : start + batch]), 0)
    finally:
        type(module).trainer = before
    return module


def test_bins_are_columns_of_steps_and_newton_on_them_is_scikit_learns_optimum():
    x, y, spec = people(600, 3)
    spec["continuous"] = [1]
    module = trained(Logistic(l2=1e-3, solver="newton", bins=8), spec, x, y, 100, passes=12)
    edges = module.edges[0].numpy()
    expanded = np.concatenate([module.standardised(x).numpy(), x.numpy()[:, 1:2] > edges], 1)
    np.testing.assert_array_equal(module.features(x).numpy(), expanded)
    inside = edges[edges < x[:, 1].max().item()]
    assert module.edges.shape == (1, 7) and len(inside) >= 5 and sorted(inside) == list(inside) and x[:, 1].min() < inside[0]
    theirs = LogisticRegression(C=1 / (2 * len(x) * 1e-3), tol=1e-12, solver="newton-cholesky").fit(expanded, y.numpy())
    np.testing.assert_allclose(module(x).detach().numpy(), theirs.decision_function(expanded), atol=1e-7)
    assert module.weights().shape == (3,)


@pytest.mark.parametrize("shrinkage", [0.0, 0.3])
@pytest.mark.parametrize("batch", [1000, 37])
def test_the_shared_covariance_gives_scikit_learns_decision_values(shrinkage: float, batch: int):
    x, y, spec = people()
    module = trained(Generative(shrinkage=shrinkage), spec, x, y, batch)
    z = module.standardised(x).numpy()
    theirs = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage or None).fit(z, y.numpy())
    np.testing.assert_allclose(module(x).numpy(), theirs.decision_function(z), atol=1e-8)


def test_separate_covariances_give_the_odds_of_two_gaussians():
    x, y, spec = people()
    module = trained(Generative("separate"), spec, x, y, 100)
    z, labels = module.standardised(x).numpy(), y.numpy()
    log = []
    for c in (0, 1):
        own = z[labels == c]
        gaussian = multivariate_normal(own.mean(0), np.cov(own.T, bias=True))
        log.append(gaussian.logpdf(z) + np.log(len(own) / len(z)))
    np.testing.assert_allclose(module(x).numpy(), log[1] - log[0], atol=1e-8)


def test_the_diagonal_model_orders_rows_as_naive_bayes_with_one_spread():
    x, y, spec = people()
    module = trained(Generative("diagonal"), spec, x, y)
    z = module.standardised(x).numpy()
    theirs = GaussianNB().fit(z, y.numpy())
    theirs.var_ = np.repeat((theirs.class_prior_[:, None] * theirs.var_).sum(0, keepdims=True), 2, 0)
    log_p = theirs.predict_log_proba(z)
    np.testing.assert_allclose(module(x).numpy(), log_p[:, 1] - log_p[:, 0], atol=1e-6)


def test_columns_that_are_sums_of_others_change_no_answer():
    x, y, spec = people()
    module = trained(Generative(), spec, x, y)
    more = torch.cat([x, x[:, :1] + x[:, 1:2], torch.ones(len(x), 1)], 1).double()
    names = [*spec["columns"], "sum", "one"]
    std = more.std(0, correction=0)
    std[-1] = 1.0
    wider = trained(Generative(), spec | {"columns": names, "mean": more.mean(0).tolist(), "std": std.tolist()}, more, y)
    np.testing.assert_allclose(wider(more).numpy(), module(x).numpy(), atol=1e-6)


@pytest.mark.parametrize("l2", [1e-4, 0.01])
@pytest.mark.parametrize("batch", [1000, 37])
def test_newton_finds_scikit_learns_decision_values(l2: float, batch: int):
    x, y, spec = people()
    module = trained(Logistic(l2=l2, solver="newton"), spec, x, y, batch, passes=12)
    z = module.standardised(x).numpy()
    theirs = LogisticRegression(C=1 / (2 * len(x) * l2), solver="newton-cholesky", tol=1e-12, max_iter=200).fit(z, y.numpy())
    np.testing.assert_allclose(module(x).numpy(), theirs.decision_function(z), atol=1e-7)


def test_newton_takes_back_steps_that_go_too_far():
    # Two far groups and one row between: from a bad start the full step overshoots.
    x = torch.tensor([[-8.0], [-7.0], [0.3], [7.0], [9.0]], dtype=torch.float64)
    y = torch.tensor([0, 1, 0, 1, 1])
    spec = {"columns": ["x"], "tested": "val", "mean": [0.0], "std": [1.0]}
    module = Logistic(l2=1e-3, solver="newton")
    module.configure(spec)
    module.linear.weight.fill_(3.0)
    module.configure = lambda spec: None
    losses = []
    module.log_row = lambda loss: losses.append(float(loss))
    trained(module, spec, x, y, passes=30)
    assert max(losses[1:]) > losses[0] and losses[-1] <= min(losses) + 1e-12
    w, b = module.linear.weight.item(), module.linear.bias.item()
    p = torch.sigmoid(x[:, 0] * w + b)
    assert abs(float(((p - y) * x[:, 0]).mean() + 2e-3 * w)) < 1e-9 and abs(float((p - y).mean())) < 1e-9


def test_the_gradient_of_descent_is_the_formula():
    x, y, spec = people(40)
    module = Logistic(l2=0.05)
    module.configure(spec)
    module.double()
    torch.nn.init.normal_(module.linear.weight)
    z = module.standardised(x)
    module.loss((z, y)).backward()
    w = module.linear.weight[0].detach()
    torch.testing.assert_close(module.linear.weight.grad[0], z.T @ (module(x).detach().sigmoid() - y) / 40 + 0.1 * w)


def test_row_by_row_is_sgd_with_one_row_a_batch():
    x, y, spec = people(50)
    module = trained(RowByRow(lr=0.1), spec, x, y, batch=7)
    z = module.standardised(x)
    w, b = torch.zeros(6, dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    for row, label in zip(z, y, strict=True):
        error = label - torch.sigmoid(row @ w + b)
        w, b = w + 0.1 * error * row, b + 0.1 * error
    torch.testing.assert_close(module.linear.weight[0], w)
    torch.testing.assert_close(module.linear.bias[0], b)


def test_the_metrics_are_scikit_learns():
    x, y, spec = people(500)
    module = trained(Generative(), spec, x, y)
    for start in (0, 300):
        module.evaluate_step((x[start : start + 300], y[start : start + 300]))
    values = {name: float(value) for name, value in module.evaluate_end().items()}
    p, labels = module(x).sigmoid().numpy(), y.numpy()
    assert values["acc"] == pytest.approx(((p > 0.5) == labels).mean()) and values["error"] == pytest.approx(1 - values["acc"])
    assert values["auc"] == pytest.approx(roc_auc_score(labels, p), abs=1e-6)
    assert values["loss"] == pytest.approx(log_loss(labels, p)) and values["brier"] == pytest.approx(brier_score_loss(labels, p))
    tenths = np.argsort(p).reshape(10, 50)
    assert values["calibration"] == pytest.approx(np.mean([abs(p[rows].mean() - labels[rows].mean()) for rows in tenths]))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Generative("full"), "model.covariance=full is not one of shared, separate, diagonal"),
        (lambda: Generative(shrinkage=1.5), "model.shrinkage must lie between 0 and 1, not 1.5"),
        (lambda: Logistic(solver="newtn"), "model.solver=newtn is not one of descent, newton; did you mean newton"),
        (lambda: Logistic(l2=-1), "model.l2 must be at least 0, not -1"),
        (lambda: RowByRow(lr=-1), "model.lr must be at least 0, not -1"),
    ],
)
def test_a_wrong_option_is_one_sentence(make: Any, sentence: str):
    with pytest.raises(TypedError, match=sentence):
        make()
