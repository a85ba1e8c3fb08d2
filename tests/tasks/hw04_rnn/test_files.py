"""The course's three files: what is read, and which line is told where something is wrong."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ml2020.core.errors import UserError
from ml2020.tasks.hw04_rnn.files import read_labelled, read_lines, read_numbered, read_unlabelled

SHARED = Path(os.environ.get("ML2020_SHARED_DATA") or Path(__file__).parents[4] / "shared" / "data") / "hw04"


def labelled(tmp_path: Path, content: str | bytes) -> tuple[list[str], list[int]]:
    return read(tmp_path, "training_label.txt", content, lambda file: read_labelled(file.parent))


def read(tmp_path: Path, name: str, content: str | bytes, reader: object) -> tuple:
    file = tmp_path / name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    texts, numbers = reader(file)
    return texts, list(numbers)


def test_labels_and_texts_are_split_at_the_mark(tmp_path: Path):
    content = "1 +++$+++ are wtf ... awww thanks !\n0 +++$+++ leaving to wait for kathy +++$+++ so sad\n"
    assert labelled(tmp_path, content) == (["are wtf ... awww thanks !", "leaving to wait for kathy +++$+++ so sad"], [1, 0])


def test_lines_end_at_line_feeds_alone(tmp_path: Path):
    # A form feed, a record separator, a line separator and a lone carriage return are signs of the tweet.
    content = "1 +++$+++ a\u2028b\x0cc\x1ed\re\r\n0 +++$+++ f\r\n"
    assert labelled(tmp_path, content) == (["a\u2028b\x0cc\x1ed\re", "f"], [1, 0])


def test_empty_lines_a_mark_of_the_encoding_and_a_missing_last_line_feed_do_no_harm(tmp_path: Path):
    assert labelled(tmp_path, "\ufeff1 +++$+++ a\n\n0 +++$+++ b\n1 +++$+++\n\n\n0 +++$+++ c") == (["a", "b", "", "c"], [1, 0, 1, 0])


def test_commas_and_quotes_of_a_text_are_its_own(tmp_path: Path):
    content = 'id,text\n0,well , " hello , you\n7, b\n'
    assert read(tmp_path, "testing_data.txt", content, read_numbered) == (['well , " hello , you', "b"], [0, 7])


def test_unlabelled_texts_come_one_a_line_or_below_a_header(tmp_path: Path):
    (tmp_path / "a").write_text("hates the cold\n\nid like, that\n")
    (tmp_path / "b").write_text("id,test\n0,my dog\n1,a , b\n")
    assert read_unlabelled(tmp_path / "a") == ["hates the cold", "", "id like, that"]  # the line's number is the text's
    assert read_unlabelled(tmp_path / "b") == ["my dog", "a , b"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "training_label.txt is empty"),
        ("\n \n", "training_label.txt is empty"),
        ("1 +++$+++ a\n0 b c\n", "training_label.txt: line 2 has no +++$+++ between label and text: '0 b c'"),
        ("1 +++$+++ a\n\n\n0 ++$++ b\n", "line 4 has no +++$+++"),
        ("2 +++$+++ a\n", "line 1 has the label '2'; it must be 0 or 1"),
        ("1 +++$+++ a\n +++$+++ b\n", "line 2 has the label ''; it must be 0 or 1"),
        ("1 +++$+++ a\n1.0 +++$+++ b\n", "line 2 has the label '1.0'"),
        ("1 +++$+++ a\npositive +++$+++ b\n", "line 2 has the label 'positive'"),
        ("id,label\n0,1\n", "line 1 has no +++$+++ between label and text: 'id,label'"),
        ("x" * 99 + "\n", "'" + "x" * 40 + "...'"),
        (b"1 +++$+++ a\n0 +++$+++ caf\xe9\n", "training_label.txt: line 2 is not UTF-8"),
        ("1 +++$+++ a\n0 +++$+++ b\n".encode("utf-16"), "training_label.txt: line 1 is not UTF-8"),
    ],
)
def test_a_broken_line_of_labels_is_told(content: str | bytes, sentence: str, tmp_path: Path):
    with pytest.raises(UserError) as told:
        labelled(tmp_path, content)
    assert sentence in str(told.value) and "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "testing_data.txt is empty"),
        ("id,text\n", "testing_data.txt has a header but no texts"),
        ("0,a\n1,b\n", "testing_data.txt: line 1 must be id,text, not '0,a'"),
        ("id,text\n0,a\nb c\n", "line 3 must be a number, a comma and a text, not 'b c'"),
        ("id,text\n0,a\n\n2,b\n", "line 3 must be a number, a comma and a text, not ''"),
        ("id,text\nx,a\n", "line 2 must be a number, a comma and a text, not 'x,a'"),
        ("id,text\n-1,a\n", "line 2 must be a number"),
        ("id,text\n5,a\n6,b\n5,c\n", "line 4 has the id 5 of line 2"),
        (b"id,text\n0,\xff\n", "line 2 is not UTF-8"),
    ],
)
def test_a_broken_table_of_texts_is_told(content: str | bytes, sentence: str, tmp_path: Path):
    with pytest.raises(UserError) as told:
        read(tmp_path, "testing_data.txt", content, read_numbered)
    assert sentence in str(told.value) and "\n" not in str(told.value)


def test_a_missing_file_and_a_folder_in_its_place_are_told(tmp_path: Path):
    with pytest.raises(UserError, match=r"there is no .*training_label.txt; set data_dir=, or data.path="):
        read_labelled(tmp_path)
    (tmp_path / "training_label.txt").mkdir()
    with pytest.raises(UserError, match=r"training_label.txt cannot be read: Is a directory"):
        read_labelled(tmp_path)


@pytest.mark.skipif(not (SHARED / "training_label.txt").exists(), reason="the real tweets are not here")
def test_the_real_tweets_are_read_as_they_stand():
    texts, labels = read_labelled(SHARED)
    assert len(texts) == 20_000 and labels.mean() == pytest.approx(0.5, abs=0.02) and texts[0] == "ahhh i hope your ok !!!"
    lines = (SHARED / "training_label.txt").read_text(encoding="utf8").split("\n")
    assert [f"{label} +++$+++ {text}" for label, text in zip(labels, texts, strict=True)] == [line.rstrip() for line in lines[:-1]]
    assert len(read_unlabelled(SHARED / "training_nolabel.txt")) == 60_000
    assert len(read_unlabelled(SHARED / "course_fall2020_testing_data.txt")) == 10_000
    assert read_numbered(SHARED / "testing_data.txt")[1] == list(range(5_000))
    assert len(read_lines(SHARED / "testing_data.txt")) == 5_001
