"""Sine waves, each a regression of its own (Finn et al. 2017, section 5.1)."""

from __future__ import annotations

import math

from torch import Tensor

from ml2020.core.errors import at_least
from ml2020.tasks.hw13_meta.episodes import Episodes, uniform

AMPLITUDE, PHASE, PLACE = (0.1, 5.0), (0.0, 2 * math.pi), (-5.0, 5.0)
_AMPLITUDES, _PHASES, _SUPPORT, _QUERY = range(4)  # streams of random numbers


class Sines:
    """y = a sin(x + b): a in [0.1, 5], b in [0, 2 pi], x in [-5, 5], all uniform. `shots`, `queries`: points of an episode."""

    shape = (1,)
    ways = 0

    def __init__(self, shots: int = 10, queries: int = 10) -> None:
        self.shots = at_least(1, shots, "data.shots")
        self.queries = at_least(1, queries, "data.queries")

    def functions(self, seeds: Tensor) -> tuple[Tensor, Tensor]:
        """a and b of each episode, (tasks, 1, 1) each."""
        a = uniform(seeds, _AMPLITUDES, 1, 1, low=AMPLITUDE[0], high=AMPLITUDE[1])
        b = uniform(seeds, _PHASES, 1, 1, low=PHASE[0], high=PHASE[1])
        return a, b

    def draw(self, seeds: Tensor, shots: int | None = None, queries: int | None = None) -> Episodes:
        """Points of a new function for each seed, (tasks, n, 1); see episodes.Source."""
        a, b = self.functions(seeds)
        support = uniform(seeds, _SUPPORT, shots or self.shots, 1, low=PLACE[0], high=PLACE[1])
        query = uniform(seeds, _QUERY, queries or self.queries, 1, low=PLACE[0], high=PLACE[1])
        return Episodes(support, a * (support + b).sin(), query, a * (query + b).sin())
