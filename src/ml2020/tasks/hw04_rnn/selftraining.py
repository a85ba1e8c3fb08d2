"""Self-training: a network labels texts that nobody has labelled, and learns from those it is sure of (Yarowsky 1995; Lee 2013)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

from ml2020.core import terminal
from ml2020.core.errors import TypedError, at_least, one_of, within
from ml2020.core.module import Phase
from ml2020.core.processes import place, total
from ml2020.data.ragged import LengthLoader, Ragged
from ml2020.tasks.hw04_rnn import figures
from ml2020.tasks.hw04_rnn.model import Sentiment

SLIPS = ("same_texts", "first_word", "same_order")


def accept(p: Tensor, threshold: float, balanced: bool = False) -> tuple[Tensor, Tensor]:
    """Which of the texts with probabilities `p` (n,) are given a label, (m,) int64 in order, and their labels (m,), 0 or 1.

    p >= threshold is positive, p <= 1 - threshold negative, the rest is left out. `balanced`: of the class with more, only the surest.
    """
    positive = p >= threshold
    negative = (p <= 1 - threshold) & ~positive
    if balanced:
        most = int(min(positive.sum(), negative.sum()))
        positive, negative = _surest(positive, p, most), _surest(negative, 1 - p, most)
    chosen = (positive | negative).nonzero().squeeze(1)
    return chosen, positive[chosen].float()


def _surest(mask: Tensor, sureness: Tensor, most: int) -> Tensor:
    ranked = sureness.masked_fill(~mask, -1).argsort(descending=True, stable=True)[:most]
    return torch.zeros_like(mask).index_fill_(0, ranked, True)


class SelfTraining(Sentiment):
    """Rounds after the labelled phase; a round is a phase. Before it the network as it stands labels a part of the pool.

    `threshold`: see `accept`. `pool_per_round`: texts that are looked at, others in each round (all: the whole pool each time).
    `start` of a round: warm (the network of the round before, `round_epochs`), fresh (a new one, `fresh_epochs`), or fresh_last (warm,
    and a new one in the last round: Xie et al. 2020). `soft`: labels are the probabilities. `accumulate`: texts keep their labels in
    the rounds that follow, until they are looked at again. `labelled_share`: the labelled texts are repeated until they make up so much
    of an epoch. `slips` of the original: same_texts (in every round), first_word (a text's label is that of its first word), same_order
    (of the texts in every epoch).
    """

    def __init__(
        self,
        net: Any,
        vectors: str = "none",
        frozen: bool = False,
        weights: str = "best",
        threshold: float = 0.8,
        rounds: int = 3,
        pool_per_round: int | str = 5000,
        start: str = "fresh_last",
        round_epochs: int = 1,
        fresh_epochs: int = 3,
        balanced: bool = False,
        soft: bool = False,
        accumulate: bool = True,
        labelled_share: float = 0.33,
        slips: list[str] | None = None,
    ) -> None:
        super().__init__(net, vectors, frozen, weights)
        self.threshold = within(0.5, 1, threshold, "model.threshold")
        self.rounds = at_least(0, rounds, "model.rounds")
        self.per_round = pool_per_round if pool_per_round == "all" else at_least(1, pool_per_round, "model.pool_per_round")
        self.start = one_of(("warm", "fresh", "fresh_last"), start, "model.start")
        self.round_epochs = at_least(1, round_epochs, "model.round_epochs")
        self.fresh_epochs = at_least(1, fresh_epochs, "model.fresh_epochs")
        self.balanced, self.soft, self.accumulate = balanced, soft, accumulate
        self.labelled_share = within(0, 0.9, labelled_share, "model.labelled_share")
        self.slips = [one_of(SLIPS, slip, "model.slips") for slip in slips or []]
        # What the pool has been given so far: places of texts (m,), their labels (m,). And a row a round for the reader.
        self.given: dict[str, Tensor] = {"texts": torch.zeros(0, dtype=torch.int64), "labels": torch.zeros(0)}
        self.told: list[dict[str, float]] = []

    def configure(self, spec: dict[str, Any]) -> None:
        """Sentiment's. Raises UserError where a round has no texts to look at, TypedError where it has too few."""
        super().configure(spec)
        if self.rounds:
            self.need_unlabelled(spec)
            if self.per_round != "all" and self.per_round > spec["unlabelled"]:
                raise TypedError(
                    f"model.pool_per_round={self.per_round} is more than the {spec['unlabelled']:,} unlabelled texts; "
                    "type a smaller one, or all"
                )

    def phases(self, data: Any) -> Iterator[Phase]:
        """labelled, then round1, round2, ..."""
        self.data = data
        yield Phase("labelled", self.mixed_loader, data.val_dataloader())
        if self.rounds:
            self.order = torch.randperm(len(data.pool), generator=torch.Generator().manual_seed(data.run_seed))
        for number in range(1, self.rounds + 1):
            fresh = self.start == "fresh" or (self.start == "fresh_last" and number == self.rounds)
            reset = ("optimizer", "weights") if fresh else ("optimizer",)
            epochs = self.fresh_epochs if fresh else self.round_epochs
            yield Phase(f"round{number}", self.mixed_loader, data.val_dataloader(), epochs=epochs, reset=reset)

    def on_phase_end(self, phase: Phase) -> None:
        """The network as it is now labels the texts of the round that follows; after the last round, what it learned from is kept."""
        number = 1 + int(phase.name.removeprefix("round") if phase.name != "labelled" else 0)
        if number <= self.rounds:
            texts = self.texts_of(number)
            chosen, labels = self.label(texts)
            self.tell(number, texts, chosen, labels)
        elif self.told:
            rows = zip(self.given["texts"].tolist(), self.given["labels"].tolist(), strict=True)
            self.keep("pseudo_labels", ("id", "label"), sorted((text, round(label, 4)) for text, label in rows))
            self.keep("rounds", tuple(self.told[0]), [tuple(row.values()) for row in self.told])

    def texts_of(self, number: int) -> Tensor:
        """The texts that a round looks at, by their places in the pool, (k,) int64: others in each round until all have been seen."""
        count = len(self.order)
        size = count if self.per_round == "all" else self.per_round
        first = 0 if "same_texts" in self.slips else (number - 1) * size
        return self.order[torch.arange(first, first + size) % count]

    def label(self, texts: Tensor) -> tuple[Tensor, Tensor]:
        """Give labels to those of the texts that the network is sure of; `accept`'s choice among them and labels."""
        p = self.read(texts)
        chosen, labels = accept(p, self.threshold, self.balanced)
        new = {"texts": texts[chosen], "labels": p[chosen] if self.soft else labels}
        # A text that is looked at again gets its label anew, or loses it.
        stay = ~torch.isin(self.given["texts"], texts) & self.accumulate
        self.given = {name: torch.cat([self.given[name][stay], new[name]]) for name in new}
        return chosen, labels

    def read(self, texts: Tensor) -> Tensor:
        """(k,) how likely each of the texts (k,) is positive; each process reads its share of them, once."""
        here = place()
        return total(self.read_here(texts, torch.arange(here.rank, len(texts), here.world)))

    def read_here(self, texts: Tensor, own: Tensor) -> Tensor:
        """(k,) the same, of the `own` (m,) among them alone; 0 for the others."""
        pool, width = self.data.pool[texts], self.data.pad_to
        if "first_word" in self.slips:
            pool, width = Ragged.of_lengths(pool.tokens[pool.offsets[:-1]], torch.ones_like(texts)), None
        p = torch.zeros(len(texts))
        if len(own):
            loader = self.data.batches(pool[own], torch.arange(len(own)), batch_size=256, pad_to=width)
            p[own] = self.probabilities(loader, len(own))
        return p

    def tell(self, number: int, texts: Tensor, chosen: Tensor, labels: Tensor) -> None:
        """A line on the terminal and a row of the history: looked at, accepted, how many of these positive, how many right."""
        row = {"looked": len(texts), "accepted": len(chosen), "positive": labels.mean().item() if len(labels) else 0.0}
        words = f"round {number}: {len(texts):,} texts looked at, {len(chosen):,} accepted, {row['positive']:.1%} of them positive"
        truth = self.data.truth.get("pool")
        if truth is not None:
            row["right"] = (truth[texts[chosen]] == labels).double().mean().item() if len(chosen) else 0.0
            words += f", {row['right']:.1%} right"
        terminal.say(words)
        self.told.append({"round": number, **row})
        self.log_row(**{f"pool_{name}": value for name, value in row.items()})

    def mixed_loader(self) -> LengthLoader:
        """Labelled texts, repeated to their share, and those of the pool with the labels that they were given."""
        texts, labels = self.data.splits["train"]
        wanted = self.labelled_share / (1 - self.labelled_share) * len(self.given["texts"])
        times = max(1, round(wanted / len(texts)))
        columns = Ragged.cat([texts] * times + [self.data.pool[self.given["texts"]]] * (len(self.given["texts"]) > 0))
        labels = torch.cat([labels.float()] * times + [self.given["labels"]])
        return self.data.batches(columns, labels, shuffle=True, kind=SameOrder if "same_order" in self.slips else LengthLoader)

    def evaluate_end(self) -> dict[str, Tensor | float]:
        """Sentiment's; for what was trained on also how many labels the pool was given in all rounds, and the share that is right."""
        values = super().evaluate_end()
        if self.split == "train" and self.told:
            accepted = sum(row["accepted"] for row in self.told)
            values["pool_accepted"] = float(accepted)
            if "right" in self.told[0]:
                values["pool_right"] = sum(row["accepted"] * row["right"] for row in self.told) / max(1, accepted)
        return values

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["pseudo"] = {"given": dict(self.given), "told": [dict(row) for row in self.told]}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if "pseudo" in checkpoint:
            self.given, self.told = dict(checkpoint["pseudo"]["given"]), list(checkpoint["pseudo"]["told"])

    def figures(self, data: Any, history: Any) -> Iterator[tuple[str, Figure]]:
        """What Sentiment draws, the rounds (accepted, right, what it did to the accuracy), and how sure the network is of the pool."""
        yield from super().figures(data, history)
        if self.told:
            yield "rounds", figures.rounds(self.told, history.rows)
            some = self.order[:5000]
            truth = data.truth["pool"][some].numpy() if "pool" in data.truth else None
            p = self.read_here(some, torch.arange(len(some)))  # figures are drawn by one process, when the others have gone
            yield "pool", figures.pool(p.numpy(), truth, self.threshold)


class SameOrder(LengthLoader):
    """A slip of the original: every epoch has one order."""

    def order(self, number: int) -> Tensor:
        return super().order(0)
