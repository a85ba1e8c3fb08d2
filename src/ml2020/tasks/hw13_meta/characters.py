"""Characters in few drawings each: every episode is a choice of characters, told apart by a drawing or two."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ml2020.core.errors import TypedError, UserError, at_least, within
from ml2020.tasks.hw13_meta.episodes import Episodes, uniform, without_replacement

_CLASSES, _DRAWINGS, _WARPS = range(3)  # streams of random numbers


class Characters:
    """Episodes from one tensor of pictures, (classes, drawings, h, w) uint8, white on black.

    An episode has `ways` classes, and of each `shots` drawings to learn from and `queries` others; none comes twice. With `warp` each
    drawing is moved, turned, stretched and slanted by up to so much (see warped). Raises UserError where there are too few classes,
    TypedError where a class has too few drawings.
    """

    def __init__(
        self, pictures: Tensor, ways: int = 5, shots: int = 1, queries: int = 1, what: str = "characters", warp: float = 0.0
    ) -> None:
        self.ways = at_least(2, ways, "data.ways")
        self.shots = at_least(1, shots, "data.shots")
        self.queries = at_least(1, queries, "data.queries")
        self.warp = within(0, 0.5, warp, "data.warp")
        self.classes, self.drawings = pictures.shape[:2]
        self.shape = (1, *pictures.shape[2:])
        if self.classes < ways:
            least = f"; set data.ways to at most {self.classes}" if self.classes > 1 else ""
            raise UserError(f"too few {what}: {self.classes}, where an episode has {ways} (data.ways){least}")
        if shots + queries > self.drawings:
            raise TypedError(
                f"data.shots + data.queries must be at most {self.drawings}, the drawings of a character, not {shots} + {queries}"
            )
        self.pictures = pictures.reshape(-1, *self.shape)

    def draw(self, seeds: Tensor, shots: int | None = None, queries: int | None = None) -> Episodes:
        """Pictures (tasks, ways * shots, 1, h, w) and (tasks, ways * queries, 1, h, w), in [0, 1]; see episodes.Source."""
        shots, queries = shots or self.shots, queries or self.queries
        classes = without_replacement(seeds, _CLASSES, self.classes, take=self.ways)
        drawings = without_replacement(seeds, _DRAWINGS, self.ways, self.drawings, take=shots + queries)
        chosen = classes[:, :, None] * self.drawings + drawings  # (tasks, ways, shots + queries)
        self.pictures = self.pictures.to(seeds.device)  # once, on a GPU
        drawn = Episodes(*self.examples(chosen[:, :, :shots]), *self.examples(chosen[:, :, shots:]))
        if not self.warp:
            return drawn
        moves = self.moves(seeds, self.ways, self.drawings)
        support, query = (moves[:, :, first:last].flatten(1, 2) for first, last in ((0, shots), (shots, shots + queries)))
        return drawn._replace(support=warped(drawn.support, support), query=warped(drawn.query, query))

    def moves(self, seeds: Tensor, *shape: int) -> Tensor:
        """(tasks, *shape, 6), for `warped`."""
        return uniform(seeds, _WARPS, *shape, 6, low=-self.warp, high=self.warp)

    def examples(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """The drawings at places (tasks, ways, n): (tasks, ways * n, 1, h, w), and the class of each, (tasks, ways * n)."""
        tasks, _, count = chosen.shape
        pictures = self.pictures.index_select(0, chosen.flatten()).float().div_(255)  # three times as fast as pictures[chosen]
        targets = torch.arange(self.ways, device=chosen.device).repeat_interleave(count).expand(tasks, -1)
        return pictures.view(tasks, -1, *self.shape), targets


def rotated(pictures: Tensor) -> Tensor:
    """(classes, drawings, s, s) -> (4 classes, drawings, s, s): all upright, then all turned to the left by 90, 180 and 270 degrees.

    A turned character is a new class (Santoro et al. 2016).
    """
    return torch.cat([torch.rot90(pictures, turns, (2, 3)) for turns in range(4)])


def warped(pictures: Tensor, moves: Tensor) -> Tensor:
    """Pictures (tasks, n, 1, h, w), each seen through x -> x + A x + b, where half a side is 1; `moves` (tasks, n, 6) are A and b."""
    steady = torch.eye(2, 3, device=moves.device)
    grid = F.affine_grid(steady + moves.view(-1, 2, 3), [len(moves.view(-1, 6)), *pictures.shape[2:]], align_corners=False)
    return F.grid_sample(pictures.flatten(0, 1), grid, align_corners=False).view_as(pictures)
