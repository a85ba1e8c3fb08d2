"""The loader: order, shares, resume."""

from __future__ import annotations

import functools
import operator

import pytest
import torch

from ml2020.core.draws import Draws
from ml2020.core.errors import TypedError, UserError
from ml2020.core.loaders import TensorLoader


def loader(count: int = 23, batch: int = 5, **options) -> TensorLoader:
    return TensorLoader((torch.arange(count), torch.arange(count) * 10), batch, seed=3, **options)


def seen(one: TensorLoader) -> list[list[int]]:
    return [x.tolist() for x, _ in one]


@pytest.mark.parametrize("shuffle", [False, True])
def test_an_epoch_gives_every_sample_once(shuffle: bool):
    one = loader(shuffle=shuffle)
    batches = seen(one)
    assert sorted(functools.reduce(operator.iadd, batches, [])) == list(range(23))
    assert len(batches) == len(one) == 5 and len(batches[-1]) == 3


def test_rows_of_all_tensors_stay_together():
    assert all(torch.equal(x * 10, y) for x, y in loader(shuffle=True))


def test_epochs_differ_and_a_seed_repeats_them():
    one, other = loader(shuffle=True), loader(shuffle=True)
    first, second = seen(one), seen(one)
    assert first != second
    assert [seen(other), seen(other)] == [first, second]


@pytest.mark.parametrize("stop", range(1, 11))
def test_a_loader_given_the_state_of_another_goes_on_with_the_next_batch(stop: int):
    whole = loader(shuffle=True)
    stream = [batch for _ in range(3) for batch in seen(whole)]
    broken, taken = loader(shuffle=True), []
    while len(taken) < stop:
        for x, _ in broken:
            taken.append(x.tolist())
            if len(taken) == stop:
                break
    resumed = loader(shuffle=True)
    resumed.load_state_dict(broken.state_dict())
    while len(taken) < 15:
        taken += seen(resumed)
    assert taken == stream


@pytest.mark.parametrize("world", [2, 3, 4])
def test_processes_share_each_global_batch(world: int):
    whole = seen(loader(shuffle=True))
    ranks = [loader(shuffle=True).shard(rank, world) for rank in range(world)]
    for batch, *parts in zip(whole, *ranks, strict=True):
        taken = [x.tolist() for (x, _), rank in zip(parts, ranks, strict=True) if rank.share > 0]
        assert sorted(x for part in taken for x in part) == sorted(batch)
        weighted = [rank.share * x.double().mean() for (x, _), rank in zip(parts, ranks, strict=True)]
        assert sum(weighted) / world == pytest.approx(sum(batch) / len(batch))  # a process without samples counts for nothing


def test_the_last_incomplete_batch_can_be_left_out():
    one = loader(drop_last=True)
    assert [len(b) for b in seen(one)] == [5, 5, 5, 5] and one.samples == 20


def test_a_transform_sees_the_same_numbers_for_a_sample_in_any_batch_and_process():
    def transform(draws: Draws, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return x, draws.uniform()

    def numbers(**options) -> dict[int, float]:
        one = loader(shuffle=True, transform=transform, **options)
        return {int(i): float(u) for x, u in one for i, u in zip(x, u, strict=True)}

    whole = numbers()
    assert numbers(batch=4) == whole
    part = loader(shuffle=True, transform=transform).shard(1, 2)
    assert all(whole[int(i)] == float(v) for x, u in part for i, v in zip(x, u, strict=True))


def test_wrong_sizes_are_told():
    with pytest.raises(TypedError, match="at least 1"):
        loader(batch=0)
    with pytest.raises(UserError, match="do not fill one batch"):
        loader(count=3, drop_last=True)


def test_an_epoch_of_several_passes_shows_every_sample_as_often():
    loader = TensorLoader([torch.arange(10)], 4, shuffle=True, seed=3, passes=3)
    batches = [batch.tolist() for (batch,) in loader]
    assert len(loader) == len(batches) == 9 and loader.samples == 30
    passes = [[*batches[i], *batches[i + 1], *batches[i + 2]] for i in (0, 3, 6)]
    assert all(sorted(one) == list(range(10)) for one in passes) and passes[0] != passes[1] != passes[2]
    following = [sample for (batch,) in loader for sample in batch.tolist()][:10]
    assert following not in passes  # the second epoch begins with the fourth pass


def test_a_loader_of_several_passes_goes_on_in_the_middle_of_one():
    def loader() -> TensorLoader:
        return TensorLoader([torch.arange(10)], 4, shuffle=True, passes=2)

    whole, cut, rest = loader(), loader(), loader()
    expected = [batch.tolist() for (batch,) in whole]
    stream = iter(cut)
    first = [next(stream)[0].tolist() for _ in range(4)]
    rest.load_state_dict(cut.state_dict())
    assert first + [batch.tolist() for (batch,) in rest] == expected
