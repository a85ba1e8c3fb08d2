"""Positive or negative: what every model of this homework shares."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor, nn
from torchmetrics.functional.classification import binary_auroc

from ml2020.core.errors import TypedError, UserError, one_of
from ml2020.core.loaders import TensorLoader
from ml2020.core.module import Module, Phase
from ml2020.core.network import network_figure
from ml2020.data.text import Vocabulary, split_off
from ml2020.tasks.hw04_rnn import figures

# The course's pair: the same words, and the opposite meaning, for whoever reads their order.
SENTENCES = {"good_but_hot": "today is a good day, but it is hot", "hot_but_good": "today is hot, but it is a good day"}


SPREAD = 0.5  # standard deviation of the word vectors' numbers: as they come out of skip-gram (0.1 to 0.3) a new LSTM hardly hears them


class Sentiment(Module):
    """Gives each text its log odds of being positive. `net(words=, pad=, unknown=)` makes the network.

    `vectors`: where the embedding starts, none (random) or skipgram (learned from all texts, skipgram.py); `frozen`: it stays there.
    `weights`: those that are best on the validation texts leave a phase, or the last.
    """

    def __init__(self, net: Callable[..., nn.Module], vectors: str = "none", frozen: bool = False, weights: str = "best") -> None:
        super().__init__()
        self.make_net = net
        self.choose_by = one_of(("best", "last"), weights, "model.weights")
        self.vectors, self.frozen = one_of(("none", "skipgram"), vectors, "model.vectors"), frozen

    def configure(self, spec: dict[str, Any]) -> None:
        """The network for a vocabulary; `spec` as data.Tweets gives it."""
        self.words, self.tested = spec["words"], spec["tested"]
        self.net = self.make_net(words=len(self.words), pad=spec["pad"], unknown=spec["unk"])
        if hasattr(self.net, "embedding"):
            self.net.embedding.spell(self.words)
        if not hasattr(self.net, "embedding") and (self.frozen or self.vectors != "none"):
            raise TypedError("model.vectors and model.frozen are for networks with an embedding of their words; this one has none")
        if self.frozen:
            self.net.embedding.table.weight.requires_grad_(False)
        self.pair = Vocabulary(self.words).encode(split_off(sentence) for sentence in SENTENCES.values())
        self.pad_to = spec["pad_to"]
        self.batches: list[tuple[Tensor, ...]] = []
        self.kept: dict[str, tuple[Tensor, Tensor, Tensor]] = {}

    def need_unlabelled(self, spec: dict[str, Any]) -> None:
        """Refuse data without unlabelled texts. Raises UserError."""
        if not spec["unlabelled"]:
            raise UserError(
                "there are no unlabelled texts to learn from (in the course's folder: training_nolabel.txt); "
                "model=hw04_bilstm model.rounds=0 learns from labels alone"
            )

    def phases(self, data: Any) -> Iterator[Phase]:
        self.data = data
        yield Phase("labelled", data.train_dataloader(), data.val_dataloader())

    def on_phase_start(self, phase: Phase) -> None:
        """A new network begins with the word vectors."""
        if self.vectors == "skipgram" and (phase.name == "labelled" or "weights" in phase.reset):
            table = self.net.embedding.table.weight
            vectors = self.data.vectors(dim=table.shape[1])
            with torch.no_grad():
                table.copy_(vectors * (SPREAD / vectors[vectors.any(1)].std()))

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """(n, t) word numbers and (n,) how many of them are words -> log odds (n,)."""
        return self.net(tokens, lengths)

    def loss(self, batch: tuple[Tensor, ...]) -> Tensor:
        tokens, lengths, labels = batch
        odds = self(tokens, lengths)
        return F.binary_cross_entropy_with_logits(odds, labels.to(odds.dtype))

    def evaluate_step(self, batch: tuple[Tensor, ...]) -> None:
        tokens, lengths, labels, place = batch
        self.batches.append((self(tokens, lengths).double().cpu(), labels.cpu(), place.cpu()))

    def evaluate_end(self) -> dict[str, Tensor]:
        """acc, error, auc, loss (nats); of the split that judges also the probabilities of the course's pair of sentences."""
        odds, labels, place = (torch.cat(parts) for parts in zip(*self.batches, strict=True))
        self.batches.clear()
        self.kept[self.split] = odds, labels, place
        right = ((odds > 0) == (labels == 1)).double().mean()
        values = {"acc": right, "error": 1 - right, "auc": binary_auroc(odds, labels)}
        values["loss"] = F.binary_cross_entropy_with_logits(odds, labels.double())
        return values | (self.said_of_the_pair() if self.split == self.tested else {})

    def said_of_the_pair(self) -> dict[str, Tensor]:
        """How likely each of the two sentences is positive."""
        tokens, lengths = self.pair.padded(torch.arange(len(SENTENCES)), self.pad_to)
        with torch.no_grad():
            return dict(zip(SENTENCES, self(tokens.to(self.device), lengths.to(self.device)).sigmoid().double(), strict=True))

    @torch.no_grad()
    def probabilities(self, loader: TensorLoader, count: int) -> Tensor:
        """(count,) how likely each text is positive; batches of `loader` end with the texts' places. Not in training mode."""
        training = self.training
        self.eval()
        found = torch.zeros(count)
        for tokens, lengths, *_, place in loader.to(self.device):
            found[place.cpu()] = self(tokens, lengths).sigmoid().float().cpu()
        self.train(training)
        return found

    def predict_rows(self, loader: TensorLoader) -> tuple[tuple[str, str], list[tuple[int, int]]]:
        """The course's submission: header id,label, then a row a text, by its id."""
        named = [(ids, self(tokens, lengths) > 0) for tokens, lengths, ids in loader]
        rows = [(int(one), int(label)) for ids, labels in named for one, label in zip(ids, labels, strict=True)]
        return ("id", "label"), sorted(rows)

    def export_example(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return batch[:2]

    def figures(self, data: Any, history: Any) -> Iterator[tuple[str, Figure]]:
        """Learning curves, how sure it is, the surest mistakes; where there is attention, the words that count."""
        starts = {row["phase"]: row["step"] for row in reversed(history.rows)}
        yield "curves", figures.curves(*(history.series(name) for name in ("train/loss", "val/loss", "val/acc")), starts)
        odds, labels, place = (part.numpy() for part in self.kept[self.tested])
        yield "probabilities", figures.probabilities(odds, labels, self.tested)
        yield "mistakes", figures.mistakes([data.texts[self.tested][i] for i in place], odds, labels, self.tested)
        yield (
            "network",
            network_figure(self, torch.ones(1, self.pad_to or 12, dtype=torch.int64), torch.tensor([min(self.pad_to or 12, 12)])),
        )
        if getattr(self.net, "score", None) is not None:
            texts = data.splits[self.tested][0]
            tokens, lengths = texts.padded(torch.arange(min(12, len(texts))), data.pad_to)
            with torch.no_grad():
                weights = self.net.attention(self.net.states(tokens, lengths)[0], lengths)
            words = [data.texts[self.tested][i].split()[:n] for i, n in enumerate(lengths.tolist())]
            yield "attention", figures.attention(words, [w[: len(text)].numpy() for w, text in zip(weights, words, strict=True)])
