"""Words and their numbers."""

from __future__ import annotations

from ml2020.data.text import Vocabulary, split_off

TEXTS = ["the film was good", "the film was the best", "good <pad> day"]


def test_words_are_numbered_by_frequency_then_by_the_alphabet():
    assert Vocabulary.of(TEXTS).words == ["<pad>", "<unk>", "the", "film", "good", "was", "best", "day"]
    assert Vocabulary.of(reversed(TEXTS)).words == Vocabulary.of(TEXTS).words
    assert Vocabulary.of(TEXTS, least=2).words == ["<pad>", "<unk>", "the", "film", "good", "was"]


def test_texts_become_the_numbers_of_their_words():
    found = Vocabulary.of(TEXTS, least=2).encode(TEXTS)
    assert [row.tolist() for row in found.tokens.split(found.lengths.tolist())] == [[2, 3, 5, 4], [2, 3, 5, 2, 1], [4, 1, 1]]


def test_a_text_that_spells_a_special_word_holds_none():
    assert Vocabulary.of(TEXTS).encode(["<pad> <unk>"]).tokens.tolist() == [1, 1]


def test_a_text_without_a_word_is_one_unknown_word():
    assert Vocabulary.of(TEXTS).encode(["", "  ", "good"]).lengths.tolist() == [1, 1, 1]


def test_a_vocabulary_is_made_again_from_its_words():
    known = Vocabulary.of(TEXTS)
    again = Vocabulary(known.words)
    assert len(again) == 8 and again.encode(TEXTS).tokens.tolist() == known.encode(TEXTS).tokens.tolist()


def test_other_specials_take_the_first_numbers():
    known = Vocabulary.of(["a b"], specials=("<pad>", "<bos>", "<eos>", "<unk>"))
    assert known.words == ["<pad>", "<bos>", "<eos>", "<unk>", "a", "b"] and known.encode(["b <bos>"]).tokens.tolist() == [5, 3]


def test_a_typed_sentence_is_split_as_the_courses_files_are():
    assert split_off("Today is a good day, but it is hot!!") == "today is a good day , but it is hot !!"
    assert split_off("I can't wait :)") == "i can ' t wait :)"
