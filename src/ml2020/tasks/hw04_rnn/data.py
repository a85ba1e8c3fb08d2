"""Tweets and whether they are meant well: generated ones, or the course's files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ml2020.core.data import DataModule, Source
from ml2020.core.errors import TypedError, UserError, at_least, one_of, within
from ml2020.core.loaders import TensorLoader
from ml2020.data.cache import cached, fingerprint
from ml2020.data.ragged import PAD, LengthLoader, Ragged
from ml2020.data.text import Vocabulary
from ml2020.tasks.hw04_rnn import files, tweets
from ml2020.tasks.hw04_rnn.skipgram import word_vectors


@dataclass
class Part:
    """Texts of a split; labels and what is true, (n,) uint8, 1 = positive, where they are known."""

    texts: list[str]
    labels: np.ndarray | None = None
    truth: np.ndarray | None = None

    def __getitem__(self, index: np.ndarray) -> Part:
        labels, truth = (None if values is None else values[index] for values in (self.labels, self.truth))
        return Part([self.texts[i] for i in index], labels, truth)


class Tweets(DataModule):
    """Texts in splits: `splits[name]` is (Ragged, labels (n,) int64), or (Ragged,) where nobody has labelled them.

    train: the labels that are used, `labels` of those there are, drawn by the run's seed; a smaller draw lies inside a larger one. val,
    test where there is one, predict (for the submission, in the order of `ids`), and pool, the unlabelled texts, of which `pool_size`
    are used. `texts[name]` are the same as strings. `truth[name]` (n,) int64 holds what is true of texts whose labels are noisy or
    hidden, where it is known: {} for real tweets.

    `spec`: words, the vocabulary in the order of its numbers (`<pad>` 0, `<unk>` 1, then by frequency); pad and unk, those numbers;
    pad_to; positives, the training texts' share of label 1; tested, the split that judges; unlabelled, how many texts the pool has.

    The vocabulary holds the words seen `min_count` times in the labelled and the unlabelled texts, whose labels are not looked at and
    which are the same for every run's seed; or, with vocabulary=labelled, in the training texts alone.
    """

    def __init__(
        self,
        labels: int | None = None,
        pool_size: int | None = None,
        vocabulary: str = "all",
        min_count: int = 3,
        pad_to: int | None = None,
        seed: int = 0,
        batch_size: int = 32,
        cache_dir: str | None = None,
    ) -> None:
        super().__init__(at_least(1, batch_size, "data.batch_size"))
        self.labels = None if labels is None else at_least(2, labels, "data.labels")
        self.pool_size = None if pool_size is None else at_least(1, pool_size, "data.pool_size")
        self.vocabulary_of = one_of(("all", "labelled"), vocabulary, "data.vocabulary")
        self.min_count = at_least(1, min_count, "data.min_count")
        self.pad_to = None if pad_to is None else at_least(1, pad_to, "data.pad_to")
        self.seed = at_least(0, seed, "data.seed")
        self.cache_dir = cache_dir
        self.splits: dict[str, tuple[Any, ...]] = {}
        self.texts: dict[str, list[str]] = {}
        self.truth: dict[str, Tensor] = {}
        self.ids: list[int] = []

    def number(self, parts: dict[str, Part], key: dict[str, object]) -> None:
        """Texts to numbers: fill in everything from `parts` (labelled, val, and test, pool, predict where they are there).

        `key` is plain data that changes with the texts. Raises UserError for too few labels.
        """
        labelled = parts.pop("labelled")
        parts = {"train": labelled[self.drawn(labelled)], **parts}
        if "pool" in parts and self.pool_size is not None:
            size = at_most(len(parts["pool"].texts), self.pool_size, "data.pool_size", "unlabelled texts")
            parts["pool"] = parts["pool"][np.arange(size)]
        corpus = labelled.texts + (parts["pool"].texts if "pool" in parts else [])
        vocabulary = Vocabulary.of(corpus if self.vocabulary_of == "all" else parts["train"].texts, self.min_count)
        for split, part in parts.items():
            self.texts[split] = part.texts
            self.splits[split] = (vocabulary.encode(part.texts), *([] if part.labels is None else [_tensor(part.labels)]))
            if part.truth is not None:
                self.truth[split] = _tensor(part.truth)
        self.vocabulary = vocabulary
        self.corpus = vocabulary.encode(corpus)
        self.spec = {
            "words": vocabulary.words,
            "pad": PAD,
            "unk": vocabulary.unknown,
            "pad_to": self.pad_to,
            "positives": self.splits["train"][1].double().mean().item(),
            "tested": "test" if "test" in self.splits else "val",
            "unlabelled": len(self.texts.get("pool", [])),
        }
        words = {"train": "for training", "val": "for validation", "test": "for the test", "pool": "unlabelled", "predict": "to name"}
        self.counts = {words[split]: len(texts) for split, texts in self.texts.items()}
        chosen = {"labels": len(parts["train"].texts), "pool_size": self.pool_size, "pad_to": self.pad_to}
        self.fingerprint = fingerprint(key | chosen | {"vocabulary": self.vocabulary_of, "min_count": self.min_count})

    def drawn(self, labelled: Part) -> np.ndarray:
        """Which of the labelled texts are trained on."""
        there = len(labelled.texts)
        used = there if self.labels is None else at_most(there, self.labels, "data.labels", "labelled texts that are for training")
        order = np.random.default_rng([self.run_seed, 6]).permutation(there)[:used]
        if len(np.unique(labelled.labels[order])) < 2:
            raise UserError(f"{self.source.name}: the {used} training texts are all of one class; both are needed")
        return order

    @property
    def pool(self) -> Ragged:
        """The unlabelled texts; what is true of them is `truth.get("pool")`. Raises UserError where there are none."""
        if "pool" not in self.splits:
            raise UserError(self.without_pool())
        return self.splits["pool"][0]

    def without_pool(self) -> str:
        return f"{self.source.name} has no unlabelled texts, which self-training learns from"

    def vectors(self, **settings: float) -> Tensor:
        """(words, dim) word vectors learned from labelled and unlabelled texts by skipgram.py, with its `settings`; cached."""
        return word_vectors(self.corpus, len(self.vocabulary), self.cache_dir, **settings)

    def batches(self, *columns: Ragged | Tensor, kind: type[LengthLoader] = LengthLoader, **options: Any) -> LengthLoader:
        """A seeded loader of texts and what belongs to each; `options` as LengthLoader's, batch_size among them."""
        return kind(columns, **{"batch_size": self.batch_size, "seed": self.run_seed, "pad_to": self.pad_to, **options})

    def numbered(self, texts: Ragged, *columns: Tensor, batch_size: int = 256) -> LengthLoader:
        """Each text once, by length: a batch is tokens, lengths, its rows of `columns`, and the texts' places among `texts`."""
        return self.batches(texts, *columns, torch.arange(len(texts), device=texts.device), batch_size=batch_size)

    def train_dataloader(self) -> LengthLoader:
        """Batches of tokens (n, longest), lengths (n,) and labels (n,)."""
        return self.batches(*self.splits["train"], shuffle=True)

    def val_dataloader(self) -> LengthLoader:
        return self.numbered(*self.splits["val"])

    def evaluation_loaders(self) -> dict[str, TensorLoader]:
        """Batches of tokens, lengths, labels, and the texts' places in `texts[split]`."""
        return {split: self.numbered(*self.splits[split]) for split in ("train", "val", "test") if split in self.splits}

    def pool_loader(self) -> LengthLoader:
        """Batches of tokens, lengths and places, over the unlabelled texts."""
        return self.numbered(self.pool)

    def predict_loader(self) -> LengthLoader:
        """The texts to be named for a submission: batches of tokens, lengths and ids."""
        texts = self.splits["predict" if "predict" in self.splits else "test"][0]
        return self.batches(texts, torch.tensor(self.ids), batch_size=256)


class Generated(Tweets):
    """Generated tweets (the embedded data): 2,000 labelled, 1,000 for validation, 4,000 for the test, 60,000 unlabelled.

    Labels for training and validation are wrong with probability 0.08; test labels are true, and so is what is kept of the pool.
    """

    source = Source("generated tweets: not real sentences", "generated", "none needed")

    def prepare(self) -> None:
        """Write the texts, or read them from the cache."""
        words = fingerprint(tweets.word_lists())
        key = {"generator": tweets.GENERATOR, "words": words, "seed": self.seed, "texts": tweets.TEXTS}
        arrays = cached(self.cache_dir, "hw04_sample", key, self.written)
        parts = {
            split: Part(arrays[f"{split}_texts"].tobytes().decode().split("\n"), arrays[f"{split}_labels"], arrays[f"{split}_truth"])
            for split in tweets.TEXTS
        }
        parts["pool"].labels = None
        self.ids = list(range(len(parts["test"].texts)))
        self.number(parts, key)

    def written(self) -> dict[str, np.ndarray]:
        """What tweets.draw gives, by split_name; texts as bytes, one a line."""
        arrays = {}
        for split, (texts, labels, truth) in tweets.draw(self.seed).items():
            arrays[f"{split}_texts"] = np.frombuffer("\n".join(texts).encode(), np.uint8)
            arrays[f"{split}_labels"], arrays[f"{split}_truth"] = labels, truth
        return arrays


class Course(Tweets):
    """A folder with the course's training_label.txt, training_nolabel.txt and testing_data.txt; the last two may be missing.

    `val_share` of the labelled texts is for validation; the same text, written several times, is never on both sides. `more`: further
    files of unlabelled texts in the folder, one a line or `id,text`.
    """

    def __init__(
        self,
        path: str,
        labels: int | None = None,
        val_share: float = 0.1,
        pool_size: int | None = None,
        more: list[str] | None = None,
        vocabulary: str = "all",
        min_count: int = 3,
        pad_to: int | None = None,
        seed: int = 0,
        batch_size: int = 32,
        cache_dir: str | None = None,
    ) -> None:
        super().__init__(labels, pool_size, vocabulary, min_count, pad_to, seed, batch_size, cache_dir)
        self.folder = Path(path).expanduser()
        self.val_share = within(0.01, 0.9, val_share, "data.val_share")
        self.more = list(more or [])

    def prepare(self) -> None:
        """Read the files. Raises UserError for what is missing or broken."""
        texts, labels = files.read_labelled(self.folder)
        parts = self.divided(Part(texts, labels))
        pool = [self.folder / name for name in self.more]
        if (self.folder / files.UNLABELLED).exists():
            pool.insert(0, self.folder / files.UNLABELLED)
        if pool:
            parts["pool"] = Part([text for file in pool for text in files.read_unlabelled(file)])
        if (self.folder / files.TESTING).exists():
            found, self.ids = files.read_numbered(self.folder / files.TESTING)
            parts["predict"] = Part(found)
        self.source = source_of(self.folder, len(texts), len(self.ids))
        content = {name: part.texts for name, part in parts.items()} | {"labels": labels.tolist()}
        self.number(parts, {"texts": fingerprint(content)})

    def divided(self, everything: Part) -> dict[str, Part]:
        """The labelled texts cut into those for training and those for validation, by data.seed."""
        distinct = {text: i for i, text in enumerate(dict.fromkeys(everything.texts))}
        if len(distinct) < 10:
            raise UserError(f"{self.folder / files.LABELLED} holds {len(distinct)} distinct texts; at least 10 are needed")
        order = np.random.default_rng([self.seed, 2]).permutation(len(distinct))
        own = np.isin([distinct[text] for text in everything.texts], order[: max(1, round(self.val_share * len(order)))])
        return {"labelled": everything[np.flatnonzero(~own)], "val": everything[np.flatnonzero(own)]}

    def without_pool(self) -> str:
        return f"there is no {self.folder / files.UNLABELLED}, whose texts self-training learns from"

    def predict_loader(self) -> LengthLoader:
        if "predict" not in self.splits:
            raise UserError(f"there is no {self.folder / files.TESTING}, whose texts are to be named")
        return super().predict_loader()


def source_of(folder: Path, labelled: int, testing: int) -> Source:
    """The course's tweets and the public ones like them are known by their counts; anything else is called what it is."""
    if (labelled, testing) == (200_000, 200_000):
        return Source("the course's tweets", "course", "as the course's; texts belong to their authors")
    if (labelled, testing) == (20_000, 5_000):
        return Source("tweets of Sentiment140 in the course's format", "same kind", "texts: Sentiment140")
    return Source(f"the tweets in {folder.name}", "files", "unknown")


def at_most(most: int, value: int, key: str, what: str) -> int:
    """`value`, if there are as many."""
    if value > most:
        raise TypedError(f"{key} must be at most {most}, the {what} here, not {value}")
    return value


def _tensor(labels: np.ndarray) -> Tensor:
    return torch.from_numpy(labels.astype(np.int64))
