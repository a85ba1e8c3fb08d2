"""Consistency training: a text keeps its meaning when some words are left out (UDA, Xie et al. 2020, with word dropout as the change).

    loss = cross-entropy of labelled texts + weight * mean over sure unlabelled texts of KL(p(text) || q(text without some words))

p is the network's answer to the whole text, taken as given; a text counts where p or 1 - p is at least `threshold`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ml2020.core.errors import at_least, within
from ml2020.core.module import Phase
from ml2020.data.ragged import Ragged
from ml2020.tasks.hw04_rnn.model import Sentiment
from ml2020.tasks.hw04_rnn.networks import without_words


class Consistency(Sentiment):
    """Labelled and unlabelled texts in one loader; `pool_texts` of these, `labelled_share` of an epoch is labelled texts, repeated."""

    def __init__(
        self,
        net: Any,
        vectors: str = "none",
        frozen: bool = False,
        weights: str = "best",
        weight: float = 1.0,
        threshold: float = 0.8,
        drop: float = 0.2,
        pool_texts: int = 10_000,
        labelled_share: float = 0.33,
    ) -> None:
        super().__init__(net, vectors, frozen, weights)
        self.weight = at_least(0, weight, "model.weight")
        self.threshold = within(0.5, 1, threshold, "model.threshold")
        self.drop = within(0, 0.9, drop, "model.drop")
        self.pool_texts = at_least(1, pool_texts, "model.pool_texts")
        self.labelled_share = within(0, 0.9, labelled_share, "model.labelled_share")

    def configure(self, spec: dict[str, Any]) -> None:
        super().configure(spec)
        self.need_unlabelled(spec)
        self.pad, self.unknown = spec["pad"], spec["unk"]

    def phases(self, data: Any) -> Iterator[Phase]:
        """One phase; the label of an unlabelled text is -1."""
        self.data = data
        texts, labels = data.splits["train"]
        pool = data.pool[: self.pool_texts]
        times = max(1, round(self.labelled_share / (1 - self.labelled_share) * len(pool) / len(texts)))
        columns = Ragged.cat([texts] * times + [pool])
        loader = data.batches(columns, torch.cat([labels] * times + [-torch.ones(len(pool), dtype=torch.int64)]), shuffle=True)
        yield Phase("labelled", loader, data.val_dataloader())

    def loss(self, batch: tuple[Tensor, ...]) -> Tensor:
        """The loss at the top, of tokens (n, t), lengths (n,) and labels (n,), -1 where a text has none."""
        tokens, lengths, labels = batch
        known = labels >= 0
        odds = self(tokens, lengths)
        other = self(without_words(tokens, self.drop, self.pad, self.unknown), lengths)
        targets = labels.clamp_min(0).to(odds.dtype)
        p = odds.detach().sigmoid()
        sure = ~known & ((p - 0.5).abs() >= self.threshold - 0.5)
        # Masked sums, because a batch may hold texts of one kind alone.
        cross_entropy = (F.binary_cross_entropy_with_logits(odds, targets, reduction="none") * known).sum() / known.sum().clamp_min(1)
        divergence = F.binary_cross_entropy_with_logits(other, p, reduction="none") - entropy(p)
        consistency = (divergence * sure).sum() / (~known).sum().clamp_min(1)
        self.log_row(cross_entropy=cross_entropy, consistency=consistency)
        return cross_entropy + self.weight * consistency


def entropy(p: Tensor) -> Tensor:
    """Of a coin that falls on positive with probability p, in nats."""
    return -torch.xlogy(p, p) - torch.xlogy(1 - p, 1 - p)
