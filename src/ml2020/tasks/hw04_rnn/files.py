"""Readers of the course's tweets: one a line, words and signs split off by blanks, UTF-8.

Lines are counted from 1. Whatever is wrong is one sentence (UserError).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ml2020.core.errors import UserError

LABELLED, UNLABELLED, TESTING = "training_label.txt", "training_nolabel.txt", "testing_data.txt"
_MARK = "+++$+++"


def read_lines(file: Path) -> list[str]:
    """The lines of a file; those behind the last text are left away. Raises UserError for one that is missing, empty or no text."""
    try:
        content = file.read_bytes()
        # Split at line feeds alone: tweets hold other signs that Python takes for the end of a line.
        lines = content.decode("utf-8-sig").rstrip().split("\n")
    except FileNotFoundError:
        raise UserError(f"there is no {file}; set data_dir=, or data.path= to the folder of {LABELLED}") from None
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(f"{file}: line {line} is not UTF-8; save the file in that encoding") from error
    if lines == [""]:
        raise UserError(f"{file} is empty")
    return [line.rstrip("\r") for line in lines]


def read_labelled(folder: Path) -> tuple[list[str], np.ndarray]:
    """Texts and labels (n,) uint8 of `0 +++$+++ text`, 1 = positive; empty lines are passed over."""
    file = folder / LABELLED
    texts, labels = [], []
    for number, line in enumerate(read_lines(file), 1):
        if not line.strip():
            continue
        label, mark, text = line.partition(_MARK)
        if not mark:
            raise UserError(f"{file}: line {number} has no {_MARK} between label and text: {_short(line)}")
        if label.strip() not in ("0", "1"):
            raise UserError(f"{file}: line {number} has the label {_short(label)}; it must be 0 or 1")
        texts.append(text.strip())
        labels.append(int(label))
    return texts, np.array(labels, np.uint8)


def read_numbered(file: Path) -> tuple[list[str], list[int]]:
    """Texts and ids of a table `id,text`; commas in a text are the text's own."""
    header, *lines = read_lines(file)
    if header.partition(",")[0].strip().lower() != "id":
        raise UserError(f"{file}: line 1 must be id,text, not {_short(header)}")
    if not lines:
        raise UserError(f"{file} has a header but no texts")
    texts, ids = [], {}
    for number, line in enumerate(lines, 2):
        identity, comma, text = line.partition(",")
        if not comma or not identity.strip().isdecimal():
            raise UserError(f"{file}: line {number} must be a number, a comma and a text, not {_short(line)}")
        if int(identity) in ids:
            raise UserError(f"{file}: line {number} has the id {int(identity)} of line {ids[int(identity)]}")
        ids[int(identity)] = number
        texts.append(text.strip())
    return texts, list(ids)


def read_unlabelled(file: Path) -> list[str]:
    """The texts of a file without labels: one a line, or `id,text` below such a header."""
    lines = read_lines(file)
    if lines[0].partition(",")[0].strip().lower() == "id":
        return read_numbered(file)[0]
    return [line.strip() for line in lines]


def _short(text: str) -> str:
    text = text.strip()
    return repr(text if len(text) <= 40 else text[:40] + "...")
