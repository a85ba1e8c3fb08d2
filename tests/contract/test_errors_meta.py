"""Wrong input of homework 13's learners: one sentence, nothing created."""

from __future__ import annotations

from collections.abc import Callable

import pytest

Refused = Callable[[list[str], int], str]
META = "task=hw13_meta"

WRONG = [
    ([META, "model.order=3"], 2, "model.order takes 1 or 2, not 3"),
    ([META, "model.order=second"], 2, "model.order takes 1 or 2, not second"),
    ([META, "model.inner_steps=0"], 2, "model.inner_steps must be at least 1, not 0"),
    ([META, "model.inner_steps=1.5"], 2, "model.inner_steps takes a whole number or null, not 1.5"),
    ([META, "model.inner_lr=-0.1"], 2, "model.inner_lr must be at least 0, not -0.1"),
    ([META, "model.inner_optimizer=adagrab"], 2, "did you mean adagrad?"),
    ([META, "model.rates=learned"], 2, "model.rates takes fixed or layers or weights or null, not learned"),
    ([META, "model.losses=each"], 2, "model.losses takes last or all or annealed or null, not each"),
    ([META, "model.norm=query"], 2, "model.norm takes batch or support, not query"),
    ([META, "model.test_steps=-1"], 2, "model.test_steps must be at least 0, not -1"),
    ([META, "model.measured=[1,-2]"], 2, "model.measured must be a list of whole numbers of at least 0"),
    ([META, "model.hidden=[]"], 2, "model.hidden must be a list of whole numbers of at least 1"),
    ([META, "model.width=4"], 2, "model.width must be at least 8, not 4"),
    ([META, "model.slips=[broadcasting]"], 2, "did you mean broadcast?"),
    ([META, "model.slips=[sign]"], 2, "model.slips=sign is not one of broadcast, references"),
    ([META, "model.rates=layers", "model.inner_lr=0"], 2, "with model.rates=layers model.inner_lr must be at least 1e-08, not 0"),
    ([META, "model.inner_rate=0.1"], 2, "There is no key model.inner_rate"),
    ([META, "model=hw13_mamal"], 2, "did you mean hw13_maml?"),
    ([META, "model=hw13_protonet"], 2, "model=hw13_protonet tells classes apart, and functions have none; type data=hw13_sample"),
    ([META, "model=hw13_reptile", "model.order=1"], 2, "There is no key model.order with model=hw13_reptile"),
    ([META, "model=hw13_protonet", "model.inner_steps=2"], 2, "There is no key model.inner_steps with model=hw13_protonet"),
    ([META, "trainer.compile=true"], 2, "torch.compile has no gradients of gradients"),
]


@pytest.mark.parametrize(("words", "status", "sentence"), WRONG, ids=lambda value: " ".join(value) if isinstance(value, list) else None)
def test_it_is_one_sentence_and_leaves_nothing(words: list[str], status: int, sentence: str, refused: Refused):
    assert sentence in refused(words, status)


def test_a_slip_of_regression_is_refused_for_pictures(refused: Refused):
    words = [META, "data=hw13_sample", "model.slips=[broadcast]"]
    assert "model.slips=[broadcast] is one of regression; type data=hw13_sine" in refused(words, 2)
