"""Word vectors: the gradient of the paper's loss, and words that mean the same side by side, as gensim has them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ml2020.data.ragged import Ragged
from ml2020.tasks.hw04_rnn import skipgram as ours
from ml2020.tasks.hw04_rnn.skipgram import adagrad, gradients, kept_share, pair_weights, skipgram, word_vectors

# Two groups: words that one could put in each other's place, in sentences of two kinds.
ANIMALS, TOOLS = ["cat", "dog", "cow", "hen", "pig", "fox"], ["saw", "axe", "nail", "drill", "wrench", "plane"]
WORDS = ["<pad>", *ANIMALS, *TOOLS, "the", "eats", "grass", "in", "field", "cuts", "wood", "at", "shop"]


def toy(count: int = 600) -> list[list[str]]:
    rng = np.random.default_rng(0)
    texts = []
    for _ in range(count):
        texts.append(["the", ANIMALS[rng.integers(6)], "eats", "grass", "in", "the", "field"])
        texts.append(["the", TOOLS[rng.integers(6)], "cuts", "wood", "at", "the", "shop"])
    return texts


def numbered(texts: list[list[str]]) -> Ragged:
    return Ragged.of([[WORDS.index(word) for word in text] for text in texts])


def nearest(vectors: dict[str, np.ndarray], word: str, count: int) -> set[str]:
    """The words of either group whose vectors make the smallest angles with that of `word`."""
    unit = {other: vector / np.linalg.norm(vector) for other, vector in vectors.items()}
    others = sorted((other for other in ANIMALS + TOOLS if other != word), key=lambda other: -float(unit[other] @ unit[word]))
    return set(others[:count])


def by_word(vectors: torch.Tensor) -> dict[str, np.ndarray]:
    return {word: vectors[i].numpy() for i, word in enumerate(WORDS) if i}


def test_the_gradient_is_that_of_the_papers_loss_written_pair_by_pair():
    generator = torch.Generator().manual_seed(0)
    lengths, window, negatives = torch.tensor([6, 1, 4]), 2, 3
    v, u = (torch.randn(3, 6, 5, generator=generator, dtype=torch.float64).requires_grad_() for _ in range(2))
    noise = torch.randn(4, 5, generator=generator, dtype=torch.float64).requires_grad_()
    loss, pairs = torch.zeros((), dtype=torch.float64), 0
    for text, length in enumerate(lengths.tolist()):
        for word in range(length):
            for place in range(length):
                distance = abs(word - place)
                if 1 <= distance <= window:
                    near = -torch.log(torch.sigmoid(u[text, place] @ v[text, word]))
                    far = sum(-torch.log(torch.sigmoid(-(noise[k] @ v[text, word]))) for k in range(4))
                    loss = loss + (window + 1 - distance) / window * (near + negatives / 4 * far)
                    pairs += 1
    assert pairs == 2 * (5 + 4) + 2 * (3 + 2)
    loss.backward()
    weights = pair_weights(lengths, 6, window)
    found = gradients(v.detach(), u.detach(), noise.detach(), weights, negatives)
    for ours_, naive in zip(found, (v.grad, u.grad, noise.grad), strict=True):
        assert torch.allclose(ours_, naive, rtol=0, atol=1e-10)


def test_pairs_count_by_their_distance_within_the_text():
    weights = pair_weights(torch.tensor([4, 2]), 4, 3)
    near = [[0, 3, 2, 1], [3, 0, 3, 2], [2, 3, 0, 3], [1, 2, 3, 0]]
    assert (weights[0] * 3).tolist() == near
    assert (weights[1] * 3).tolist() == [[0, 3, 0, 0], [3, 0, 0, 0], [0] * 4, [0] * 4]


def test_a_step_of_adagrad_adds_up_a_row_that_comes_twice():
    table, squares = torch.zeros(4, 2), torch.tensor([0.0, 0.0, 5.0, 9.0])
    adagrad(table, squares, torch.tensor([2, 1, 2]), torch.tensor([[1.0, 0.0], [3.0, 4.0], [1.0, 4.0]]), 0.5)
    assert squares.tolist() == [0, 12.5, 5 + 10, 9]
    assert table[1].tolist() == pytest.approx([-0.5 * 3 / math.sqrt(12.5), -0.5 * 4 / math.sqrt(12.5)])
    assert table[2].tolist() == pytest.approx([-0.5 * 2 / math.sqrt(15), -0.5 * 4 / math.sqrt(15)])
    assert not table[[0, 3]].any()


def test_frequent_words_are_left_out_by_word2vecs_formula():
    counts = torch.tensor([0, 900, 99, 1])
    kept = kept_share(counts, 1e-2)
    assert kept.tolist() == pytest.approx([1, math.sqrt(0.01 / 0.9) + 0.01 / 0.9, math.sqrt(0.01 / 0.099) + 0.01 / 0.099, 1])
    assert kept_share(counts, 0).tolist() == [1, 1, 1, 1]


def test_words_that_can_stand_for_each_other_are_neighbours():
    vectors = by_word(skipgram(numbered(toy()), len(WORDS), dim=16, epochs=5, subsample=0))
    for group in (ANIMALS, TOOLS):
        for word in group:
            assert nearest(vectors, word, 5) == set(group) - {word}


def test_gensim_finds_the_same_neighbours():
    gensim = pytest.importorskip("gensim.models")
    texts = toy()
    theirs = gensim.Word2Vec(
        texts, vector_size=16, window=5, min_count=1, sg=1, negative=5, sample=0, epochs=20, workers=1, seed=0, alpha=0.05
    )
    vectors = by_word(skipgram(numbered(texts), len(WORDS), dim=16, epochs=5, subsample=0))
    for word in ANIMALS + TOOLS:
        assert nearest(vectors, word, 5) == nearest({w: theirs.wv[w] for w in WORDS[1:]}, word, 5)


def test_gensim_leaves_out_frequent_words_as_often():
    gensim = pytest.importorskip("gensim.models")
    texts = [["a"] * 90 + ["b"] * 9 + ["c"]] * 50
    theirs = gensim.Word2Vec(texts, vector_size=2, min_count=1, sample=1e-2, epochs=1, workers=1)
    kept = kept_share(torch.tensor([90 * 50, 9 * 50, 50]), 1e-2)
    for word, share in zip("abc", kept.tolist(), strict=True):
        assert theirs.wv.get_vecattr(word, "sample_int") / 2**32 == pytest.approx(share, abs=1e-3)


def test_a_seed_repeats_its_vectors_to_the_bit_and_another_gives_others():
    corpus = numbered(toy(50))
    one, again, other = (skipgram(corpus, len(WORDS), dim=8, epochs=1, seed=seed) for seed in (0, 0, 1))
    assert one.shape == (len(WORDS), 8) and one.dtype == torch.float32 and torch.isfinite(one).all()
    assert torch.equal(one, again) and not torch.equal(one, other)
    torch.manual_seed(5)
    assert torch.equal(skipgram(corpus, len(WORDS), dim=8, epochs=1), one)


def test_a_word_that_no_text_holds_has_no_direction():
    vectors = skipgram(numbered(toy(20)), len(WORDS) + 3, dim=8, epochs=1)
    assert not vectors[0].any() and not vectors[len(WORDS) :].any() and (vectors[1 : len(WORDS)].norm(dim=1) > 0).all()


def test_texts_of_one_word_teach_nothing_and_break_nothing():
    vectors = skipgram(Ragged.of([[1], [2], [1]]), 3, dim=4, epochs=2)
    assert torch.isfinite(vectors).all() and vectors.abs().max() <= 0.125


def test_the_same_texts_are_learned_from_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    calls = []

    def counted(*arguments: object, **settings: object) -> torch.Tensor:
        calls.append(settings)
        return skipgram(*arguments, **settings)

    monkeypatch.setattr(ours, "skipgram", counted)
    corpus, cut_elsewhere, other = Ragged.of([[1, 2], [3, 1, 2]]), Ragged.of([[1, 2, 3], [1, 2]]), Ragged.of([[1, 2], [3, 2, 2]])

    def learned(texts: Ragged, words: int = 4, dim: int = 4) -> torch.Tensor:
        return word_vectors(texts, words, str(tmp_path), dim=dim, epochs=1)

    first = learned(corpus)
    assert torch.equal(learned(corpus), first) and len(calls) == 1
    learned(cut_elsewhere), learned(other), learned(corpus, words=5), learned(corpus, dim=5)
    assert len(calls) == 5


def test_progress_is_said(capsys: pytest.CaptureFixture):
    skipgram(numbered(toy(40)), len(WORDS), dim=4, epochs=2)
    assert "learning word vectors from the texts (6)" in capsys.readouterr().out  # 80 texts, 32 a step


def test_unit_vectors_of_one_group_are_closer_than_those_of_two():
    vectors = F.normalize(skipgram(numbered(toy()), len(WORDS), dim=16, epochs=5, subsample=0), dim=1)
    animals, tools = vectors[1:7], vectors[7:13]
    within = min((animals @ animals.T).min(), (tools @ tools.T).min())
    assert within > (animals @ tools.T).max() + 0.3
