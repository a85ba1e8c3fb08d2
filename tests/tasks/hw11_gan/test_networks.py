"""The two networks and what the discriminator is shown, against libraries, the original's sizes and a look at every pixel."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ml2020.core.errors import TypedError
from ml2020.tasks.hw11_gan import augment, networks


@pytest.mark.parametrize("layer", [nn.Conv2d(3, 5, 4), nn.Linear(12, 7)])
def test_spectral_norm_divides_by_the_largest_singular_value(layer: nn.Module):
    torch.manual_seed(0)
    plain_weight = layer.weight.detach().clone()
    net = networks.Scores(nn.Sequential(layer), "spectral")
    for _ in range(200):
        normed = net[0].weight  # a use is a step of the power iteration
    largest = torch.linalg.svdvals(plain_weight.flatten(1))[0]
    assert torch.allclose(normed, plain_weight / largest, rtol=1e-4)
    library = torch.nn.utils.parametrizations.spectral_norm(nn.Linear(*plain_weight.flatten(1).T.shape, bias=False))
    library.parametrizations.weight.original.data.copy_(plain_weight.flatten(1))
    for _ in range(200):
        expected = library.weight
    assert torch.allclose(normed.flatten(1), expected, rtol=1e-4, atol=1e-6)


def test_in_evaluation_the_power_iteration_stands_still():
    net = networks.Scores(nn.Sequential(nn.Linear(4, 3)), "spectral").eval()
    before = net[0].parametrizations.weight[0].u.clone()
    net[0].weight  # noqa: B018
    assert torch.equal(before, net[0].parametrizations.weight[0].u)


def test_spectral_normed_scores_are_not_steeper_than_one():
    torch.manual_seed(0)
    net = networks.Scores(networks.points(2, 1, 16), "spectral")
    for _ in range(50):
        net(torch.randn(8, 2))
    net.eval()
    a, b = torch.randn(500, 2), torch.randn(500, 2)
    assert float(((net(a) - net(b)).abs() / (a - b).norm(dim=1)).max()) <= 1.001


def test_the_originals_networks_have_the_originals_parameters():
    generator, discriminator = networks.make("original", [3, 96, 96], 100, 1, 5, "none")
    assert sum(p.numel() for p in generator.parameters()) == 16_069_696  # 16.07 M
    assert sum(p.numel() for p in discriminator.parameters()) == 283_521  # 0.28 M
    assert generator(torch.randn(2, 100)).shape == (2, 3, 96, 96)


def test_the_courses_networks_have_the_courses_parameters():
    generator, discriminator = networks.make("dcgan", [3, 64, 64], 100, 64, 5, "batch")
    assert sum(p.numel() for p in generator.parameters()) == 5_142_083
    assert sum(p.numel() for p in discriminator.parameters()) == 4_316_545


@pytest.mark.parametrize(("kind", "size", "kernel"), [("dcgan", 32, 4), ("dcgan", 32, 5), ("dcgan", 64, 4), ("original", 48, 5)])
def test_networks_fit_each_other_at_any_size(kind: str, size: int, kernel: int):
    generator, discriminator = networks.make(kind, [3, size, size], 10, 4, kernel, "batch")
    pictures = generator(torch.randn(3, 10))
    assert pictures.shape == (3, 3, size, size) and discriminator(pictures).shape == (3,)


@pytest.mark.parametrize(
    ("options", "shape", "sentence"),
    [
        ({"net": "dcgan"}, [3, 48, 48], "data.image_size=48 does not fit these networks, which double 4 pixels"),
        ({"net": "original"}, [3, 50, 50], "a multiple of 4, such as 96"),
        ({"net": "mlp"}, [3, 8, 8], "model.net=mlp cannot learn pictures; type model.net=dcgan or original"),
        ({"net": "dcgan"}, [2], "model.net=dcgan cannot learn points; type model.net=mlp"),
    ],
)
def test_a_shape_that_does_not_fit_is_told(options: dict[str, str], shape: list[int], sentence: str):
    with pytest.raises(TypedError, match=sentence.replace("*", r"\*")):
        networks.make(options["net"], shape, latent=6, width=4, kernel=4, norm="batch")


# Augmentation.


def test_diffaugment_passes_gradients_and_keeps_the_pictures_when_it_is_off():
    x = torch.rand(4, 3, 8, 8, requires_grad=True)
    assert augment.augment(x, ()) is x
    augment.augment(x, augment.KINDS).sum().backward()
    assert x.grad.abs().sum() > 0


def test_translation_moves_each_picture_by_whole_pixels_and_fills_with_nothing():
    torch.manual_seed(0)
    x = torch.rand(64, 1, 16, 16) + 1
    moved = augment.translation(x)
    shifts = set()
    for before, after in zip(x[:, 0], moved[:, 0], strict=True):
        found = [
            (dy, dx)
            for dy in range(-2, 3)
            for dx in range(-2, 3)
            if torch.equal(
                nn.functional.pad(before, (2, 2, 2, 2))[2 + dy : 18 + dy, 2 + dx : 18 + dx],
                after,
            )
        ]
        assert len(found) == 1
        shifts.add(found[0])
    assert len(shifts) > 15  # of 25


def test_cutout_blanks_a_square_of_half_the_side_or_the_part_of_it_that_is_inside():
    torch.manual_seed(0)
    blank = augment.cutout(torch.ones(200, 1, 8, 8))[:, 0] == 0
    assert blank.flatten(1).sum(1).max() == 16 and blank.flatten(1).sum(1).min() >= 4
    for picture in blank:
        rows, columns = picture.any(1).sum(), picture.any(0).sum()
        assert picture.sum() == rows * columns <= 16
