"""How episodes are drawn: their random numbers, sine waves and characters."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import ndimage, stats
from torch import Tensor

from ml2020.core.errors import TypedError, UserError
from ml2020.tasks.hw13_meta.characters import Characters, rotated, warped
from ml2020.tasks.hw13_meta.episodes import bits, uniform, without_replacement
from ml2020.tasks.hw13_meta.sine import Sines

MANY = torch.arange(20_000)
SIGMAS = 4.0  # how far a mean may lie from its expectation, in standard errors; seeds are fixed, so this does not flicker


def splitmix(x: int) -> int:
    """SplitMix64's finaliser in whole numbers of any size."""
    x %= 2**64
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    x = (x ^ x >> 27) * 0x94D049BB133111EB % 2**64
    return x ^ x >> 31


def identified(classes: int, drawings: int) -> Tensor:
    """Pictures of 2 x 2 whose first pixel is the class and whose second is the drawing."""
    pictures = torch.zeros(classes, drawings, 2, 2, dtype=torch.uint8)
    pictures[:, :, 0, 0] = torch.arange(classes)[:, None]
    pictures[:, :, 0, 1] = torch.arange(drawings)
    return pictures


def identities(pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Class and drawing of pictures that were drawn, (tasks, n) each."""
    whole = (pictures * 255).round().long()
    return whole[..., 0, 0, 0], whole[..., 0, 0, 1]


def test_numbers_are_splitmix64_of_seed_stream_and_place():
    golden, seeds = 0x9E3779B97F4A7C15, [0, 1, 2**62 + 5]
    found = bits(torch.tensor(seeds), 3, 2, 2)
    for seed, row in zip(seeds, found, strict=True):
        start = splitmix(splitmix(seed + golden) + 3)
        assert row.flatten().tolist() == [splitmix(start + place * golden) % 2**63 for place in range(1, 5)]


def test_numbers_are_uniform_and_streams_seeds_and_places_know_nothing_of_each_other():
    x, y = (uniform(MANY, stream, 2, low=0.0, high=1.0).double() for stream in (0, 1))
    assert x.min() >= 0 and x.max() < 1
    assert stats.kstest(x.flatten().numpy(), "uniform").pvalue > 1e-3
    for one, other in ((x[:, 0], y[:, 0]), (x[:, 0], x[:, 1]), (x[:-1, 0], x[1:, 0])):
        assert abs(np.corrcoef(one, other)[0, 1]) < SIGMAS / math.sqrt(len(one))


def test_all_orders_of_what_is_drawn_without_replacement_are_equally_likely():
    pairs = without_replacement(MANY, 0, 4, take=2)
    counts = torch.bincount(pairs[:, 0] * 4 + pairs[:, 1], minlength=16).view(4, 4)
    assert (counts.diagonal() == 0).all()
    apart = counts[~torch.eye(4, dtype=torch.bool)]
    assert stats.chisquare(apart.numpy()).pvalue > 1e-3


def test_amplitude_and_phase_have_the_moments_of_their_uniform_distributions():
    a, b = (t.flatten().double() for t in Sines().functions(MANY))
    for values, low, high in ((a, 0.1, 5.0), (b, 0.0, 2 * math.pi)):
        mean, std = (low + high) / 2, (high - low) / math.sqrt(12)
        assert abs(values.mean() - mean) < SIGMAS * std / math.sqrt(len(values))
        # The squared deviation of a uniform number has the standard deviation w^2 / sqrt(180), w its width.
        assert abs(values.var() - std**2) < SIGMAS * (high - low) ** 2 / math.sqrt(180 * len(values))
        assert low <= values.min() and values.max() <= high


def test_points_are_uniform_and_lie_on_the_function_of_their_episode():
    sines = Sines(shots=3, queries=2)
    drawn = sines.draw(MANY)
    assert [tuple(t.shape) for t in drawn] == [(20_000, 3, 1)] * 2 + [(20_000, 2, 1)] * 2
    a, b = (t.numpy().astype(np.float64) for t in sines.functions(MANY))
    for x, y in ((drawn.support, drawn.support_targets), (drawn.query, drawn.query_targets)):
        np.testing.assert_allclose(y.numpy(), a * np.sin(x.numpy().astype(np.float64) + b), atol=1e-5)
        assert stats.kstest(x.flatten().numpy(), stats.uniform(-5, 10).cdf).pvalue > 1e-3
    # E[y] = 0 and E[y^2] = E[a^2] / 2 = (5^3 - 0.1^3) / (3 * 4.9) / 2, because b goes around the circle.
    y = drawn.query_targets[:, 0, 0].double()
    square = (5**3 - 0.1**3) / (3 * 4.9) / 2
    assert abs(y.mean()) < SIGMAS * math.sqrt(square / len(y))
    assert abs(y.square().mean() - square) < SIGMAS * y.square().std() / math.sqrt(len(y))


@pytest.mark.parametrize("source", [Sines(4, 3), Characters(identified(40, 9), 5, 2, 3)], ids=["sines", "characters"])
def test_a_seed_gives_the_same_episode_in_any_batch_and_the_same_support_for_any_queries(source: Sines | Characters):
    ten, two = source.draw(torch.arange(10)), source.draw(torch.tensor([7, 3]))
    assert all(torch.equal(many[[7, 3]], few) for many, few in zip(ten, two, strict=True))
    more = source.draw(torch.arange(10), queries=4)
    assert torch.equal(more.support, ten.support) and more.query.shape[1] == 4 * max(source.ways, 1)
    assert not torch.equal(ten.support[0], ten.support[1])


@pytest.mark.parametrize(("ways", "shots", "queries"), [(5, 1, 1), (3, 2, 5), (20, 1, 3), (2, 4, 4)])
def test_an_episode_has_different_characters_and_support_and_queries_share_no_drawing(ways: int, shots: int, queries: int):
    """Every class is one character, each has its drawings, and none comes twice."""
    drawn = Characters(identified(25, 8), ways, shots, queries).draw(torch.arange(50))
    for pictures, targets, count in ((drawn.support, drawn.support_targets, shots), (drawn.query, drawn.query_targets, queries)):
        kinds, _ = identities(pictures)
        assert targets.dtype == torch.int64 and targets[0].tolist() == [c for c in range(ways) for _ in range(count)]
        by_class = kinds.view(-1, ways, count)
        assert (by_class == by_class[:, :, :1]).all()  # one character a class
    kinds, numbers = identities(torch.cat([drawn.support, drawn.query], 1))
    assert all(len(set(row.tolist())) == ways for row in kinds)
    drawings = kinds * 1_000 + numbers
    assert all(len(set(row.tolist())) == row.numel() == ways * (shots + queries) for row in drawings)


def test_every_character_every_place_and_every_drawing_is_equally_likely():
    kinds, numbers = identities(Characters(identified(10, 6), 3, 1, 2).draw(MANY).support)
    for place in range(3):
        assert stats.chisquare(torch.bincount(kinds[:, place], minlength=10).numpy()).pvalue > 1e-3
        assert stats.chisquare(torch.bincount(numbers[:, place], minlength=6).numpy()).pvalue > 1e-3


def test_pictures_are_shares_of_white():
    pictures = torch.arange(256, dtype=torch.uint8).view(16, 16).expand(5, 2, 16, 16)
    drawn = Characters(pictures, 5, 1, 1).draw(torch.arange(2))
    assert drawn.support.shape == (2, 5, 1, 16, 16) and drawn.support.dtype == torch.float32
    torch.testing.assert_close(drawn.query[1, 4, 0].flatten(), torch.linspace(0, 1, 256))


def test_warps_are_those_of_scipy():
    """x -> x + A x + b about the middle, in half sides; scipy takes the rows of an array first and pixels."""
    generator = torch.Generator().manual_seed(0)
    pictures, moves = torch.rand(2, 3, 1, 12, 12, generator=generator), torch.rand(2, 3, 6, generator=generator) * 0.4 - 0.2
    found = warped(pictures, moves)
    for task in range(2):
        for n in range(3):
            matrix = np.eye(2) + moves[task, n].double().view(2, 3).numpy()[::-1, 1::-1]
            shift = moves[task, n].double().view(2, 3).numpy()[::-1, 2] * 6 + 5.5 - matrix @ [5.5, 5.5]
            expected = ndimage.affine_transform(pictures[task, n, 0].double().numpy(), matrix, shift, order=1, mode="grid-constant")
            np.testing.assert_allclose(found[task, n, 0].numpy(), expected, atol=1e-5)


def test_a_warp_is_an_episodes_own_and_the_same_for_any_queries():
    pictures = torch.randint(0, 256, (9, 8, 12, 12), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    source = Characters(pictures, 3, 1, 2, warp=0.2)
    ten, more = source.draw(torch.arange(10)), source.draw(torch.arange(10), queries=5)
    assert torch.equal(ten.support, more.support)
    assert torch.equal(ten.query.view(10, 3, 2, -1), more.query.view(10, 3, 5, -1)[:, :, :2])
    assert torch.equal(source.draw(torch.tensor([7])).query[0], ten.query[7])
    still = Characters(pictures, 3, 1, 2).draw(torch.arange(10))
    assert ((ten.support - still.support).abs().amax((2, 3, 4)) > 0.05).all()  # every drawing moves


def test_rotations_are_new_classes_turned_as_numpy_turns():
    pictures = torch.randint(0, 256, (3, 2, 5, 5), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    found = rotated(pictures)
    assert found.shape == (12, 2, 5, 5)
    for turns in range(4):
        for character in range(3):
            for drawing in range(2):
                turned = np.rot90(pictures[character, drawing].numpy(), turns)
                np.testing.assert_array_equal(found[3 * turns + character, drawing].numpy(), turned)


def said(error: type[Exception], classes: int, drawings: int, ways: int, shots: int, queries: int) -> str:
    with pytest.raises(error) as told:
        Characters(identified(classes, drawings), ways, shots, queries, "characters for validation")
    return str(told.value)


def test_more_than_there_is_cannot_be_asked_for():
    assert said(UserError, 4, 9, 5, 1, 1) == (
        "too few characters for validation: 4, where an episode has 5 (data.ways); set data.ways to at most 4"
    )
    assert said(UserError, 1, 9, 2, 1, 1) == "too few characters for validation: 1, where an episode has 2 (data.ways)"
    assert said(TypedError, 9, 20, 5, 5, 16) == (
        "data.shots + data.queries must be at most 20, the drawings of a character, not 5 + 16"
    )
    Characters(identified(5, 20), 5, 5, 15).draw(torch.arange(1))  # all there is


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ({"ways": 1}, "data.ways must be at least 2, not 1"),
        ({"ways": -5}, "data.ways must be at least 2, not -5"),
        ({"shots": 0}, "data.shots must be at least 1, not 0"),
        ({"queries": -1}, "data.queries must be at least 1, not -1"),
    ],
)
def test_counts_are_positive(words: dict[str, int], sentence: str):
    with pytest.raises(TypedError) as told:
        Characters(identified(9, 9), **words)
    assert str(told.value) == sentence
    if "ways" not in words:
        with pytest.raises(TypedError) as told:
            Sines(**words)
        assert str(told.value) == sentence
