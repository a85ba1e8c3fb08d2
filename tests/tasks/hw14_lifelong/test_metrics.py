"""What the matrix of accuracies says, on one worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from ml2020.tasks.hw14_lifelong.metrics import (
    Scores,
    average_accuracy,
    backward_transfer,
    by_stage,
    forgetting,
    forward_transfer,
    memory,
)

# Rows: before any training, then after each of three tasks; columns: the tasks.
MATRIX = torch.tensor([[0.10, 0.12, 0.08], [0.90, 0.30, 0.18], [0.70, 0.80, 0.28], [0.50, 0.90, 0.95]], dtype=torch.float64)


def test_average_accuracy_is_the_mean_of_the_last_row():
    assert average_accuracy(MATRIX) == pytest.approx((0.50 + 0.90 + 0.95) / 3)


def test_backward_transfer_compares_the_end_with_the_day_a_task_was_learnt():
    # Task 1: 0.50 - 0.90 = -0.40; task 2: 0.90 - 0.80 = +0.10.
    assert backward_transfer(MATRIX) == pytest.approx((-0.40 + 0.10) / 2)


def test_forward_transfer_compares_the_day_before_with_the_random_start():
    # Task 2 after task 1: 0.30 - 0.12 = 0.18; task 3 after task 2: 0.28 - 0.08 = 0.20.
    assert forward_transfer(MATRIX) == pytest.approx(0.19)


def test_forgetting_compares_the_end_with_the_best_that_ever_was():
    # Task 1: 0.90 - 0.50 = 0.40; task 2: 0.80 - 0.90 = -0.10, it got better with task 3.
    assert forgetting(MATRIX) == pytest.approx((0.40 - 0.10) / 2)


def test_the_best_may_lie_between_learning_and_the_end_or_before_the_learning():
    matrix = torch.tensor([[0.1, 0.1, 0.1], [0.6, 0.9, 0.1], [0.8, 0.7, 0.1], [0.5, 0.6, 0.9]])
    assert forgetting(matrix) == pytest.approx(((0.8 - 0.5) + (0.9 - 0.6)) / 2)
    assert backward_transfer(matrix) == pytest.approx(((0.5 - 0.6) + (0.6 - 0.7)) / 2)


def test_two_tasks_have_one_term_each():
    assert memory(torch.tensor([[0.1, 0.2], [0.9, 0.4], [0.5, 0.8]])) == pytest.approx(
        {"average_accuracy": 0.65, "backward_transfer": -0.4, "forward_transfer": 0.2, "forgetting": 0.4}
    )


@pytest.mark.parametrize("shape", [(3, 3), (2, 1), (4, 2), (6,)])
def test_another_shape_is_refused(shape: tuple[int, ...]):
    with pytest.raises(ValueError, match=r"T \+ 1 rows and T >= 2 columns"):
        memory(torch.zeros(shape))


def test_scores_are_kept_by_task_and_averaged_over_tasks_not_pictures():
    scores = Scores(["a", "b"])
    sure, even, no = [10.0, 0.0, 0.0], [0.0, 0.0, 0.0], [-math.inf, 0.0, 0.0]
    scores.add(torch.tensor([sure, sure, sure]), torch.tensor([0, 0, 1]), torch.tensor([0, 0, 0]))
    scores.add(torch.tensor([even, no]), torch.tensor([0, 1]), torch.tensor([0, 1]))  # of one batch, two tasks
    low = math.log(math.exp(10) + 2)  # -log p(y) is low - 10 for the sure answer and low for another
    found = scores.take()
    assert found == pytest.approx(
        {
            "acc": (3 / 4 + 1) / 2,
            "acc_a": 3 / 4,
            "acc_b": 1.0,
            "loss": ((2 * (low - 10) + low + math.log(3)) / 4 + math.log(2)) / 2,
            "loss_a": (2 * (low - 10) + low + math.log(3)) / 4,
            "loss_b": math.log(2),
        }
    )
    scores.add(torch.tensor([sure]), torch.tensor([1]), torch.tensor([1]))
    scores.add(torch.tensor([sure]), torch.tensor([0]), torch.tensor([0]))
    assert scores.take()["acc"] == 0.5  # nothing is left of what was taken


def test_losses_are_named_by_task_and_stage():
    found = by_stage(torch.tensor([[2.94, 2.51], [0.09, 11.89], [2.43, 0.69]], dtype=torch.float64), ["mnist", "svhn"])
    assert found == {
        "loss_mnist_start": 2.94,
        "loss_svhn_start": 2.51,
        "loss_mnist_after_mnist": 0.09,
        "loss_svhn_after_mnist": 11.89,
        "loss_mnist_after_svhn": 2.43,
        "loss_svhn_after_svhn": 0.69,
    }
