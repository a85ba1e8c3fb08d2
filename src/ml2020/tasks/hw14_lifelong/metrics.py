"""What became of each task: scores by task, and what the matrix of accuracies says about memory.

The matrix R has a row before any training and a row after each task: R[i, j] is the accuracy on task j after i tasks, (T + 1, T).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def average_accuracy(matrix: Tensor) -> float:
    """Mean over all tasks after the last one: (1/T) sum_j R[T, j] (Lopez-Paz and Ranzato 2017)."""
    return float(_checked(matrix)[-1].mean())


def backward_transfer(matrix: Tensor) -> float:
    """What later tasks did to earlier ones: mean over j < T of R[T, j] - R[j, j]; negative where they are forgotten (the same)."""
    matrix = _checked(matrix)
    return float((matrix[-1] - matrix[1:].diagonal())[:-1].mean())


def forward_transfer(matrix: Tensor) -> float:
    """What a task gains before it is trained on: mean over j > 1 of R[j - 1, j] - R[0, j], against the random start (the same)."""
    matrix = _checked(matrix)
    return float((matrix[:-1].diagonal() - matrix[0])[1:].mean())


def forgetting(matrix: Tensor) -> float:
    """Mean over j < T of the best accuracy on task j after any task before the last, less the last one (Chaudhry et al. 2018)."""
    matrix = _checked(matrix)
    return float((matrix[1:-1].amax(0) - matrix[-1])[:-1].mean())


def memory(matrix: Tensor) -> dict[str, float]:
    """All four by name."""
    functions = (average_accuracy, backward_transfer, forward_transfer, forgetting)
    return {function.__name__: function(matrix) for function in functions}


def by_stage(losses: Tensor, names: Sequence[str]) -> dict[str, float]:
    """A matrix (T + 1, T) by names: loss_NAME_start, then loss_NAME_after_OTHER for each task in order."""
    stages = ["start", *(f"after_{name}" for name in names)]
    return {
        f"loss_{name}_{stage}": value
        for stage, row in zip(stages, losses.tolist(), strict=True)
        for name, value in zip(names, row, strict=True)
    }


def _checked(matrix: Tensor) -> Tensor:
    """The matrix in float64, if it has the right shape."""
    if matrix.ndim != 2 or matrix.shape[1] < 2 or matrix.shape[0] != matrix.shape[1] + 1:
        raise ValueError(f"a matrix of T + 1 rows and T >= 2 columns is needed, not {tuple(matrix.shape)}")
    return matrix.double()


class Scores:
    """Accuracy and cross-entropy of each task, added up over batches."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = list(names)
        self.sums = torch.zeros(3, len(self.names), dtype=torch.float64)  # right answers, cross-entropy, pictures

    def add(self, logits: Tensor, labels: Tensor, tasks: Tensor) -> None:
        """logits (n, outputs), an output that does not compete at -inf; labels and tasks (n,) int64."""
        right = (logits.argmax(1) == labels).double()
        loss = F.cross_entropy(logits.double(), labels, reduction="none")
        values = torch.stack([right, loss, torch.ones_like(loss)]).cpu()
        self.sums.index_add_(1, tasks.cpu(), values)

    def take(self) -> dict[str, float]:
        """acc and loss, means over the tasks; acc_NAME and loss_NAME of each; begins anew."""
        (right, loss, count), self.sums = self.sums, torch.zeros_like(self.sums)
        rows = {"acc": right / count, "loss": loss / count}
        means = {name: float(row.mean()) for name, row in rows.items()}
        return means | {f"{name}_{task}": float(v) for name, row in rows.items() for task, v in zip(self.names, row, strict=True)}
