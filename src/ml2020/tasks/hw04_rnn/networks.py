"""Networks that read a text: a recurrent one, word after word, and one that sees which words there are, but not their order."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from ml2020.core.errors import at_least, one_of, within
from ml2020.data.ragged import Ragged

NEW_SPREAD = 0.1  # standard deviation of the numbers of an embedding that starts at random
POOLS = ("last", "mean", "max", "mean_max", "attention")


class Embedding(nn.Module):
    """(n, t) word numbers -> (n, t, dim) vectors; whole words are left out at random in training.

    `word_dropout`: the share of words that become `unknown` (Iyyer et al. 2015); `dropout`: of the vectors' numbers, the same ones in
    every word of a text (Gal and Ghahramani 2016). `grams`: a word's vector is its own plus the mean of the vectors of its pieces of 3
    to 5 letters, which are hashed into so many rows (Bojanowski et al. 2017); 0 is none. See `spell`.
    """

    def __init__(
        self, words: int, dim: int, pad: int, unknown: int, word_dropout: float = 0.0, dropout: float = 0.0, grams: int = 0
    ) -> None:
        super().__init__()
        self.grams = nn.Parameter(torch.zeros(grams, dim)) if at_least(0, grams, "model.net.grams") else None
        self.table = nn.Embedding(words, dim, padding_idx=pad)
        # Torch's default of 1 is loud: a word that no labelled text holds would keep a vector as long as those that learned something.
        with torch.no_grad():
            self.table.weight.mul_(NEW_SPREAD)
        self.pad, self.unknown = pad, unknown
        self.word_dropout = within(0, 0.9, word_dropout, "model.net.word_dropout")
        self.dropout = nn.Dropout1d(within(0, 0.9, dropout, "model.net.embedding_dropout"))

    def forward(self, tokens: Tensor) -> Tensor:
        if self.training and self.word_dropout:
            tokens = without_words(tokens, self.word_dropout, self.pad, self.unknown)
        return self.dropout(self.vectors(tokens).mT).mT

    def vectors(self, tokens: Tensor) -> Tensor:
        """(n, t) -> (n, t, dim)."""
        if self.grams is None:
            return self.table(tokens)
        own, place = tokens.unique(return_inverse=True)
        pieces = Ragged(self.piece_rows, self.piece_ends)[own]
        spelled = F.embedding_bag(pieces.tokens.long(), self.grams, pieces.offsets[:-1], mode="mean")
        return self.table(tokens) + spelled[place]

    def spell(self, words: Sequence[str]) -> None:
        """Tell how the words are written, in the order of their numbers; the pieces of padding and of unknown words are none."""
        if self.grams is not None:
            silent = {self.pad, self.unknown}
            written = Ragged.of([[] if i in silent else pieces(word, len(self.grams)) for i, word in enumerate(words)])
            self.register_buffer("piece_rows", written.tokens, persistent=False)  # the vocabulary says them again
            self.register_buffer("piece_ends", written.offsets, persistent=False)


def pieces(word: str, rows: int) -> list[int]:
    """The numbers of the pieces of 3 to 5 letters of a word between < and >, by a hash that is the same on every machine."""
    word = f"<{word}>"
    return [zlib.crc32(word[i : i + n].encode()) % rows for n in (3, 4, 5) for i in range(len(word) - n + 1)]


def without_words(tokens: Tensor, share: float, pad: int, unknown: int) -> Tensor:
    """(n, t) word numbers with a random `share` of the words made unknown; padding stays."""
    gone = (torch.rand(tokens.shape, device=tokens.device) < share) & (tokens != pad)
    return tokens.masked_fill(gone, unknown)


class Recurrent(nn.Module):
    """Embedding, LSTM or GRU over the real words of a text (padding is never read), a pooling over its states, dense layer, log odds.

    `pooling`: last (the state after the last word, of either direction), mean, max, mean_max (both side by side), or attention (states
    weighted by softmax of a learned score; Bahdanau et al. 2015). `reads_padding` is the original's slip: all `t` places of the batch
    are read as words, and the last state is that of the last padding.
    """

    def __init__(
        self,
        words: int,
        pad: int,
        unknown: int,
        dim: int = 64,
        hidden: int = 64,
        cell: str = "lstm",
        layers: int = 1,
        bidirectional: bool = True,
        pooling: str = "mean_max",
        dense: int = 0,
        dropout: float = 0.4,
        word_dropout: float = 0.0,
        embedding_dropout: float = 0.0,
        grams: int = 0,
        reads_padding: bool = False,
    ) -> None:
        super().__init__()
        for key, value in (("dim", dim), ("hidden", hidden), ("layers", layers)):
            at_least(1, value, f"model.net.{key}")
        within(0, 0.9, dropout, "model.net.dropout"), at_least(0, dense, "model.net.dense")
        self.embedding = Embedding(words, dim, pad, unknown, word_dropout, embedding_dropout, grams)
        kind = {"lstm": nn.LSTM, "gru": nn.GRU}[one_of(("lstm", "gru"), cell, "model.net.cell")]
        between = dropout if layers > 1 else 0.0
        self.rnn = kind(dim, hidden, layers, batch_first=True, bidirectional=bidirectional, dropout=between)
        self.pooling = one_of(POOLS, pooling, "model.net.pooling")
        self.reads_padding = reads_padding
        width = hidden * (1 + bidirectional)
        self.score = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1)) if pooling == "attention" else None
        width *= 2 if pooling == "mean_max" else 1
        hidden_layer = [nn.Linear(width, dense), nn.ReLU()] if dense else []
        self.head = nn.Sequential(nn.Dropout(dropout), *hidden_layer, nn.Linear(dense or width, 1))

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """(n, t) word numbers and (n,) how many of them are words -> log odds of positive (n,)."""
        if self.reads_padding:
            lengths = torch.full_like(lengths, tokens.shape[1])
        states, last = self.states(tokens, lengths)
        if self.pooling == "last":
            last = last[0] if isinstance(last, tuple) else last  # (layers x directions, n, hidden)
            return self.head(torch.cat(list(last[-1 - self.rnn.bidirectional :]), 1)).squeeze(1)
        return self.head(self.pooled(states, lengths)).squeeze(1)

    def states(self, tokens: Tensor, lengths: Tensor) -> tuple[Tensor, Any]:
        """States (n, longest, width), zeros behind the last word, and what the RNN ends with."""
        vectors = self.embedding(tokens)
        if not self.reads_padding:
            vectors = pack_padded_sequence(vectors, lengths.cpu(), batch_first=True, enforce_sorted=False)
        with torch.autocast("cpu", enabled=False):  # many CPUs have no LSTM in bf16
            states, last = self.rnn(vectors)
        if self.reads_padding:
            return states, last
        return (states if self.pooling == "last" else pad_packed_sequence(states, batch_first=True)[0]), last

    def pooled(self, states: Tensor, lengths: Tensor) -> Tensor:
        """(n, t, width) states, (n,) lengths -> (n, width), or (n, 2 width) for mean_max."""
        if self.pooling == "attention":
            return (self.attention(states, lengths)[:, :, None] * states).sum(1)
        mean = states.sum(1) / lengths[:, None]
        most = states.masked_fill(~real(states, lengths)[:, :, None], -torch.inf).amax(1)
        return {"mean": mean, "max": most, "mean_max": torch.cat([mean, most], 1)}[self.pooling]

    def attention(self, states: Tensor, lengths: Tensor) -> Tensor:
        """(n, t): how much each word counts; the words of a text sum to 1, padding has 0."""
        return self.score(states).squeeze(2).masked_fill(~real(states, lengths), -torch.inf).softmax(1)


def real(states: Tensor, lengths: Tensor) -> Tensor:
    """(n, t) bool: which places hold words."""
    return torch.arange(states.shape[1], device=states.device) < lengths[:, None]


class BagOfWords(nn.Module):
    """How often each word of the vocabulary comes in a text, a dense layer, log odds: the order of the words is lost."""

    def __init__(self, words: int, pad: int, unknown: int, hidden: int = 64, dropout: float = 0.4, word_dropout: float = 0.0) -> None:
        super().__init__()
        self.words, self.pad, self.unknown = words, pad, unknown
        self.word_dropout = within(0, 0.9, word_dropout, "model.net.word_dropout")
        # The sum of the embeddings of a text's words is the product of its counts with the first layer's weights.
        self.first = nn.EmbeddingBag(words, at_least(1, hidden, "model.net.hidden"), mode="sum", padding_idx=pad)
        self.bias = nn.Parameter(torch.zeros(hidden))
        nn.init.normal_(self.first.weight, std=0.05)
        self.head = nn.Sequential(nn.ReLU(), nn.Dropout(within(0, 0.9, dropout, "model.net.dropout")), nn.Linear(hidden, 1))

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """(n, t) word numbers and (n,) how many of them are words -> log odds of positive (n,)."""
        if self.training and self.word_dropout:
            tokens = without_words(tokens, self.word_dropout, self.pad, self.unknown)
        return self.head(self.first(tokens) + self.bias).squeeze(1)
