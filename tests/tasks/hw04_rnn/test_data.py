"""The data of homework 4: which labels are used, which words are known, and what the loaders give."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from ml2020.core.build import build
from ml2020.core.conf import CONF
from ml2020.core.errors import TypedError, UserError
from ml2020.tasks.hw04_rnn import tweets
from ml2020.tasks.hw04_rnn.data import Course, Generated, Tweets

SHARED = Path(os.environ.get("ML2020_SHARED_DATA") or Path(__file__).parents[4] / "shared" / "data") / "hw04"
real = pytest.mark.skipif(not (SHARED / "training_label.txt").exists(), reason="the real tweets are not here")


def sample(run_seed: int = 0, **options: object) -> Generated:
    data = Generated(cache_dir=os.environ["ML2020_CACHE_DIR"], **options)
    data.run_seed = run_seed
    data.prepare()
    return data


def course(tmp_path: Path, run_seed: int = 0, count: int = 40, **options: object) -> Course:
    """Labelled text i is `w<i> and good` or `w<i> but bad`; five texts without labels, three to be named."""
    folder = tmp_path / "hw04"
    folder.mkdir(exist_ok=True)
    lines = [f"{i % 2} +++$+++ w{i} {'and good' if i % 2 else 'but bad'}" for i in range(count)]
    (folder / "training_label.txt").write_text("\n".join(lines) + "\n")
    (folder / "training_nolabel.txt").write_text("".join(f"pool{i} good\n" for i in range(5)))
    (folder / "testing_data.txt").write_text("id,text\n0,good\n1,so , so bad\n2,bad good and but\n")
    data = Course(str(folder), cache_dir=str(tmp_path / "cache"), **options)
    data.run_seed = run_seed
    data.prepare()
    return data


def said(data: Tweets, split: str) -> list[str]:
    """The texts of a split, out of their numbers."""
    texts = data.splits[split][0]
    return [" ".join(data.spec["words"][i] for i in row) for row in texts.tokens.split(texts.lengths.tolist())]


# The embedded data.


def test_the_sample_has_its_parts_and_says_what_it_is():
    data = sample()
    assert data.counts == {"for training": 2000, "for validation": 1000, "for the test": 4000, "unlabelled": 60_000}
    assert data.source.kind == "generated" and "not real" in data.source.name
    assert json.loads(json.dumps(data.spec)) == data.spec and data.spec["tested"] == "test"
    assert data.spec["words"][:2] == ["<pad>", "<unk>"] and (data.spec["pad"], data.spec["unk"]) == (0, 1)
    assert len(data.spec["words"]) == pytest.approx(1_660, abs=100) and data.spec["positives"] == pytest.approx(0.5, abs=0.04)
    assert set(data.truth) == {"train", "val", "test", "pool"} and len(data.splits["pool"]) == 1
    assert len(data.pool) == len(data.truth["pool"]) == len(data.texts["pool"]) == 60_000


def test_texts_numbers_labels_and_truth_belong_together():
    data = sample(labels=300, pool_size=500)
    written = {text: (label, true) for texts, *rest in tweets.draw(0).values() for text, label, true in zip(texts, *rest, strict=True)}
    for split in ("train", "val", "test"):
        for text, label, true in zip(data.texts[split], data.splits[split][1].tolist(), data.truth[split].tolist(), strict=True):
            assert written[text] == (label, true)
    assert [written[text][1] for text in data.texts["pool"]] == data.truth["pool"].tolist()
    known = set(data.spec["words"])
    for split in data.splits:
        assert said(data, split) == [" ".join(w if w in known else "<unk>" for w in t.split()) for t in data.texts[split]]


def test_only_labels_to_learn_and_to_choose_by_are_noisy():
    data = sample()
    wrong = {split: float((data.splits[split][1] != data.truth[split]).double().mean()) for split in ("train", "val", "test")}
    assert wrong["test"] == 0 and wrong["train"] == pytest.approx(0.08, abs=0.02) and wrong["val"] == pytest.approx(0.08, abs=0.03)


def test_which_labels_are_used_hangs_on_the_runs_seed_and_a_smaller_draw_lies_inside_a_larger_one():
    one, more, other = sample(labels=200), sample(labels=500), sample(run_seed=1, labels=200)
    assert len(one.texts["train"]) == 200 and one.texts["train"] == more.texts["train"][:200]
    assert len(set(one.texts["train"]) & set(other.texts["train"])) == pytest.approx(20, abs=15)  # by chance
    assert one.texts["val"] == other.texts["val"] and one.texts["pool"] == other.texts["pool"]
    assert sorted(sample().texts["train"]) == sorted(sample(run_seed=1).texts["train"])


def test_words_and_vectors_are_the_same_for_every_draw_of_labels():
    one, other = sample(labels=200, pool_size=1000), sample(run_seed=1, labels=500, pool_size=1000)
    assert one.spec["words"] == other.spec["words"] and torch.equal(one.corpus.tokens, other.corpus.tokens)
    assert len(one.corpus) == 3000 and sample(labels=200, pool_size=900).fingerprint != one.fingerprint


def test_known_words_can_be_those_of_the_training_texts_alone():
    data = sample(labels=200, vocabulary="labelled", min_count=2)
    counts = np.unique([word for text in data.texts["train"] for word in text.split()], return_counts=True)
    assert set(data.spec["words"][2:]) == {word for word, count in zip(*counts, strict=True) if count >= 2}
    assert len(data.corpus) == 62_000  # word vectors may still be learned from all texts


def test_less_than_a_tenth_of_a_batch_is_padding():
    for data in (sample(batch_size=64), sample(labels=500)):
        padded = [tokens for tokens, _, _ in data.train_dataloader()]
        assert sum(int((t == 0).sum()) for t in padded) / sum(t.numel() for t in padded) < 0.1
    pool = [tokens for tokens, *_ in data.pool_loader()]
    assert sum(int((t == 0).sum()) for t in pool) / sum(t.numel() for t in pool) < 0.01


def test_training_gives_each_text_once_in_another_order_each_epoch():
    data = sample(labels=100, pool_size=100)
    loader = data.train_dataloader()
    epochs = [
        [(*row[:n], y) for x, ns, ys in loader for row, n, y in zip(*map(torch.Tensor.tolist, (x, ns, ys)), strict=True)]
        for _ in range(2)
    ]
    texts, labels = data.splits["train"]
    expected = [(*row.tolist(), label) for row, label in zip(texts.tokens.split(texts.lengths.tolist()), labels.tolist(), strict=True)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == sorted(expected) and epochs[0] != epochs[1]
    assert len(loader) == 4 and loader.samples == 100


def test_what_is_measured_comes_with_its_place_so_that_it_can_be_shown():
    data = sample(labels=100, pool_size=100)
    assert list(data.evaluation_loaders()) == ["train", "val", "test"]
    for split, loader in data.evaluation_loaders().items():
        places = []
        for tokens, lengths, labels, place in loader:
            assert torch.equal(labels, data.splits[split][1][place])
            assert torch.equal(lengths, data.splits[split][0].lengths[place]) and tokens.shape[1] == lengths.max()
            places += place.tolist()
        assert sorted(places) == list(range(len(data.texts[split])))
    for loader, count in ((data.pool_loader(), 100), (data.predict_loader(), 4000)):
        assert sorted(place for *_, places in loader for place in places.tolist()) == list(range(count))


def test_two_processes_label_each_text_of_the_pool_once():
    data = sample(pool_size=1001)
    ranks = [data.pool_loader().shard(rank, 2) for rank in range(2)]
    places = [place for rank in ranks for *_, part in rank if rank.share for place in part.tolist()]
    assert sorted(places) == list(range(1001))


def test_texts_can_be_padded_to_a_fixed_length_as_the_original_did():
    data = sample(labels=100, pool_size=100, pad_to=20)
    loaders = [data.train_dataloader(), *data.evaluation_loaders().values(), data.pool_loader(), data.predict_loader()]
    for loader in loaders:
        for tokens, lengths, *_ in loader:
            assert tokens.shape[1] == 20 and lengths.max() <= 20
            assert ((tokens != 0).sum(1) == lengths).all()
    assert data.spec["pad_to"] == 20 and [p for *_, ps in data.predict_loader() for p in ps.tolist()] == list(range(4000))


def test_vectors_of_the_sample_are_one_row_a_word(tmp_path: Path):
    data = sample(labels=100, pool_size=300)
    data.cache_dir = str(tmp_path)
    vectors = data.vectors(dim=8, epochs=1)
    assert vectors.shape == (len(data.spec["words"]), 8) and not vectors[0].any() and vectors[2:].any(1).all()


# The course's files.


def test_a_tenth_of_the_labelled_texts_validates_whatever_the_runs_seed(tmp_path: Path):
    one, other, third = course(tmp_path), course(tmp_path, run_seed=1), course(tmp_path, seed=1)
    assert one.counts == {"for training": 36, "for validation": 4, "unlabelled": 5, "to name": 3}
    assert one.texts["val"] == other.texts["val"] != third.texts["val"]
    assert one.texts["train"] != other.texts["train"] and sorted(one.texts["train"]) == sorted(other.texts["train"])
    assert sorted(one.texts["train"] + one.texts["val"]) == sorted(f"w{i} {'and good' if i % 2 else 'but bad'}" for i in range(40))
    assert all(label == text.endswith("good") for text, label in zip(one.texts["train"], one.splits["train"][1].tolist(), strict=True))
    assert one.fingerprint == other.fingerprint != third.fingerprint and one.truth == {} and one.spec["tested"] == "val"


def test_the_same_text_is_never_on_both_sides(tmp_path: Path):
    course(tmp_path)
    lines = [f"{i % 2} +++$+++ w{i % 12} same" for i in range(120)]
    (tmp_path / "hw04" / "training_label.txt").write_text("\n".join(lines))
    data = Course(str(tmp_path / "hw04"), val_share=0.25)
    data.prepare()
    assert len(data.texts["val"]) == 30 and not set(data.texts["val"]) & set(data.texts["train"])


def test_a_word_is_known_from_labelled_and_unlabelled_texts_but_not_from_validation(tmp_path: Path):
    data = course(tmp_path, min_count=1)
    known, others = set(data.spec["words"]), {text.split()[0] for text in data.texts["val"]}
    assert data.spec["words"][2] == "good" and {f"pool{i}" for i in range(5)} <= known and not others & known
    assert known == {"<pad>", "<unk>", "good", "bad", "and", "but"} | {f"pool{i}" for i in range(5)} | {
        f"w{i}" for i in range(40) if f"w{i}" not in others
    }
    assert set(course(tmp_path).spec["words"]) == {"<pad>", "<unk>", "good", "bad", "and", "but"}  # seen three times
    assert "pool3" not in course(tmp_path, min_count=1, vocabulary="labelled").spec["words"]


def test_texts_to_be_named_keep_their_ids(tmp_path: Path):
    course(tmp_path)
    (tmp_path / "hw04" / "testing_data.txt").write_text("id,text\n7,good\n3,bad and bad\n")
    data = Course(str(tmp_path / "hw04"))
    data.prepare()
    rows = {int(text): int(length) for _, lengths, ids in data.predict_loader() for text, length in zip(ids, lengths, strict=True)}
    assert rows == {7: 1, 3: 3}


def test_further_files_add_to_the_pool_behind_the_first(tmp_path: Path):
    course(tmp_path)
    (tmp_path / "hw04" / "more.txt").write_text("id,test\n0,one , more\n")
    data = Course(str(tmp_path / "hw04"), more=["more.txt"])
    data.prepare()
    assert data.texts["pool"] == [*(f"pool{i} good" for i in range(5)), "one , more"]
    few = Course(str(tmp_path / "hw04"), more=["more.txt"], pool_size=2)
    few.prepare()
    assert few.texts["pool"] == ["pool0 good", "pool1 good"]


def test_without_unlabelled_texts_it_trains_but_has_no_pool(tmp_path: Path):
    course(tmp_path)
    (tmp_path / "hw04" / "training_nolabel.txt").unlink()
    (tmp_path / "hw04" / "testing_data.txt").unlink()
    data = Course(str(tmp_path / "hw04"))
    data.prepare()
    assert data.counts == {"for training": 36, "for validation": 4} and len(list(data.train_dataloader())) == 2
    with pytest.raises(UserError, match=r"there is no .*training_nolabel.txt, whose texts self-training learns from"):
        data.pool_loader()
    with pytest.raises(UserError, match=r"there is no .*testing_data.txt, whose texts are to be named"):
        data.predict_loader()


def test_other_peoples_files_are_not_called_the_courses(tmp_path: Path):
    assert course(tmp_path).source.kind == "files"


@real
def test_the_real_tweets_say_what_they_are():
    data = Course(str(SHARED), more=["course_fall2020_testing_data.txt"])
    data.prepare()
    assert data.counts == {"for training": 18_000, "for validation": 2_000, "unlabelled": 70_000, "to name": 5_000}
    assert data.source.kind == "same kind" and "Sentiment140" in data.source.name
    assert 12_000 < len(data.spec["words"]) < 20_000 and data.ids == list(range(5_000))


# What is typed wrong.


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"labels": 2001}, "data.labels must be at most 2000, the labelled texts that are for training here, not 2001"),
        ({"labels": 1}, "data.labels must be at least 2, not 1"),
        ({"pool_size": 0}, "data.pool_size must be at least 1, not 0"),
        ({"pool_size": 60_001}, "data.pool_size must be at most 60000, the unlabelled texts here, not 60001"),
        ({"vocabulary": "al"}, "data.vocabulary=al is not one of all, labelled; did you mean all?"),
        ({"min_count": 0}, "data.min_count must be at least 1, not 0"),
        ({"pad_to": 0}, "data.pad_to must be at least 1, not 0"),
        ({"batch_size": 0}, "data.batch_size must be at least 1, not 0"),
        ({"seed": -1}, "data.seed must be at least 0, not -1"),
    ],
)
def test_options_out_of_range_are_told(options: dict, sentence: str):
    with pytest.raises(TypedError) as told:
        sample(**options)
    assert str(told.value) == sentence


@pytest.mark.parametrize(
    ("options", "kind", "sentence"),
    [
        ({"labels": 37}, TypedError, "data.labels must be at most 36"),
        ({"val_share": 0}, TypedError, "data.val_share must lie between 0.01 and 0.9, not 0"),
        ({"more": ["missing.txt"]}, UserError, "there is no "),
        ({"count": 9}, UserError, "training_label.txt holds 9 distinct texts; at least 10 are needed"),
        ({"pool_size": 6}, TypedError, "data.pool_size must be at most 5, the unlabelled texts here, not 6"),
    ],
)
def test_what_the_files_do_not_have_is_told(options: dict, kind: type, sentence: str, tmp_path: Path):
    with pytest.raises(kind) as told:
        course(tmp_path, **options)
    assert sentence in str(told.value)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("training_label.txt", "0 +++$+++ a\n1 b\n", "training_label.txt: line 2 has no +++$+++"),
        ("training_label.txt", "0 +++$+++ a\n3 +++$+++ b\n", "training_label.txt: line 2 has the label '3'"),
        ("training_label.txt", "", "training_label.txt is empty"),
        ("training_label.txt", "".join(f"1 +++$+++ t{i}\n" for i in range(30)), "the 27 training texts are all of one class"),
        ("training_nolabel.txt", "", "training_nolabel.txt is empty"),
        ("training_nolabel.txt", b"a\n\xff\n", "training_nolabel.txt: line 2 is not UTF-8"),
        ("testing_data.txt", "", "testing_data.txt is empty"),
        ("testing_data.txt", "id,text\n0 a\n", "testing_data.txt: line 2 must be a number, a comma and a text"),
    ],
)
def test_a_broken_file_is_one_sentence(name: str, content: str | bytes, sentence: str, tmp_path: Path):
    course(tmp_path)
    (tmp_path / "hw04" / name).write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(UserError) as told:
        Course(str(tmp_path / "hw04")).prepare()
    assert sentence in str(told.value) and "\n" not in str(told.value)


@pytest.mark.parametrize("name", ["hw04_sample", "hw04_tweets"])
def test_the_config_files_name_classes_and_options_that_exist(name: str):
    config = OmegaConf.merge({"data_dir": "nowhere", "cache_dir": None}, {"data": OmegaConf.load(CONF / "data" / f"{name}.yaml")})
    assert isinstance(build(OmegaConf.to_container(config, resolve=True)["data"]), Tweets)
