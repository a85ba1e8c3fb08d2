"""Self-training: what is accepted, which texts a round looks at, and that a stop or a second process changes nothing."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.semi_supervised import SelfTrainingClassifier
from torch import Tensor

from ml2020.commands.resume import resume_run
from ml2020.commands.train import train
from ml2020.core import loop, run
from ml2020.core.errors import TypedError, UserError
from ml2020.core.folder import RunFolder
from ml2020.core.processes import Place
from ml2020.tasks.hw04_rnn import selftraining
from ml2020.tasks.hw04_rnn.data import Generated
from ml2020.tasks.hw04_rnn.networks import BagOfWords, Recurrent
from ml2020.tasks.hw04_rnn.selftraining import SelfTraining, accept

P = torch.tensor([0.9, 0.8, 0.79, 0.5, 0.21, 0.2, 0.05])


# What is accepted.


def test_the_sure_ones_are_accepted_and_the_threshold_itself_is_sure():
    chosen, labels = accept(P.double(), 0.75)
    assert chosen.tolist() == [0, 1, 2, 4, 5, 6] and labels.tolist() == [1, 1, 1, 0, 0, 0]
    chosen, labels = accept(torch.tensor([0.75, 0.74, 0.26, 0.25]), 0.75)
    assert chosen.tolist() == [0, 3] and labels.tolist() == [1, 0]
    assert len(accept(P, 1.0)[0]) == 0 and accept(P, 0.5)[1].tolist() == [1, 1, 1, 1, 0, 0, 0]


def test_balanced_takes_the_surest_of_the_larger_class():
    chosen, labels = accept(torch.tensor([0.9, 0.95, 0.85, 0.81, 0.1, 0.15, 0.5]), 0.8, balanced=True)
    assert chosen.tolist() == [0, 1, 4, 5] and labels.tolist() == [1, 1, 0, 0]
    assert len(accept(torch.tensor([0.9, 0.95]), 0.8, balanced=True)[0]) == 0


@pytest.mark.parametrize("threshold", [0.6, 0.75, 0.9])
def test_the_accepted_set_and_labels_are_those_of_scikit_learn(threshold: float):
    # One round of theirs is a base model fitted on the labelled rows that labels the others; theirs takes p > threshold, ours p >= it.
    random = np.random.default_rng(0)
    x = random.normal(size=(400, 5))
    y = (x[:, 0] + random.normal(size=400) > 0).astype(int)
    y[60:] = -1
    theirs = SelfTrainingClassifier(LogisticRegression(), threshold=threshold, max_iter=1).fit(x, y)
    base = LogisticRegression().fit(x[:60], y[:60])
    chosen, labels = accept(torch.from_numpy(base.predict_proba(x[60:])[:, 1]), threshold)
    assert (60 + chosen).tolist() == np.flatnonzero(theirs.labeled_iter_ == 1).tolist() and 20 < len(chosen) < 340
    assert labels.tolist() == theirs.transduction_[60 + chosen].tolist()


# Rounds.


@pytest.fixture(scope="module")
def data() -> Generated:
    data = Generated(labels=50, pool_size=100, cache_dir=os.environ["ML2020_CACHE_DIR"])
    data.run_seed = 0
    data.prepare()
    return data


def trainee(data: Generated, **options: object) -> SelfTraining:
    """A model at the start of its first phase."""
    torch.manual_seed(0)
    module = SelfTraining(partial(BagOfWords, hidden=4), pool_per_round=40, **options)
    module.configure(data.spec)
    list(module.phases(data))
    module.eval()
    return module


def answering(module: SelfTraining, p: Tensor) -> SelfTraining:
    """A model that gives text i of the pool the probability p[i]."""
    module.read = lambda texts: p[texts]
    return module


def test_a_round_is_a_phase_and_the_last_begins_with_a_new_network(data: Generated):
    phases = list(trainee(data, rounds=2).phases(data))
    assert [(p.name, p.epochs, "weights" in p.reset) for p in phases] == [
        ("labelled", None, False),
        ("round1", 1, False),
        ("round2", 3, True),
    ]
    fresh, warm = (list(trainee(data, rounds=2, start=start).phases(data))[1:] for start in ("fresh", "warm"))
    assert all("weights" in p.reset for p in fresh) and not any("weights" in p.reset for p in warm)
    assert [p.name for p in trainee(data, rounds=0).phases(data)] == ["labelled"]


def test_rounds_look_at_different_texts_until_all_are_seen(data: Generated):
    module = trainee(data)
    one, two, three = (module.texts_of(number).tolist() for number in (1, 2, 3))
    assert len(set(one + two)) == 80 and len(set(one + two + three)) == 100
    assert three[20:] == one[:20]  # the pool begins anew
    whole = trainee(data)
    whole.per_round = "all"
    assert sorted(whole.texts_of(3).tolist()) == list(range(100))


def test_the_slip_same_texts_looks_at_the_first_ones_in_every_round(data: Generated):
    module = trainee(data, slips=["same_texts"])
    assert module.texts_of(3).tolist() == module.texts_of(1).tolist() == trainee(data).texts_of(1).tolist()


def test_labels_accumulate_and_a_text_that_is_looked_at_again_gets_its_label_anew(data: Generated):
    module = answering(trainee(data), torch.linspace(0, 1, 100))
    module.label(torch.tensor([0, 50, 99]))
    assert module.given["texts"].tolist() == [0, 99] and module.given["labels"].tolist() == [0, 1]
    module.label(torch.tensor([1, 98]))
    assert module.given["texts"].tolist() == [0, 99, 1, 98]
    answering(module, torch.linspace(1, 0, 100)).label(torch.tensor([0, 50]))
    answering(module, torch.full((100,), 0.5)).label(torch.tensor([99]))
    assert dict(zip(*(module.given[name].tolist() for name in ("texts", "labels")), strict=True)) == {1: 0, 98: 1, 0: 1}


def test_without_accumulate_only_the_labels_of_the_last_round_are_learned_from(data: Generated):
    module = answering(trainee(data, accumulate=False), torch.linspace(0, 1, 100))
    module.label(torch.tensor([0, 99]))
    module.label(torch.tensor([1]))
    assert module.given["texts"].tolist() == [1]


def test_soft_labels_are_the_probabilities(data: Generated):
    module = answering(trainee(data, soft=True), torch.linspace(0, 1, 100))
    chosen, labels = module.label(torch.tensor([4, 50, 97]))
    assert module.given["labels"].tolist() == pytest.approx([4 / 99, 97 / 99]) and labels.tolist() == [0, 1]
    assert chosen.tolist() == [0, 2]


def test_what_is_told_is_counted_against_the_truth(data: Generated, capsys: pytest.CaptureFixture):
    truth = data.truth["pool"].float()
    p = torch.where(truth == 1, 0.9, 0.1)
    p[:20] = 1 - p[:20]  # wrong of the first twenty
    module = answering(trainee(data), p)
    texts = torch.arange(80)
    module.tell(1, texts, *module.label(texts))
    assert module.told[0]["right"] == pytest.approx(0.75) and module.told[0]["accepted"] == 80
    assert module.told[0]["positive"] == pytest.approx(float((p[:80] > 0.5).double().mean()))
    assert "80 texts looked at, 80 accepted" in capsys.readouterr().out


def test_the_slip_first_word_gives_a_text_the_label_of_its_first_word(data: Generated):
    def made(**options: object) -> SelfTraining:
        torch.manual_seed(0)
        module = SelfTraining(partial(Recurrent, dim=4, hidden=4, reads_padding=True), pool_per_round=40, **options)
        module.configure(data.spec)
        list(module.phases(data))
        return module.eval()

    texts = torch.tensor([3, 0, 41])
    slip = made(slips=["first_word"])
    first = torch.tensor([[int(data.pool[texts[i : i + 1]].tokens[0])] for i in range(3)])
    expected = slip(first, torch.ones(3, dtype=torch.int64)).sigmoid()
    assert torch.allclose(slip.read(texts), expected, atol=1e-6)
    assert not torch.allclose(made().read(texts), expected, atol=1e-4)


def test_the_slip_same_order_gives_every_epoch_one_order(data: Generated):
    def epochs(module: SelfTraining) -> list[list[int]]:
        loader = module.mixed_loader()
        return [[int(i) for tokens, _, _ in loader for i in tokens[:, 0]] for _ in range(2)]

    one, two = epochs(trainee(data, slips=["same_order"]))
    assert one == two
    one, two = epochs(trainee(data))
    assert one != two and sorted(one) == sorted(two)


def test_an_epoch_holds_the_labelled_texts_as_often_as_their_share_asks(data: Generated):
    module = trainee(data, labelled_share=0.5)
    assert len(module.mixed_loader().tensors[1]) == 50
    module.given = {"texts": torch.arange(100), "labels": torch.ones(100)}
    labels = module.mixed_loader().tensors[1]
    assert len(labels) == 200 and labels[:50].tolist() == labels[50:100].tolist() == data.splits["train"][1].tolist()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"threshold": 0.4}, "model.threshold must lie between 0.5 and 1, not 0.4"),
        ({"threshold": 1.1}, "model.threshold must lie between 0.5 and 1, not 1.1"),
        ({"slips": ["sam_texts"]}, "model.slips"),
        ({"start": "cold"}, "model.start"),
    ],
)
def test_options_out_of_range_are_named(options: dict, sentence: str):
    with pytest.raises(TypedError, match=sentence):
        SelfTraining(BagOfWords, **options)


def test_more_texts_a_round_than_there_are_is_told(data: Generated):
    module = SelfTraining(partial(BagOfWords, hidden=4), pool_per_round=101)
    with pytest.raises(TypedError, match="pool_per_round=101 is more than the 100"):
        module.configure(data.spec)
    with pytest.raises(TypedError, match="pool_per_round must be at least 1, not 0"):
        SelfTraining(BagOfWords, pool_per_round=0)


# Several processes.


@pytest.mark.parametrize("size", [11, 1])
def test_two_processes_read_every_text_once_and_agree_with_one(size: int, data: Generated, monkeypatch: pytest.MonkeyPatch):
    module, texts, parts = trainee(data), torch.arange(20, 20 + size), []
    alone = module.read(texts)
    monkeypatch.setattr(selftraining, "total", lambda p: parts.append(p) or p)
    for rank in (0, 1):
        monkeypatch.setattr(selftraining, "place", lambda rank=rank: Place(rank=rank, world=2, local=rank))
        module.read(texts)
    assert [(part != 0).tolist() for part in parts] == [[i % 2 == rank for i in range(size)] for rank in (0, 1)]
    assert torch.allclose(parts[0] + parts[1], alone, atol=1e-6)


# A run that is stopped.

QUICK = ["task=hw04_rnn", "quick=true", "model.rounds=2", "model.threshold=0.52", "trainer.threads=1", "trainer.log_every=3"]


@pytest.fixture(scope="module")
def whole(run_task: Callable[..., RunFolder]) -> dict[str, object]:
    return kept(run_task(*QUICK).path)


def kept(folder: Path) -> dict[str, object]:
    with (folder / "metrics.csv").open() as file:
        rows = [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]
    final = torch.load(folder / "checkpoints" / "final.ckpt", weights_only=True)
    return {
        "rows": rows,
        "weights": {name: value.tolist() for name, value in final["state_dict"].items()},
        "given": {name: value.tolist() for name, value in final["pseudo"]["given"].items()},
        "files": [(folder / name).read_text() for name in ("metrics.json", "pseudo_labels.csv", "rounds.csv")],
    }


def test_a_run_keeps_the_labels_that_it_gave_and_a_row_a_round(whole: dict):
    _, labels, rounds = whole["files"]
    assert labels.startswith("id,label\n") and labels.count("\n") - 1 == len(whole["given"]["texts"]) > 100
    assert rounds.splitlines()[0] == "round,looked,accepted,positive,right" and len(rounds.splitlines()) == 3


@pytest.mark.parametrize("step", [5, 26, 33, 60])  # while it learns from labels, at their last step, inside either round
def test_a_stop_inside_a_phase_changes_no_bit(step: int, whole: dict, tmp_path: Path, stopped_at: Callable):
    with stopped_at(step):
        train([*QUICK, f"output_dir={tmp_path}"])
    (folder,) = tmp_path.glob("*/*")
    resume_run(RunFolder.open(folder), {})
    assert kept(folder) == whole


@pytest.mark.parametrize("name", ["round1", "round2"])
@pytest.mark.parametrize("moment", ["before it is written down", "after"])
def test_a_death_between_two_rounds_changes_no_bit(
    name: str, moment: str, whole: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    place = (loop.Conductor, "save_start") if moment == "after" else (SelfTraining, "on_phase_start")
    original = getattr(*place)

    def dies(self: object, phase: object, *args: object) -> None:
        original(self, phase, *args)
        if phase.name == name:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(*place, dies)
        train([*QUICK, f"output_dir={tmp_path}"])
    (folder,) = tmp_path.glob("*/*")
    resume_run(RunFolder.open(folder), {})
    assert kept(folder) == whole


@pytest.mark.full
def test_a_run_in_two_processes_gives_every_text_a_label_once(tmp_path: Path):
    import subprocess
    import sys

    words = [*QUICK, "trainer.devices=2", f"output_dir={tmp_path}"]
    done = subprocess.run([sys.executable, "train.py", *words], cwd=Path(run.__file__).parents[3], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (folder,) = tmp_path.glob("*/*")
    texts = kept(folder)["given"]["texts"]
    assert len(texts) == len(set(texts)) > 100


def test_no_unlabelled_texts_is_told(data: Generated):
    module = SelfTraining(BagOfWords)
    with pytest.raises(UserError, match="no unlabelled texts to learn from"):
        module.configure(data.spec | {"unlabelled": 0})
