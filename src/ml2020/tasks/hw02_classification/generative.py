"""A Gaussian for each class, and Bayes' rule between them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from ml2020.core.data import DataModule
from ml2020.core.errors import one_of, within
from ml2020.core.module import Phase
from ml2020.nn.solve import eigen, gram, solve
from ml2020.tasks.hw02_classification.model import TwoClasses


class Generative(TwoClasses):
    """P(x | y = c) is a Gaussian with the class's mean m_c; P(y = c) is its share of the rows. One pass, sums in float64.

    `covariance`: "shared", S = sum_c P(c) S_c (log odds linear in x: Fisher 1936's discriminant), "separate" S_c (quadratic), or
    "diagonal", shared without its off-diagonal part (naive Bayes). `shrinkage` a replaces S by (1 - a) S + a tr(S) / d I. Log odds:

        x' w + b,  w = S^-1 (m_1 - m_0),  b = -(m_1 + m_0)' w / 2 + log P(1) / P(0)                                     (shared)
        q_1 - q_0,  q_c = -(x - m_c)' S_c^-1 (x - m_c) / 2 - log |S_c| / 2 + log P(c)                                   (separate)
    """

    automatic_optimization = False
    choose_by = "last"

    def __init__(self, covariance: str = "shared", shrinkage: float = 0.0, normalize: bool = True) -> None:
        super().__init__(normalize)
        self.kind = one_of(("shared", "separate", "diagonal"), covariance, "model.covariance")
        self.shrinkage = within(0, 1, shrinkage, "model.shrinkage")

    def configure(self, spec: dict[str, Any]) -> None:
        """Buffers for the sums, and for what is made of them."""
        super().configure(spec)
        d = len(self.columns)
        self.linear = nn.Linear(d, 1).double().requires_grad_(False)
        self.register_buffer("sums", torch.zeros(2, d + 1, d + 1, dtype=torch.float64))  # of z z' with z = (x, 1), class by class
        if self.kind == "separate":
            self.register_buffer("centres", torch.zeros(2, d, dtype=torch.float64))
            self.register_buffer("inverses", torch.zeros(2, d, d, dtype=torch.float64))
            self.register_buffer("levels", torch.zeros(2, dtype=torch.float64))  # log P(c) - log |S_c| / 2

    def phases(self, data: DataModule) -> Iterator[Phase]:
        loader = data.train_dataloader()
        loader.shuffle = False  # a sum does not care
        yield Phase("fit", loader, data.val_dataloader(), epochs=1)

    def forward(self, rows: Tensor) -> Tensor:
        x = self.standardised(rows)
        if self.kind != "separate":
            return self.linear(x).squeeze(1)
        off = x[:, None] - self.centres  # (n, 2, d)
        q = self.levels - torch.einsum("ncd,cde,nce->nc", off, self.inverses, off) / 2
        return q[:, 1] - q[:, 0]

    def weights(self) -> Tensor | None:
        return None if self.kind == "separate" else self.linear.weight[0]

    def training_step(self, batch: tuple[Tensor, ...], index: int) -> None:
        """Add a batch to the sums; after the last one, make the Gaussians."""
        rows, labels = batch
        x = self.standardised(rows)
        z = torch.cat([x, torch.ones_like(x[:, :1])], 1)
        own = [z[labels == c] for c in (0, 1)]
        self.sums += self.summed(torch.stack([gram(part) for part in own]))[0]
        if self.trainer.is_last_batch:
            self.solve()

    def solve(self) -> None:
        """Means, covariances and shares from the sums, and from them the log odds."""
        counts = self.sums[:, -1, -1]
        prior = (counts / counts.sum()).log()
        means = self.sums[:, :-1, -1] / counts[:, None]
        covariances = self.sums[:, :-1, :-1] / counts[:, None, None] - means[:, :, None] * means[:, None, :]
        if self.kind == "separate":
            self.centres.copy_(means)
            for c in (0, 1):
                values, vectors = eigen(self.shrunk(covariances[c]))
                self.inverses[c] = vectors / values @ vectors.T
                self.levels[c] = prior[c] - values.log().sum() / 2
            return
        shared = torch.einsum("c,cde->de", prior.exp(), covariances)
        if self.kind == "diagonal":
            shared = shared.diagonal().diag()
        w = solve(self.shrunk(shared), means[1] - means[0])
        self.linear.weight.copy_(w[None])
        self.linear.bias.copy_(-(means[1] + means[0]) @ w / 2 + prior[1] - prior[0])

    def shrunk(self, covariance: Tensor) -> Tensor:
        """(1 - a) S + a tr(S) / d I (Ledoit and Wolf 2004, with a that is given)."""
        identity = torch.eye(len(covariance), dtype=covariance.dtype, device=covariance.device)
        return (1 - self.shrinkage) * covariance + self.shrinkage * covariance.diagonal().mean() * identity
