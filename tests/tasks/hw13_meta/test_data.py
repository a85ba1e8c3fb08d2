"""The datamodules of homework 13: which episodes come when, and what is kept apart."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from ml2020.core.build import build
from ml2020.core.conf import CONF
from ml2020.core.draws import Draws
from ml2020.core.errors import TypedError
from ml2020.tasks.hw13_meta.data import TRAINING, CharacterData, Meta, Sample, Sine
from ml2020.tasks.hw13_meta.episodes import Episodes
from ml2020.tasks.hw13_meta.omniglot import Omniglot

FEW = {"meta_batch": 4, "steps": 3, "val_episodes": 60, "test_episodes": 70}


def sine(run_seed: int = 0, **options: Any) -> Sine:
    data = Sine(**FEW | options)
    data.run_seed = run_seed
    data.prepare()
    return data


def rows(batches: list[Episodes]) -> list[bytes]:
    """What tells the episodes of some batches apart."""
    return [row.numpy().tobytes() for batch in batches for row in batch.support]


def test_an_epoch_is_steps_of_episodes_and_the_next_one_has_others():
    loader = sine().train_dataloader()
    first, second = list(loader), list(loader)
    assert [len(batch.support) for batch in first] == [4, 4, 4] and isinstance(first[0], Episodes)
    assert len(set(rows(first) + rows(second))) == 24


def test_episodes_depend_on_both_seeds_and_on_nothing_else():
    assert rows(list(sine().train_dataloader())) == rows(list(sine().train_dataloader()))
    others = [sine(run_seed=1), sine(seed=1), sine()]
    assert len({row for data in others for row in rows(list(data.train_dataloader()))}) == 36


def test_an_interrupted_epoch_goes_on_with_the_batch_that_follows():
    whole = sine().train_dataloader()
    expected = rows(list(whole) + list(whole))
    first = sine().train_dataloader()
    batches = iter(first)
    seen = rows([next(batches), next(batches)])
    second = sine().train_dataloader()
    second.load_state_dict(first.state_dict())
    assert seen + rows(list(second) + list(second)) == expected


@pytest.mark.parametrize("world", [2, 4])
def test_processes_share_out_the_episodes_of_a_batch(world: int):
    whole = [sorted(rows([batch])) for batch in sine().train_dataloader()]
    parts = [list(sine().train_dataloader().shard(rank, world)) for rank in range(world)]
    assert [sorted(rows(list(batches))) for batches in zip(*parts, strict=True)] == whole


def test_measured_episodes_are_the_same_for_every_run_and_apart_from_each_other_and_from_training():
    data, other = sine(), sine(run_seed=5)
    for split, count in (("val", 60), ("test", 70)):
        batches = list(data.evaluation_loaders()[split])
        assert rows(batches) == rows(list(other.evaluation_loaders()[split])) and len(rows(batches)) == count
        assert {batch.query.shape[1] for batch in batches} == {100}
    assert rows(list(data.val_dataloader())) == rows(list(data.evaluation_loaders()["val"]))
    seeds = {split: set(data.measured_seeds(split).tolist()) for split in ("val", "test")}
    assert not seeds["val"] & seeds["test"]
    most = Sine(val_episodes=100_000, test_episodes=100_000, seed=1_000)
    assert most.measured_seeds("val").max() < most.measured_seeds("test").min()
    drawn = data.seeds(Draws(0, 0, torch.arange(10_000)))
    assert most.measured_seeds("test").max() < TRAINING <= drawn.min() and len(drawn.unique()) == 10_000
    assert not seeds["test"] & set(sine(seed=1).measured_seeds("val").tolist())


def test_plain_points_are_those_of_the_episodes():
    data = sine(shots=2, queries=3)
    for batch, (x, y) in zip(data.train_dataloader(), data.everything(), strict=True):
        assert x.shape == y.shape == (4 * 5, 1)
        pairs = torch.cat([torch.cat([batch.support, batch.query], 1), torch.cat([batch.support_targets, batch.query_targets], 1)], 2)
        assert torch.equal(torch.cat([x, y], 1), pairs.flatten(0, 1))


def embedded(monkeypatch: pytest.MonkeyPatch, **options: Any) -> Sample:
    """The embedded data with 8 + 6 + 7 characters in 5 drawings, whose first pixel says which and whose turn can be seen."""
    pictures = np.zeros((21, 5, 28, 28), np.uint8)
    pictures[:, :, 0, 0] = np.arange(1, 22)[:, None]
    splits = {"train": pictures[:8], "val": pictures[8:14], "test": pictures[14:]}
    monkeypatch.setattr("ml2020.tasks.hw13_meta.letters.letters", lambda *words: splits)
    data = Sample(**FEW | {"queries": 2} | options)
    data.prepare()
    return data


def test_turned_characters_are_for_training_alone(monkeypatch: pytest.MonkeyPatch):
    data = embedded(monkeypatch, rotations="classes")
    assert data.counts["characters for training"] == 8 and data.spec["classes"] == 32
    assert [data.sources[split].classes for split in ("train", "val", "test")] == [32, 6, 7]
    corners = data.sources["train"].pictures[:, 0][:, [0, 27, 27, 0], [0, 0, 27, 27]]  # as the upper left one goes round, to the left
    assert torch.equal(corners.view(4, 8, 5, 4)[..., 0, :].argmax(2), torch.arange(4)[:, None].expand(4, 8))
    for split, own in (("val", range(9, 15)), ("test", range(15, 22))):
        marks = torch.cat([batch.query[..., 0, 0, 0].flatten() for batch in data.evaluation_loaders()[split]])
        assert set((marks * 255).round().int().tolist()) == set(own)


def test_all_drawings_come_once_an_epoch_under_the_number_of_their_character(monkeypatch: pytest.MonkeyPatch):
    data = embedded(monkeypatch, ways=2, meta_batch=3)
    batches = list(data.everything())
    assert [len(x) for x, _ in batches] == [18, 18, 4]  # 3 episodes of 2 characters in 1 + 2 drawings
    x, y = (torch.cat(part) for part in zip(*batches, strict=True))
    assert torch.bincount(y).tolist() == [5] * 8
    torch.testing.assert_close(x[:, 0, 0, 0] * 255, y + 1.0)


def test_warped_drawings_are_for_training_alone(monkeypatch: pytest.MonkeyPatch):
    """In episodes as among all drawings; a warp of nearly nothing changes nearly nothing, and draws the same ones."""
    plain, nearly, data = (embedded(monkeypatch, warp=warp) for warp in (0.0, 1e-9, 0.2))
    for split in ("val", "test"):
        for one, other in zip(plain.evaluation_loaders()[split], data.evaluation_loaders()[split], strict=True):
            assert all(map(torch.equal, one, other))
    for loader in (Meta.train_dataloader, CharacterData.everything):
        for one, same, other in zip(loader(plain), loader(nearly), loader(data), strict=True):
            assert torch.equal(one[1], other[1])  # classes
            torch.testing.assert_close(one[0], same[0], atol=1e-4, rtol=0)
            assert (one[0] - other[0]).abs().max() > 0.001


def test_spec_and_counts_say_what_there_is(monkeypatch: pytest.MonkeyPatch):
    assert sine().spec == {"input": [1], "ways": 0, "shots": 10, "queries": 10, "classes": 0}
    assert sine().counts == {"episodes for validation": 60, "episodes for the test": 70}
    data = embedded(monkeypatch)
    assert data.spec == {"input": [1, 28, 28], "ways": 5, "shots": 1, "queries": 2, "classes": 8}
    assert list(data.counts.values()) == [8, 6, 7, 60, 70]
    changes = ({}, {"seed": 1}, {"wobble": 0.07}, {"shots": 2}, {"rotations": "classes"}, {"warp": 0.1})
    assert len({embedded(monkeypatch, **words).fingerprint for words in changes}) == 6


WRONG = [
    ("hw13_sine", "meta_batch", 0, "data.meta_batch must be at least 1, not 0"),
    ("hw13_sine", "steps", -1, "data.steps must be at least 1, not -1"),
    ("hw13_sine", "val_episodes", 1, "data.val_episodes must lie between 2 and 100000, not 1"),
    ("hw13_sine", "test_episodes", -600, "data.test_episodes must lie between 2 and 100000, not -600"),
    ("hw13_sine", "shots", 0, "data.shots must be at least 1, not 0"),
    ("hw13_sine", "queries", -5, "data.queries must be at least 1, not -5"),
    ("hw13_sine", "measured", 0, "data.measured must be at least 1, not 0"),
    ("hw13_sine", "seed", -1, "data.seed must lie between 0 and 1000, not -1"),
    ("hw13_sample", "ways", 1, "data.ways must be at least 2, not 1"),
    ("hw13_sample", "shots", -1, "data.shots must be at least 1, not -1"),
    ("hw13_sample", "queries", 0, "data.queries must be at least 1, not 0"),
    ("hw13_sample", "wobble", 0.5, "data.wobble must lie between 0 and 0.2, not 0.5"),
    ("hw13_sample", "rotations", "class", "data.rotations=class is not one of none, classes; did you mean classes?"),
    ("hw13_sample", "warp", -0.1, "data.warp must lie between 0 and 0.5, not -0.1"),
    ("hw13_omniglot", "warp", 15, "data.warp must lie between 0 and 0.5, not 15"),
    ("hw13_omniglot", "rotations", "all", "data.rotations=all is not one of none, classes"),
    ("hw13_omniglot", "val_characters", 0, "data.val_characters must be at least 2, not 0"),
]


@pytest.mark.parametrize(("name", "key", "value", "sentence"), WRONG, ids=[f"{name} {key}={value}" for name, key, value, _ in WRONG])
def test_a_wrong_value_is_one_sentence(name: str, key: str, value: Any, sentence: str):
    with pytest.raises(TypedError) as told:
        build_data(name, **{key: value})
    assert str(told.value) == sentence


def build_data(name: str, **changes: Any) -> Meta:
    content = yaml.safe_load((CONF / "data" / f"{name}.yaml").read_text())
    return build(content | {key: value for key, value in {"path": "data", "cache_dir": None}.items() if key in content} | changes)


@pytest.mark.parametrize(("name", "kind"), [("hw13_sine", Sine), ("hw13_sample", Sample), ("hw13_omniglot", Omniglot)])
def test_the_config_files_name_classes_and_all_of_their_options(name: str, kind: type):
    content = yaml.safe_load((CONF / "data" / f"{name}.yaml").read_text())
    assert set(content) - {"_target_", "brings"} == set(inspect.signature(kind).parameters)
    assert type(build_data(name)) is kind
