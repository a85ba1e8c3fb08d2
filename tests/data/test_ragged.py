"""Texts without padding, and the loader by length: every text once, little padding, order, shares, resume."""

from __future__ import annotations

import functools
import itertools
import operator

import pytest
import torch

from ml2020.core.draws import Draws
from ml2020.core.errors import TypedError, UserError
from ml2020.core.loaders import TensorLoader
from ml2020.data.ragged import LengthLoader, Ragged

LENGTHS = [3, 1, 7, 2, 2, 9, 4, 1, 5, 3, 6, 2, 8, 1, 3, 5, 4, 2, 6, 10, 1, 3, 2]  # of 23 texts


def texts(lengths: list[int] = LENGTHS) -> Ragged:
    """Text i is made of the number i + 1 alone, so that none is PAD."""
    return Ragged.of([[i + 1] * length for i, length in enumerate(lengths)])


def loader(batch: int = 5, lengths: list[int] = LENGTHS, **options) -> LengthLoader:
    return LengthLoader([texts(lengths), torch.arange(len(lengths))], batch, **{"seed": 3, "shuffle": True, **options})


def many(count: int = 2000) -> list[int]:
    """Lengths from 1 to 40, most of them near 12."""
    numbers = torch.randn(count, generator=torch.Generator().manual_seed(0))
    return (12 + 5 * numbers).round().clamp(1, 40).int().tolist()


def seen(one: LengthLoader) -> list[list[int]]:
    return [places.tolist() for _, _, places in one]


def flat(batches: list[list[int]]) -> list[int]:
    return functools.reduce(operator.iadd, batches, [])


# Ragged.


def test_texts_are_picked_cut_and_joined_as_lists_are():
    lists = [[1, 2, 3], [4], [5, 6], [], [7, 8, 9, 10]]
    all_of_them = Ragged.of(lists)
    as_lists = [all_of_them.tokens[a:b].tolist() for a, b in itertools.pairwise(all_of_them.offsets)]
    assert as_lists == lists and len(all_of_them) == 5 and all_of_them.lengths.tolist() == [3, 1, 2, 0, 4]
    assert all_of_them.tokens.dtype == torch.int32 and all_of_them.offsets.dtype == torch.int64
    picked = all_of_them[torch.tensor([4, 0, 0, 3])]
    assert picked.tokens.tolist() == [7, 8, 9, 10, 1, 2, 3, 1, 2, 3] and picked.lengths.tolist() == [4, 3, 3, 0]
    assert all_of_them[1:3].tokens.tolist() == [4, 5, 6]
    assert all_of_them[all_of_them.lengths > 2].tokens.tolist() == [1, 2, 3, 7, 8, 9, 10]
    joined = Ragged.cat([all_of_them[1:2], picked])
    assert joined.tokens.tolist() == [4, *picked.tokens.tolist()] and joined.lengths.tolist() == [1, 4, 3, 3, 0]


def test_texts_are_padded_on_the_right_to_the_longest_of_them():
    tokens, lengths = Ragged.of([[1, 2, 3], [4], [5, 6], [7, 8, 9, 10]]).padded(torch.tensor([2, 1, 0]))
    assert tokens.tolist() == [[5, 6, 0], [4, 0, 0], [1, 2, 3]] and lengths.tolist() == [2, 1, 3]
    assert tokens.dtype == lengths.dtype == torch.int64


def test_texts_are_cut_at_a_given_width():
    tokens, lengths = Ragged.of([[1, 2, 3], [4], [5, 6]]).padded(torch.tensor([0, 1, 2]), 2)
    assert tokens.tolist() == [[1, 2], [4, 0], [5, 6]] and lengths.tolist() == [2, 1, 2]


def test_nothing_of_the_next_text_shows_behind_a_short_one():
    tokens, _ = texts().padded(torch.tensor([1, 19]))
    assert tokens[0].tolist() == [2] + [0] * 9 and tokens[1].tolist() == [20] * 10


# The loader.


@pytest.mark.parametrize("options", [{}, {"shuffle": False}, {"pad_to": 4}, {"shuffle": False, "pad_to": 4}, {"batch": 64}])
def test_an_epoch_gives_every_text_once_with_what_belongs_to_it(options: dict):
    one = loader(**options)
    batches = list(one)
    assert len(batches) == len(one) and one.samples == 23
    assert sorted(flat([places.tolist() for _, _, places in batches])) == list(range(23))
    for tokens, lengths, places in batches:
        for row, length, place in zip(tokens.tolist(), lengths.tolist(), places.tolist(), strict=True):
            assert length == min(LENGTHS[place], options.get("pad_to", 99))
            assert row == [place + 1] * length + [0] * (len(row) - length)


def test_a_batch_is_as_wide_as_its_longest_text():
    for one in (loader(), loader(shuffle=False)):
        assert all(tokens.shape[1] == lengths.max() for tokens, lengths, _ in one)


def test_batches_hold_texts_of_similar_length():
    lengths = many()
    batches = [torch.tensor([lengths[place] for place in batch]) for batch in seen(loader(32, lengths))]
    assert max(int(batch.max() - batch.min()) for batch in batches[:-1] if batch.min() > 4 and batch.max() < 20) <= 3
    padded = [tokens for tokens, _, _ in loader(32, lengths)]
    assert sum(int((t == 0).sum()) for t in padded) / sum(t.numel() for t in padded) < 0.08
    shuffled = TensorLoader([torch.tensor(lengths)], 32, shuffle=True)
    alone = 1 - sum(lengths) / sum(int(batch.max()) * len(batch) for (batch,) in shuffled)
    assert alone > 0.4  # what the same texts cost in random company


def test_short_and_long_batches_take_turns():
    mean = [float(lengths.float().mean()) for _, lengths, _ in loader(10, many())]
    rises = sum(a < b for a, b in itertools.pairwise(mean))
    assert 70 < rises < 130  # of 199; 199 if they came sorted


def test_unshuffled_texts_come_from_the_shortest_to_the_longest_equals_in_their_order():
    places = flat(seen(loader(shuffle=False)))
    assert places == sorted(range(23), key=lambda place: (LENGTHS[place], place))


def test_the_last_incomplete_batch_is_short_in_one_epoch_and_long_in_another():
    lengths = [1] * 90 + [50] * 13  # 103 = 10 x 10 + 3: sorted, the last three would be long in every epoch
    one = loader(10, lengths)
    last = [[lengths[place] for place in seen(one)[-1]] for _ in range(60)]
    assert all(batch in ([1, 1, 1], [50, 50, 50]) for batch in last) and 2 < last.count([50, 50, 50]) < 25  # 2 places of 11


@pytest.mark.parametrize("count", [3, 5, 49, 250, 251, 499, 500, 503, 1000])
def test_any_number_of_texts_is_cut_into_batches(count: int):
    one = loader(5, many(count))
    batches = seen(one)
    assert len(batches) == len(one) == -(-count // 5) and sorted(flat(batches)) == list(range(count))
    assert [len(batch) for batch in batches] == [5] * (count // 5) + [count % 5] * (count % 5 > 0)


def test_every_epoch_puts_other_texts_together_and_a_seed_repeats_it():
    one, other, third = loader(4, many(200)), loader(4, many(200)), loader(4, many(200), seed=4)
    first, second = seen(one), seen(one)
    assert [seen(other), seen(other)] == [first, second] and first != second and seen(third) != first
    again = {frozenset(batch) for batch in first} & {frozenset(batch) for batch in second}
    assert len(again) <= 3  # of 50: where lengths are rare, the same few texts are alike


def test_the_order_does_not_hang_on_the_global_generator():
    torch.manual_seed(1)
    first = seen(loader())
    torch.manual_seed(2)
    assert seen(loader()) == first


@pytest.mark.parametrize("options", [{}, {"passes": 2}, {"drop_last": True}, {"pad_to": 4}, {"shuffle": False}])
@pytest.mark.parametrize("stop", [1, 3, 4, 5, 7, 9])
def test_a_loader_given_the_state_of_another_goes_on_with_the_next_batch(stop: int, options: dict):
    whole = loader(**options)
    stream = [batch for _ in range(3) for batch in seen(whole)]
    broken, taken = loader(**options), []
    while len(taken) < stop:
        for *_, places in broken:
            taken.append(places.tolist())
            if len(taken) == stop:
                break
    resumed = loader(**options)
    resumed.load_state_dict(broken.state_dict())
    while len(taken) < len(stream):
        taken += seen(resumed)
    assert taken == stream


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("world", [2, 3, 4])
def test_processes_share_each_global_batch(world: int, shuffle: bool):
    whole = seen(loader(shuffle=shuffle))
    ranks = [loader(shuffle=shuffle).shard(rank, world) for rank in range(world)]
    everything = []
    for batch, *parts in zip(whole, *ranks, strict=True):
        taken = [places.tolist() for (*_, places), rank in zip(parts, ranks, strict=True) if rank.share > 0]
        assert sorted(flat(taken)) == sorted(batch)
        assert all(tokens.shape[1] == lengths.max() for tokens, lengths, _ in parts)
        weighted = [rank.share * places.double().mean() for (*_, places), rank in zip(parts, ranks, strict=True)]
        assert sum(weighted) / world == pytest.approx(sum(batch) / len(batch))
        everything += flat(taken)
    assert sorted(everything) == list(range(23))  # a pool that two processes label is labelled once


def test_a_transform_sees_the_same_numbers_for_a_text_in_any_batch_and_process():
    def transform(draws: Draws, tokens: torch.Tensor, lengths: torch.Tensor, places: torch.Tensor) -> tuple[torch.Tensor, ...]:
        assert tokens.shape == (len(lengths), int(lengths.max()))
        return places, draws.uniform()

    def numbers(one: LengthLoader) -> dict[int, float]:
        return {int(i): float(u) for places, uniform in one for i, u in zip(places, uniform, strict=True)}

    whole = numbers(loader(transform=transform))
    assert len(whole) == 23 and numbers(loader(4, transform=transform)) == whole
    assert numbers(loader(transform=transform, shuffle=False)) == numbers(loader(transform=transform, pad_to=3)) == whole
    part = numbers(loader(transform=transform).shard(1, 2))
    assert part and part.items() <= whole.items()


def test_two_texts_a_sample_are_sorted_by_the_first_then_by_the_second():
    source, target = texts([2, 1, 2, 1, 2]), texts([3, 5, 1, 4, 2])
    one = LengthLoader([source, target, torch.arange(5)], 2)
    assert [places.tolist() for *_, places in one] == [[3, 1], [2, 4], [0]]
    x, x_lengths, y, y_lengths, _ = next(iter(one))
    assert x.tolist() == [[4], [2]] and x_lengths.tolist() == [1, 1]
    assert y.tolist() == [[4, 4, 4, 4, 0], [2, 2, 2, 2, 2]] and y_lengths.tolist() == [4, 5]


def test_wrong_sizes_are_told():
    with pytest.raises(ValueError, match="different lengths"):
        LengthLoader([texts(), torch.arange(22)], 5)
    with pytest.raises(TypedError, match="at least 1"):
        loader(0)
    with pytest.raises(UserError, match="do not fill one batch"):
        loader(30, drop_last=True)


def test_to_moves_texts_and_tensors():
    one = loader().to("meta")
    assert {column.device.type for column in one.tensors} == {"meta"}
