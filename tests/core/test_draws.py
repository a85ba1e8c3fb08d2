"""Random numbers keyed by (seed, epoch, index)."""

from __future__ import annotations

import torch
from scipy import stats

from ml2020.core.draws import Draws, mix


def test_mix_is_splitmix64():
    # The first outputs of the reference implementation for state 0: the finaliser of 0 + k * golden ratio.
    golden = 0x9E3779B97F4A7C15
    states = torch.tensor([k * golden % (1 << 64) - (1 << 64 if k * golden % (1 << 64) >= 1 << 63 else 0) for k in (1, 2, 3)])
    known = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert [int(v) % (1 << 64) for v in mix(states)] == known


def test_numbers_are_uniform_and_normal():
    draws = Draws(0, 0, torch.arange(20_000))
    assert stats.kstest(draws.uniform().numpy(), "uniform").pvalue > 0.01
    assert stats.kstest(draws.normal().numpy(), "norm").pvalue > 0.01
    assert torch.bincount(draws.integers(2, 6)).tolist()[:2] == [0, 0]
    assert abs(draws.chance(0.3).float().mean() - 0.3) < 0.01


def test_calls_epochs_seeds_and_neighbours_are_unrelated():
    index = torch.arange(20_000)
    draws = Draws(0, 0, index)
    first = draws.uniform()
    others = [draws.uniform(), Draws(0, 1, index).uniform(), Draws(1, 0, index).uniform(), first.roll(1)]
    for other in others:
        assert abs(torch.corrcoef(torch.stack([first, other]))[0, 1]) < 0.03


def test_a_sample_keeps_its_numbers_in_any_company():
    alone = Draws(5, 2, torch.tensor([77]))
    crowd = Draws(5, 2, torch.arange(100))
    assert [float(alone.uniform()) for _ in range(3)] == [float(crowd.uniform()[77]) for _ in range(3)]
