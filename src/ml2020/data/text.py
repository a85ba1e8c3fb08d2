"""Words and their numbers."""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain

import numpy as np
import torch

from ml2020.data.ragged import Ragged


def split_off(text: str) -> str:
    """A sentence as a person types it, in the form of the course's files: lower case, signs split off by blanks."""
    return " ".join(re.findall(r"\w+|[^\w\s]+", text.lower()))


class Vocabulary:
    """`words` by their numbers. The first `specials` of them, `<unk>` among these, stand in no text, even where it spells them."""

    def __init__(self, words: Sequence[str], specials: int = 2) -> None:
        self.words = list(words)
        self.unknown = self.words.index("<unk>")
        self.numbers = {word: number for number, word in enumerate(self.words) if number >= specials}

    @classmethod
    def of(cls, texts: Iterable[str], least: int = 1, specials: Sequence[str] = ("<pad>", "<unk>")) -> Vocabulary:
        """The words that come at least `least` times, the most frequent first, equally frequent ones by the alphabet."""
        counts = Counter(chain.from_iterable(map(str.split, texts)))
        known = [(-count, word) for word, count in counts.items() if count >= least and word not in specials]
        return cls([*specials, *(word for _, word in sorted(known))], len(specials))

    def __len__(self) -> int:
        return len(self.words)

    def encode(self, texts: Iterable[str]) -> Ragged:
        """Texts whose words are split by blanks as numbers; one without a word becomes a single `<unk>`, so that none is empty."""
        tokens, ends = array("i"), array("q", [0])
        numbers, unknown = self.numbers, self.unknown
        for text in texts:
            tokens.extend([numbers.get(word, unknown) for word in text.split()] or [unknown])
            ends.append(len(tokens))
        return Ragged(torch.from_numpy(np.array(tokens, np.int32)), torch.from_numpy(np.array(ends, np.int64)))
