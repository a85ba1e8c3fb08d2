"""Word vectors from text alone: skip-gram with negative sampling (Mikolov et al. 2013, "Distributed representations", eq. 4).

Every word w has a vector v_w, and one u_w for when it stands near another. A word w with c in its window adds

    -log sigmoid(u_c . v_w) - sum_k log sigmoid(-u_k . v_w)

to the loss, where the k are drawn from the words' frequencies to the power of 3/4. A c that is d words away counts (window + 1 - d) /
window, which is how often word2vec's random windows reach it. Frequent words are left out at random before windows are laid.

Different from word2vec: a batch is a few texts at once, so all pairs of a text are one product of matrices; the words of a batch share
their noise words; and the steps are Adagrad's with one denominator a vector, since plain steps of that size diverge.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from ml2020.core.progress import progress
from ml2020.data.cache import cached
from ml2020.data.ragged import LengthLoader, Ragged

VERSION = 1  # goes up whenever the vectors of the same texts change
BATCH = 32  # texts
SHARED = 64  # noise words of a batch; each counts negatives / SHARED


def word_vectors(corpus: Ragged, words: int, cache_dir: str | None, **settings: float) -> Tensor:
    """`skipgram`'s vectors, from the cache where the same texts were learned from with the same settings."""
    content = hashlib.sha256(corpus.tokens.numpy().data)
    content.update(corpus.offsets.numpy().data)
    key = {"version": VERSION, "corpus": content.hexdigest(), "words": words, **settings}
    arrays = cached(cache_dir, "word_vectors", key, lambda: {"vectors": skipgram(corpus, words, **settings).numpy()})
    return torch.from_numpy(arrays["vectors"])


def skipgram(
    corpus: Ragged,
    words: int,
    dim: int = 64,
    window: int = 5,
    negatives: float = 5,
    epochs: int = 3,
    lr: float = 0.5,
    subsample: float = 1e-3,
    seed: int = 0,
) -> Tensor:
    """(words, dim) float32, a vector for each word number; a row of zeros for one that no text holds.

    `negatives`: noise words for each pair; `lr`: falls to 0 in a straight line; `subsample`: a word with a larger share of the text is
    left out now and then (0 leaves none out). The same seed gives the same vectors, to the bit at one thread.
    """
    generator = torch.Generator().manual_seed(seed)
    counts = torch.bincount(corpus.tokens, minlength=words)
    noise = (counts.double() ** 0.75).cumsum(0)
    vectors = (torch.rand(words, dim, generator=generator) - 0.5) / dim
    contexts = torch.zeros(words, dim)
    squares = torch.zeros(words), torch.zeros(words)
    steps = epochs * -(-len(corpus) // BATCH)
    batches = _batches(corpus, kept_share(counts, subsample), epochs, seed, generator)
    for step, (tokens, lengths) in enumerate(progress(batches, "learning word vectors from the texts", steps)):
        drawn = torch.searchsorted(noise, noise[-1] * torch.rand(SHARED, dtype=torch.float64, generator=generator), right=True)
        weights = pair_weights(lengths, tokens.shape[1], window)
        by_word, by_context, by_noise = gradients(
            F.embedding(tokens, vectors), F.embedding(tokens, contexts), contexts[drawn], weights, negatives
        )
        rate = lr * (1 - step / steps)
        adagrad(vectors, squares[0], tokens.flatten(), by_word.flatten(0, 1), rate)
        adagrad(contexts, squares[1], torch.cat([tokens.flatten(), drawn]), torch.cat([by_context.flatten(0, 1), by_noise]), rate)
    vectors[counts == 0] = 0
    return vectors


def kept_share(counts: Tensor, subsample: float) -> Tensor:
    """(words,) how likely each occurrence of a word is kept, by word2vec's formula: sqrt(t / share) + t / share, at most 1."""
    ratio = subsample * counts.sum() / counts.clamp_min(1)
    return (ratio.sqrt() + ratio).clamp_max(1).float() if subsample else torch.ones(len(counts))


def _batches(corpus: Ragged, kept: Tensor, epochs: int, seed: int, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """Texts of similar length with some of their frequent words left out, others in every epoch."""
    text = torch.repeat_interleave(torch.arange(len(corpus)), corpus.lengths)
    for epoch in range(epochs):
        stay = torch.rand(len(text), generator=generator) < kept[corpus.tokens]
        lengths = torch.bincount(text[stay], minlength=len(corpus))
        loader = LengthLoader([Ragged.of_lengths(corpus.tokens[stay], lengths)], BATCH, shuffle=True, seed=seed)
        loader.epoch = epoch
        yield from loader


def pair_weights(lengths: Tensor, width: int, window: int) -> Tensor:
    """(n, width, width): how much each pair of places of each text counts; nothing for a place itself, and beyond a text's end."""
    place = torch.arange(width)
    distance = (place[:, None] - place).abs()
    near = (window + 1 - distance).clamp_min(0) * (distance > 0) / window
    real = place < lengths[:, None]
    return near * (real[:, :, None] & real[:, None, :])


def gradients(v: Tensor, u: Tensor, noise: Tensor, weights: Tensor, negatives: float) -> tuple[Tensor, Tensor, Tensor]:
    """The loss' gradients with respect to v (n, t, dim), u (n, t, dim), the words at each place of n texts, and noise (k, dim).

    `weights` (n, t, t): of each word (rows) with each context (columns).
    """
    weights = weights.to(v.dtype)
    near = ((v @ u.mT).sigmoid_() - 1) * weights  # (n, t, t), d loss / d (u_c . v_w)
    far = (v @ noise.T).sigmoid_() * (weights.sum(2, keepdim=True) * (negatives / len(noise)))  # (n, t, k)
    return near @ u + far @ noise, near.mT @ v, far.flatten(0, 1).T @ v.flatten(0, 1)


def adagrad(table: Tensor, squares: Tensor, rows: Tensor, gradient: Tensor, rate: float) -> None:
    """A step of Adagrad (Duchi et al. 2011) on some rows (m,) of a table, given `gradient` (m, dim), in place.

    A row that comes several times gets one step on the sum. `squares` (rows of the table,) adds up each row's mean squared gradient.
    """
    own, place = rows.unique(return_inverse=True)
    total = gradient.new_zeros(len(own), gradient.shape[1]).index_add_(0, place, gradient)
    squares.index_add_(0, own, total.square().mean(1))
    table.index_add_(0, own, total / (squares[own].sqrt() + 1e-10)[:, None], alpha=-rate)
