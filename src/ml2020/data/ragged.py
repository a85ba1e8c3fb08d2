"""Texts of any length without padding, and batches of texts of similar length, padded as little as possible."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from ml2020.core.draws import Draws
from ml2020.core.loaders import TensorLoader

PAD = 0
_CHUNK = 50  # batches within which texts are sorted: enough for even lengths, few enough for new company in every epoch


@dataclass
class Ragged:
    """n texts one after another: `tokens` (total,) int32; text i is tokens[offsets[i] : offsets[i + 1]], `offsets` (n + 1,) int64."""

    tokens: Tensor
    offsets: Tensor

    @classmethod
    def of(cls, texts: Sequence[Sequence[int]]) -> Ragged:
        """From lists of numbers."""
        lengths = torch.tensor([len(text) for text in texts], dtype=torch.int64)
        return cls.of_lengths(torch.tensor(list(chain.from_iterable(texts)), dtype=torch.int32), lengths)

    @classmethod
    def of_lengths(cls, tokens: Tensor, lengths: Tensor) -> Ragged:
        """From tokens (total,) and how many of them each text has, (n,) int64."""
        return cls(tokens, torch.cat([lengths.new_zeros(1), lengths.cumsum(0)]))

    @classmethod
    def cat(cls, parts: Sequence[Ragged]) -> Ragged:
        """The texts of all parts, one part after another."""
        return cls.of_lengths(torch.cat([part.tokens for part in parts]), torch.cat([part.lengths for part in parts]))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def device(self) -> torch.device:
        return self.tokens.device

    @property
    def lengths(self) -> Tensor:
        """(n,) int64, tokens of each text."""
        return self.offsets.diff()

    def to(self, device: torch.device | str) -> Ragged:
        return Ragged(self.tokens.to(device), self.offsets.to(device))

    def __getitem__(self, index: Tensor | slice) -> Ragged:
        """The texts at `index`: (m,) int64, (n,) bool, or a stretch."""
        lengths = self.lengths[index]
        moved = self.offsets[:-1][index] - (lengths.cumsum(0) - lengths)  # how far each text stood behind its new place
        places = torch.repeat_interleave(moved, lengths) + torch.arange(int(lengths.sum()), device=self.device)
        return Ragged.of_lengths(self.tokens[places], lengths)

    def padded(self, index: Tensor, width: int | None = None) -> tuple[Tensor, Tensor]:
        """The texts at `index` (m,) as tokens (m, width) int64, with PAD on the right, and lengths (m,) int64.

        Without `width` the longest of them gives it; longer texts are cut off at its end, and their lengths with them.
        """
        start = self.offsets[index]
        lengths = self.offsets[index + 1] - start
        if width is None:
            width = int(lengths.max())
        else:
            lengths = lengths.clamp_max(width)
        column = torch.arange(width, device=self.device)
        places = (start[:, None] + column).clamp_max_(len(self.tokens) - 1)
        return self.tokens[places].masked_fill_(column >= lengths[:, None], PAD).long(), lengths


class LengthLoader(TensorLoader):
    """A TensorLoader over texts and tensors that share their first dimension; a batch holds texts of similar length.

    A batch gives for each Ragged its tokens (n, longest) int64 and lengths (n,) int64, for each tensor its rows, in the order of
    `columns`. Shuffled, an epoch is a random order of all texts, sorted by length within chunks of at least 50 batches; then its
    batches are shuffled. Not shuffled, the texts come from the shortest to the longest (a column of their numbers tells which is
    which). Lengths are those of the first Ragged, among equals those of the next. With `pad_to` every text is cut or padded to so
    many tokens; then nothing is sorted.
    """

    def __init__(self, columns: Sequence[Ragged | Tensor], batch_size: int, *, pad_to: int | None = None, **options: Any) -> None:
        """`options`: TensorLoader's."""
        super().__init__(columns, batch_size, **options)
        self.pad_to = pad_to

    @property
    def ordered(self) -> bool:
        return self.pad_to is None or super().ordered

    def order(self, number: int) -> Tensor:
        """The order of the texts in a pass, (n,) int64; the same in every process."""
        order = super().order(number)
        if self.pad_to is not None:
            return order
        if not self.shuffle:
            return order[self.by_length(order)]
        full, rest = divmod(len(order), self.batch_size)
        chunks = max(1, full // _CHUNK)
        chunk = (torch.arange(len(order)) // (self.batch_size * _CHUNK)).clamp_max(chunks - 1)
        order, random = order[self.by_length(order, chunk)], order
        # The batch that is not full comes last, but is cut out of the last chunk at random: the longest texts would always be in it.
        first = (chunks - 1) * _CHUNK
        start = self.batch_size * (first + int(random[0]) % (full - first + 1))
        batches = torch.cat([order[:start], order[start + rest :]]).view(full, self.batch_size)
        shuffled = random[random < full]  # the small numbers of a random order are in random order
        return torch.cat([batches[shuffled].flatten(), order[start : start + rest]])

    def by_length(self, order: Tensor, chunk: Tensor | int = 0) -> Tensor:
        """What sorts `order` (m,) by chunk, then by length; equals stay as they are."""
        key = torch.zeros_like(order) + chunk
        for column in self.tensors:
            if isinstance(column, Ragged):
                lengths = column.lengths.cpu()
                key = key * (int(lengths.max()) + 1) + lengths[order]
        return key.argsort(stable=True)

    def take(self, index: Tensor | slice, number: int = 0) -> tuple[Any, ...]:
        """The texts at `index`, padded; transformed as in the given pass."""
        if isinstance(index, slice):
            index = torch.arange(*index.indices(len(self.tensors[0])), device=self.tensors[0].device)
        rows: list[Tensor] = []
        for column in self.tensors:
            rows += column.padded(index, self.pad_to) if isinstance(column, Ragged) else [column[index]]
        return tuple(rows) if self.transform is None else self.transform(Draws(self.seed, number, index), *rows)
