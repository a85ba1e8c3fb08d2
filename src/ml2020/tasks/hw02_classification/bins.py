"""Where a continuous column is cut into bins."""

from __future__ import annotations

import torch
from torch import Tensor

NEVER = torch.finfo(torch.float64).max  # a threshold that no value is above; not infinity, whose moving average is no number


def thresholds(values: Tensor, most: int) -> Tensor:
    """At most `most` - 1 ascending thresholds, float64, between the values (n,) of a column.

    With at most `most` distinct values: halfway between neighbours, so that each value has a bin of its own (some sums of capital gains
    are earned by people above 50,000 dollars only). With more: quantiles of the rows that are not at the commonest value (dividends are
    0 for four people of five), and the commonest value has a bin of its own.
    """
    distinct, counts = values.unique(return_counts=True)
    halfway = (distinct[:-1] + distinct[1:]) / 2
    if len(distinct) <= most:
        return halfway
    common = counts.argmax()
    rest = values[values != distinct[common]].sort().values
    shares = torch.arange(1, most - 2, dtype=torch.float64) / (most - 2)
    quantiles = rest[(shares * len(rest)).long()]  # most - 3, and the two sides of the commonest value
    places = torch.cat([torch.searchsorted(distinct, quantiles) - 1, common[None] - 1, common[None]]).unique()
    return halfway[places[(places >= 0) & (places < len(halfway))]]


def measured(values: Tensor, bins: int) -> Tensor:
    """The thresholds of training rows (n, c): (c, bins - 1) float64, each row filled up with NEVER, which no value is above."""
    edges = torch.full((values.shape[1], bins - 1), NEVER, dtype=torch.float64)
    for row, column in zip(edges, values.double().cpu().T, strict=True):
        found = thresholds(column.contiguous(), bins)
        row[: len(found)] = found
    return edges
