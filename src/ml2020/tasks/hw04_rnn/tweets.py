"""Generated tweets: opinions about twelve everyday things, by rules and word lists; nobody wrote them.

Two seeds: the world's (which word is how frequent) never changes, so that every draw is of one language; the sample's says which texts
are drawn. What makes a text positive or negative is known by construction: the label is that of the main clause, so "but", "although",
"not" and "i wish" turn it against the words that a text holds. Frequencies follow Zipf's law: a few hundred labels show only part of
the words, the unlabelled texts show them all.
"""

from __future__ import annotations

import configparser
from bisect import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np

GENERATOR = 1  # goes up whenever the texts of the same seed change
TEXTS = {"labelled": 2_000, "val": 1_000, "test": 4_000, "pool": 60_000}  # in this order: a text belongs to the first that draws it
_STREAMS = {"labelled": 1, "pool": 2, "test": 3, "val": 4, "noise": 5}
NOISE = 0.08  # of the labels of the first two splits are turned round

HEADS = ("the {noun} was", "the {aspect} of the {noun} was", "it is", "it is a", "it feels")
FEELS = {"not": "it does not feel", "not at all": "it does not feel at all", "never": "it never feels", "hardly": "it hardly feels"}
CONTRASTS = (", but", "but", ". but", ", however", ", yet")
NEGATORS = ("not", "not at all", "never", "far from", "hardly", "anything but")
_NEGATOR_SHARES = (0.5, 0.1, 0.15, 0.1, 0.1, 0.05)
JOINTS = (",", "and", ".", "!")
ENDS = ("", "", "", ".", "!", "...")


@dataclass(frozen=True)
class Topic:
    """One thing to tweet about. `adjectives`: those of its own, negative and positive, from the most frequent to the rarest."""

    name: str
    nouns: list[str]
    aspects: list[str]
    adjectives: tuple[list[str], list[str]]


@dataclass(frozen=True)
class World:
    """The words in the order of their frequency; of each pair of lists the first is negative, the second positive."""

    topics: list[Topic]
    adjectives: tuple[list[str], list[str]]
    verbs: tuple[list[str], list[str]]
    events: tuple[list[str], list[str]]
    cries: tuple[list[str], list[str]]
    neutral: list[str]
    intensifiers: list[str]
    openers: list[str]


def word_lists() -> dict[str, dict[str, list[str]]]:
    """Section -> kind -> words of words.txt."""
    parser = configparser.ConfigParser(delimiters=("=",), comment_prefixes=("#",), interpolation=None)
    parser.read_string(resources.files("ml2020.tasks.hw04_rnn").joinpath("words.txt").read_text(encoding="utf8"))
    return {
        section: {kind: [word.strip() for word in text.replace("\n", " ").split(",")] for kind, text in parser[section].items()}
        for section in parser.sections()
    }


@cache
def world() -> World:
    """The words of words.txt."""
    lists = word_lists()

    def pair(section: str) -> tuple[list[str], list[str]]:
        return lists[section]["negative"], lists[section]["positive"]

    topics = [
        Topic(section.removeprefix("topic "), kinds["nouns"], kinds["aspects"], pair(section))
        for section, kinds in lists.items()
        if section.startswith("topic ")
    ]
    return World(
        topics,
        *(pair(section) for section in ("adjectives", "verbs", "events", "extras")),
        lists["neutral"]["clauses"],
        lists["extras"]["intensifiers"],
        lists["extras"]["openers"],
    )


class Dice:
    """Random choices from one generator; its numbers are drawn in blocks, since one by one they cost ten times as much."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.uniform = self._numbers(rng).__next__

    @staticmethod
    def _numbers(rng: np.random.Generator) -> Iterator[float]:
        while True:
            yield from rng.random(65_536).tolist()

    def chance(self, probability: float) -> bool:
        return self.uniform() < probability

    def any_of(self, items: Sequence[str]) -> str:
        return items[int(self.uniform() * len(items))]

    def by_share(self, items: Sequence, running: Sequence[float]) -> object:
        """One of the items, whose shares are added up in `running` (the last of which is 1)."""
        return items[min(bisect(running, self.uniform()), len(items) - 1)]

    def by_rank(self, items: Sequence, exponent: float) -> object:
        """One of the items; the k-th comes with a share of k^-exponent (Zipf's law)."""
        return self.by_share(items, _zipf(len(items), exponent))


@cache
def _zipf(count: int, exponent: float) -> list[float]:
    shares = np.arange(1, count + 1) ** -exponent
    return (shares.cumsum() / shares.sum()).tolist()


class Writer:
    """Writes texts of a world with the numbers of one generator."""

    def __init__(self, rng: np.random.Generator, of: World) -> None:
        self.dice, self.world = Dice(rng), of
        self.negators = np.cumsum(_NEGATOR_SHARES).tolist()

    def text(self) -> tuple[str, int]:
        """A text, its words and signs split off by blanks, and its label: 1 = positive, 0 = negative."""
        dice = self.dice
        topic, label = dice.by_rank(self.world.topics, 0.3), int(dice.chance(0.5))
        text = self.opinion(topic, label)
        if dice.chance(0.45):
            parts = (dice.any_of(self.world.neutral), dice.any_of((",", ".", "and")), text)
            text = " ".join(parts if dice.chance(0.5) else parts[::-1])
        if dice.chance(0.15):
            text = f"{dice.any_of(self.world.openers)} {text}"
        text = f"{text} {dice.any_of(ENDS)}"
        if dice.chance(0.15):
            text = f"{text} {dice.any_of(self.world.cries[label if dice.chance(0.85) else 1 - label])}"
        return " ".join(map(self.typed, text.split())), label

    def opinion(self, topic: Topic, label: int) -> str:
        """Clauses that together say what the label says."""
        dice, structure = self.dice, self.dice.uniform()
        if structure < 0.18:
            return f"{self.clause(topic, 1 - label)} {dice.any_of(CONTRASTS)} {self.clause(topic, label)}"
        if structure < 0.24:
            aside, main = f"although {self.clause(topic, 1 - label)}", self.clause(topic, label)
            return f"{aside} , {main}" if dice.chance(0.5) else f"{main} , {aside}"
        text = self.clause(topic, label)
        for _ in range(dice.by_share((0, 1, 2), (0.45, 0.87, 1.0))):
            text = f"{text} {dice.any_of(JOINTS)} {self.clause(topic, label if dice.chance(0.98) else 1 - label)}"
        return text

    def clause(self, topic: Topic, sign: int) -> str:
        """A clause that is negative (0) or positive (1) as a whole."""
        dice, kind = self.dice, self.dice.uniform()
        if kind < 0.10:
            return dice.any_of(self.world.events[sign])
        noun = dice.any_of(topic.nouns)
        if kind < 0.25:
            negated = dice.chance(0.12)
            verb = dice.any_of(self.world.verbs[1 - sign if negated else sign])
            return f"i {'do not ' * negated}{verb} {dice.any_of(('the', 'this'))} {noun}"
        if kind < 0.29:
            adjective = self.adjective(topic, 1 - sign)
            return f"i was afraid the {noun} would be {adjective}" if sign else f"i wish the {noun} was {adjective}"
        return self.judgement(topic, noun, sign)

    def judgement(self, topic: Topic, noun: str, sign: int) -> str:
        """Head, negator, intensifier, adjectives: the battery of the phone was not very good."""
        dice = self.dice
        head, negator, intensifier = dice.any_of(HEADS), "", ""
        if dice.chance(0.12):
            negator, sign = dice.by_share(NEGATORS, self.negators), 1 - sign
        if dice.chance(0.35) and negator in ("", "not"):
            intensifier = dice.any_of(self.world.intensifiers)
        first = said = self.adjective(topic, sign)
        if dice.chance(0.20) and (second := self.adjective(topic, sign)) != first:
            said = f"{first} and {second}"
        if head == "it is a" and intensifier == "so":
            return f"it is {negator} such {article(said)} {said} {noun}"
        said = f"{intensifier} {said}".strip()
        if head == "it is a":
            return f"it is {negator} {article(said)} {said} {noun}"
        if head == "it feels":
            return f"{FEELS.get(negator, f'it feels {negator}')} {said}"
        return f"{head.format(noun=noun, aspect=dice.any_of(topic.aspects))} {negator} {said}"

    def adjective(self, topic: Topic, sign: int) -> str:
        own = self.dice.chance(0.30)
        return self.dice.by_rank(topic.adjectives[sign] if own else self.world.adjectives[sign], 1.0)

    def typed(self, word: str) -> str:
        """The word as somebody in a hurry types it: now and then a letter is missing, or held down too long."""
        if len(word) < 4 or not self.dice.chance(0.02) or not word.isalpha():
            return word
        place = int(self.dice.uniform() * len(word))
        return word[:place] + word[place] * (0 if self.dice.chance(0.5) else 3) + word[place + 1 :]


def article(following: str) -> str:
    """a or an."""
    silent = following.startswith(("honest", "hono"))
    return "an" if silent or (following[0] in "aeiou" and not following.startswith(("use", "uni"))) else "a"


def draw(seed: int, texts: dict[str, int] | None = None) -> dict[str, tuple[list[str], np.ndarray, np.ndarray]]:
    """For each split its texts, labels (n,) uint8, and true labels (n,) uint8. No text comes twice, in one split or in two.

    Labels of the texts to learn and to choose by (labelled, val) are wrong with probability NOISE, those of the others true.
    """
    noise = np.random.default_rng([seed, _STREAMS["noise"]])
    seen: set[str] = set()
    splits = {}
    for split, count in (texts or TEXTS).items():
        writer = Writer(np.random.default_rng([seed, _STREAMS[split]]), world())
        found: dict[str, int] = {}
        while len(found) < count:
            text, label = writer.text()
            if text not in seen:
                seen.add(text)
                found[text] = label
        truth = np.fromiter(found.values(), np.uint8, count)
        wrong = noise.random(count) < NOISE if split in ("labelled", "val") else np.zeros(count, bool)
        splits[split] = list(found), truth ^ wrong, truth
    return splits
