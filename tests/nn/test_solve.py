"""Singular systems against numpy's pseudo-inverse."""

from __future__ import annotations

import numpy as np
import torch

from ml2020.nn.solve import eigen, gram, solve


def test_a_regular_system_is_solved():
    a = torch.tensor([[4.0, 1.0], [1.0, 3.0]], dtype=torch.float64)
    torch.testing.assert_close(
        solve(a, torch.tensor([1.0, 2.0], dtype=torch.float64)), torch.tensor([1 / 11, 7 / 11], dtype=torch.float64)
    )


def test_a_singular_one_gets_the_solution_of_least_length_as_numpys_pinv():
    x = np.random.default_rng(0).normal(size=(50, 4))
    x = np.column_stack([x, x[:, 0] + x[:, 1], np.zeros(50)])  # a sum of two columns, and a constant
    a, b = x.T @ x, x.T @ x[:, 2]
    np.testing.assert_allclose(solve(torch.tensor(a), torch.tensor(b)).numpy(), np.linalg.pinv(a, hermitian=True) @ b, atol=1e-10)
    assert len(eigen(torch.tensor(a))[0]) == 4


def test_the_gram_matrix_is_the_sum_of_outer_products():
    x = torch.tensor([[1.0, 2.0], [3.0, -1.0], [0.0, 4.0]], dtype=torch.float64)
    assert gram(x).tolist() == [[10.0, -1.0], [-1.0, 21.0]]
    assert gram(x[:0]).tolist() == [[0.0, 0.0], [0.0, 0.0]]
