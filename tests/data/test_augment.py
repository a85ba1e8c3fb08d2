"""Each operation against torchvision's, picture by picture."""

from __future__ import annotations

import math

import pytest
import torch
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as v2

from ml2020.core.draws import Draws
from ml2020.core.errors import TypedError
from ml2020.data import augment
from ml2020.data.augment import Augment


@pytest.fixture
def pictures() -> torch.Tensor:
    return torch.rand(5, 3, 40, 40, generator=torch.Generator().manual_seed(0))


def test_affine_maps_agree_with_torchvision(pictures: torch.Tensor):
    angle, shear = torch.tensor([0.0, 20, -33, 10, 90]), torch.tensor([0.0, 10, -15, 25, 0])
    scale = torch.tensor([1.0, 1.3, 0.8, 1.0, 1.1])
    x, y = torch.tensor([0.1, 0, 0.05, -0.1, 0]), torch.tensor([0.0, 0.1, -0.05, 0.05, 0.1])
    radians = math.pi / 180
    matrix = augment.affine_matrix(angle * radians, scale, shear * radians, x, y, torch.zeros(5))
    ours = augment.affine(pictures, matrix, padding="zeros")
    for i in range(5):
        move = [float(40 * x[i]), float(40 * y[i])]
        theirs = v2.affine(
            pictures[i], float(angle[i]), move, float(scale[i]), [float(shear[i]), 0.0], interpolation=InterpolationMode.BILINEAR
        )
        torch.testing.assert_close(ours[i], theirs, atol=2e-5, rtol=0)


def test_a_mirrored_map_is_the_map_of_the_mirrored_picture(pictures: torch.Tensor):
    numbers = (
        torch.tensor([0.3] * 5),
        torch.tensor([1.2] * 5),
        torch.tensor([0.1] * 5),
        torch.tensor([0.05] * 5),
        torch.tensor([0.1] * 5),
    )
    mirrored = augment.affine(pictures, augment.affine_matrix(*numbers, torch.ones(5)))
    plain = augment.affine(pictures.flip(-1), augment.affine_matrix(*numbers, torch.zeros(5)))
    torch.testing.assert_close(mirrored, plain, atol=2e-5, rtol=0)


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
def test_colours_agree_with_torchvision(pictures: torch.Tensor, name: str):
    factors = torch.tensor([0.2, 0.7, 1.0, 1.4, 2.0])
    ours = getattr(augment, name)(pictures, factors)
    for i, factor in enumerate(factors):
        torch.testing.assert_close(ours[i], getattr(v2, f"adjust_{name}")(pictures[i], float(factor)), atol=2e-3, rtol=0)


def test_grey_and_permuted_channels_agree_with_torchvision(pictures: torch.Tensor):
    torch.testing.assert_close(augment.grey(pictures), v2.rgb_to_grayscale(pictures), atol=2e-3, rtol=0)
    ours = augment.permute_channels(pictures, torch.arange(5))
    for i, order in enumerate([[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1]]):
        assert torch.equal(ours[i], v2.permute_channels(pictures[i], order))


def test_a_blur_agrees_with_torchvision(pictures: torch.Tensor):
    sigmas = torch.tensor([0.0, 0.5, 1.0, 1.7, 3.0])
    ours = augment.blur(pictures, sigmas)
    assert torch.equal(ours[0], pictures[0])
    for i in range(1, 5):
        theirs = v2.gaussian_blur(pictures[i], [9, 9], [float(sigmas[i])] * 2)
        torch.testing.assert_close(ours[i], theirs, atol=1e-5, rtol=0)


def test_lines_are_thinned_thickened_and_outlined():
    page = torch.full((4, 3, 9, 9), 0.8)
    page[:, :, :, 4] = 0.0  # a dark line one pixel wide
    redrawn = augment.lines(page, torch.arange(4))
    assert torch.equal(redrawn[0], page[0])
    assert redrawn[1].min() == pytest.approx(0.8)
    assert int((redrawn[2][0, 4] == 0).sum()) == 3
    assert redrawn[3][0, 4, 3] == 0 and redrawn[3][0, 4, 1] == pytest.approx(0.8)


def test_an_erased_square_agrees_with_torchvision(pictures: torch.Tensor):
    fill = torch.tensor([[0.1, 0.2, 0.3]])
    ours = augment.erase(pictures[:1], torch.tensor([0.5]), torch.tensor([0.25]), torch.tensor([0.2]), fill)
    theirs = v2.erase(pictures[0], i=6, j=16, h=8, w=8, v=fill.view(3, 1, 1))
    assert torch.equal(ours[0], theirs)


def test_a_picture_is_augmented_the_same_way_in_any_batch():
    batch = torch.randint(0, 256, (8, 3, 16, 16), dtype=torch.uint8)
    every = Augment(rotate=20, shear=5, brightness=0.3, contrast=0.3, saturation=0.3, greyscale=0.3, permute=0.3, erase=0.5)
    together = every(Draws(1, 4, torch.arange(8)), batch)
    alone = every(Draws(1, 4, torch.tensor([5])), batch[5:6])
    torch.testing.assert_close(together[5], alone[0], atol=1e-6, rtol=0)
    assert together.min() >= 0 and together.max() <= 1


def test_switched_off_it_only_scales():
    batch = torch.randint(0, 256, (2, 3, 4, 4), dtype=torch.uint8)
    assert torch.equal(Augment(enabled=False, rotate=90)(Draws(0, 0, torch.arange(2)), batch), batch / 255)


def test_mixup_blends_pictures_and_labels_in_one_proportion():
    x, labels = torch.rand(4, 3, 8, 8), torch.tensor([0, 1, 2, 0])
    mixed, targets = Augment(mixup=1.0).mix(Draws(0, 0, torch.arange(4)), x, labels, 3)
    share = float(targets[1, 1])
    assert 0 < share < 1 and float(targets[1, 0]) == pytest.approx(1 - share)
    torch.testing.assert_close(mixed[1], share * x[1] + (1 - share) * x[0])


def test_cutmix_pastes_a_share_that_its_labels_name():
    x, labels = torch.stack([torch.full((3, 20, 20), float(i)) for i in range(4)]), torch.tensor([0, 1, 2, 0])
    mixed, targets = Augment(cutmix=1.0).mix(Draws(0, 3, torch.arange(4)), x, labels, 3)
    own = (mixed[1] == 1).float().mean()
    assert set(mixed[1].unique().tolist()) <= {0.0, 1.0}
    assert float(targets[1, 1]) == pytest.approx(float(own), abs=1e-6)
    assert torch.allclose(targets.sum(1), torch.ones(4))


@pytest.mark.parametrize("key", ["flip", "rotate", "scale", "shift", "shear", "brightness", "erase", "mixup"])
def test_a_value_out_of_range_names_its_key(key: str):
    with pytest.raises(TypedError, match=f"data.augment.{key}"):
        Augment(**{key: -0.5})
