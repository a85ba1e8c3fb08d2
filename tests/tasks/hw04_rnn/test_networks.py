"""The networks of homework 4: against a loop over single texts, and what padding and order do to them."""

from __future__ import annotations

import itertools
from zlib import crc32

import pytest
import torch
from torch import Tensor

from ml2020.core.errors import TypedError
from ml2020.data.ragged import Ragged
from ml2020.data.text import Vocabulary, split_off
from ml2020.tasks.hw04_rnn.model import SENTENCES
from ml2020.tasks.hw04_rnn.networks import POOLS, BagOfWords, Embedding, Recurrent, pieces

WORDS, PAD, UNKNOWN = 30, 0, 1
TEXTS = Ragged.of([[5, 7, 2, 9, 4, 4, 11], [3], [8, 1, 6], [12, 13, 14, 15]])


def network(**options: object) -> Recurrent:
    torch.manual_seed(0)
    return Recurrent(WORDS, PAD, UNKNOWN, dim=6, hidden=5, **options).double().eval()


def by_hand(net: Recurrent, cell: str, words: list[int], pooling: str) -> Tensor:
    """The log odds of one text, one word at a time, from the weights alone."""
    x = net.embedding.table.weight[torch.tensor(words)]
    for layer in range(net.rnn.num_layers):
        ways, ends = [], []
        for suffix in ["", "_reverse"][: 1 + net.rnn.bidirectional]:
            w_i, w_h, b_i, b_h = (
                getattr(net.rnn, f"{name}_l{layer}{suffix}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            )
            h = c = x.new_zeros(net.rnn.hidden_size)
            states = []
            for word in x.flip(0) if suffix else x:
                if cell == "lstm":
                    i, f, g, o = (w_i @ word + b_i + w_h @ h + b_h).chunk(4)
                    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
                    h = o.sigmoid() * c.tanh()
                else:
                    (ir, iz, i_n), (hr, hz, hn) = (w_i @ word + b_i).chunk(3), (w_h @ h + b_h).chunk(3)
                    r, z = (ir + hr).sigmoid(), (iz + hz).sigmoid()
                    h = (1 - z) * (i_n + r * hn).tanh() + z * h
                states.append(h)
            ends.append(h)
            ways.append(torch.stack(states).flip(0) if suffix else torch.stack(states))
        x = torch.cat(ways, 1)
    if pooling == "attention":
        pooled = net.score(x).squeeze(1).softmax(0) @ x
    else:
        pooled = {"last": torch.cat(ends), "mean": x.mean(0), "max": x.amax(0), "mean_max": torch.cat([x.mean(0), x.amax(0)])}[pooling]
    return net.head(pooled)[0]


@pytest.mark.parametrize(("pooling", "cell"), itertools.product(POOLS, ("lstm", "gru")))
def test_a_batch_of_packed_texts_equals_a_loop_over_single_texts(pooling: str, cell: str):
    for options in ({}, {"layers": 2, "bidirectional": False, "dense": 4}):
        net = network(pooling=pooling, cell=cell, **options)
        odds = net(*TEXTS.padded(torch.arange(4)))
        expected = [by_hand(net, cell, TEXTS[torch.tensor([i])].tokens.tolist(), pooling) for i in range(4)]
        assert torch.allclose(odds, torch.stack(expected), atol=1e-12)


@pytest.mark.parametrize("pooling", POOLS)
def test_padding_and_company_never_change_an_answer(pooling: str):
    net = network(pooling=pooling)
    odds = net(*TEXTS.padded(torch.arange(4)))
    assert torch.allclose(net(*TEXTS.padded(torch.arange(4), 20)), odds, atol=1e-12)
    assert torch.allclose(net(*TEXTS.padded(torch.tensor([1]))), odds[1:2], atol=1e-12)


def test_the_slip_of_the_original_lets_padding_change_the_answer():
    net = network(pooling="last", reads_padding=True)
    short, long = (net(*TEXTS.padded(torch.arange(4), width)) for width in (7, 20))
    assert ((short - long).abs() > 1e-3).all()
    as_word = by_hand(net, "lstm", [3, 0, 0, 0, 0, 0, 0], "last")
    assert short[1].item() == pytest.approx(as_word.item(), abs=1e-12)


def test_attention_is_a_share_of_the_real_words():
    net = network(pooling="attention")
    tokens, lengths = TEXTS.padded(torch.arange(4), 9)
    shares = net.attention(net.states(tokens, lengths)[0], lengths)
    assert torch.allclose(shares.sum(1), torch.ones(4).double()) and (shares[tokens[:, : shares.shape[1]] == PAD] == 0).all()


def test_dropped_words_become_unknown_and_padding_stays():
    torch.manual_seed(0)
    net = Embedding(WORDS, 4, PAD, UNKNOWN, word_dropout=0.5)
    tokens = torch.full((200, 10), 7)
    tokens[:, 8:] = PAD
    vectors = net(tokens)
    gone = (vectors == net.table.weight[UNKNOWN]).all(2)
    assert gone[:, :8].double().mean().item() == pytest.approx(0.5, abs=0.05)
    assert (vectors[:, 8:] == 0).all() and not (net.eval()(tokens) == net.table.weight[UNKNOWN]).all(2).any()


def test_dropout_of_the_embedding_takes_the_same_numbers_from_every_word_of_a_text():
    torch.manual_seed(0)
    vectors = Embedding(WORDS, 16, PAD, UNKNOWN, dropout=0.5)(torch.full((50, 6), 7))
    gone = vectors == 0
    assert (gone == gone[:, :1]).all() and gone.double().mean().item() == pytest.approx(0.5, abs=0.08)
    assert not (gone[0] == gone[1]).all()


def test_a_bag_of_words_adds_up_counts():
    torch.manual_seed(0)
    net = BagOfWords(WORDS, PAD, UNKNOWN, hidden=3).eval()
    tokens, lengths = Ragged.of([[5, 7, 5], [9]]).padded(torch.arange(2), 6)
    counts = torch.zeros(2, WORDS)
    counts[0, 5], counts[0, 7], counts[1, 9] = 2, 1, 1
    expected = net.head(counts @ net.first.weight + net.bias).squeeze(1)
    assert torch.allclose(net(tokens, lengths), expected)


def test_the_courses_two_sentences_are_one_to_a_bag_of_words_and_two_to_a_recurrent_network():
    texts = [split_off(sentence) for sentence in SENTENCES.values()]
    words = Vocabulary.of(texts)
    tokens, lengths = words.encode(texts).padded(torch.arange(2))
    torch.manual_seed(0)
    one, other = BagOfWords(len(words), PAD, UNKNOWN).eval()(tokens, lengths)
    assert sorted(tokens[0].tolist()) == sorted(tokens[1].tolist()) and one.item() == pytest.approx(other.item(), abs=1e-6)
    one, other = Recurrent(len(words), PAD, UNKNOWN).eval()(tokens, lengths)
    assert abs(one.item() - other.item()) > 1e-4


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"pooling": "median"}, "model.net.pooling"),
        ({"cell": "rnn"}, "model.net.cell"),
        ({"hidden": 0}, "model.net.hidden"),
        ({"dropout": 1.0}, "model.net.dropout"),
        ({"word_dropout": -0.1}, "model.net.word_dropout"),
    ],
)
def test_options_out_of_range_are_named(options: dict, sentence: str):
    with pytest.raises(TypedError, match=sentence):
        Recurrent(WORDS, PAD, UNKNOWN, **options)


def test_an_embedding_that_starts_at_random_is_quiet_and_padding_is_silent():
    torch.manual_seed(0)
    table = Embedding(2000, 64, PAD, UNKNOWN).table.weight
    assert 0.098 < table[1:].std() < 0.102 and not table[PAD].any()


def test_pieces_of_a_word_are_its_three_to_five_letters_with_its_ends():
    found = {crc32(piece.encode()) % 1000 for piece in ("<go", "goo", "ood", "od>", "<goo", "good", "ood>", "<good", "good>")}
    assert set(pieces("good", 1000)) == found and pieces("a", 1000) == [crc32(b"<a>") % 1000]


def test_a_words_vector_is_its_own_and_the_mean_of_its_pieces():
    torch.manual_seed(0)
    embedding = Embedding(5, 4, PAD, UNKNOWN, grams=50).double()
    embedding.spell(["<pad>", "<unk>", "good", "goood", "it"])
    torch.nn.init.normal_(embedding.grams)
    table, rows = embedding.table.weight, embedding.grams
    found = embedding(torch.tensor([[2, 4, 3], [1, 0, 0]]))
    torch.testing.assert_close(found[0, 0], table[2] + rows[pieces("good", 50)].mean(0))
    torch.testing.assert_close(found[0, 1], table[4] + rows[pieces("it", 50)].mean(0))
    torch.testing.assert_close(found[1, 0], table[1])
    assert not found[1, 1:].any()
