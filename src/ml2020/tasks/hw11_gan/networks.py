"""The networks that are set against each other: those of DCGAN in any size, the student's, and perceptrons for points."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization

from ml2020.core.errors import TypedError, at_least, one_of
from ml2020.nn.perceptron import perceptron

KINDS = ("dcgan", "original", "mlp")
NORMS = ("batch", "spectral", "none")


def make(kind: str, shape: Sequence[int], latent: int, width: int, kernel: int, norm: str) -> tuple[nn.Module, nn.Module]:
    """Generator (n, latent) -> (n, *shape) and discriminator (n, *shape) -> scores (n,). `norm`: the discriminator's.

    Raises TypedError for a shape that the networks of this kind cannot make.
    """
    one_of(KINDS, kind, "model.net"), one_of(NORMS, norm, "model.norm")
    at_least(1, latent, "model.latent"), at_least(1, width, "model.width"), one_of((4, 5), kernel, "model.kernel")
    if (len(shape) == 1) != (kind == "mlp"):
        fits, other = ("mlp", "points") if len(shape) == 1 else ("dcgan or original", "pictures")
        raise TypedError(f"model.net={kind} cannot learn {other}; type model.net={fits}")
    if kind == "mlp":
        return points(latent, shape[0], width), Scores(points(shape[0], 1, width), norm)
    if kind == "original":
        return original_generator(shape, latent), Scores(original_discriminator(shape), "none")
    side, doublings = shape[-1], (shape[-1] // 4).bit_length() - 1
    if side != 4 << doublings or not doublings:
        raise TypedError(f"data.image_size={side} does not fit these networks, which double 4 pixels; type 8, 16, 32, 64, 128 or 256")
    generator = dcgan_generator(shape[0], latent, width, kernel, doublings)
    return generator, Scores(dcgan_discriminator(shape[0], width, kernel, doublings, norm), norm)


class Scores(nn.Sequential):
    """A discriminator: one number a sample, (n,); positive for real in most losses. `norm`: spectral is put onto every weight."""

    def __init__(self, net: nn.Sequential, norm: str) -> None:
        super().__init__(*net)
        if norm == "spectral":
            for layer in self:
                if isinstance(layer, nn.Conv2d | nn.Linear):
                    register_parametrization(layer, "weight", Spectral(layer.weight))

    def forward(self, samples: Tensor) -> Tensor:
        return super().forward(samples).flatten()


class Spectral(nn.Module):
    """W -> W / sigma(W), sigma the largest singular value of W as a matrix (outputs, all else) (Miyato et al. 2018, algorithm 1).

    In training each use makes one step of the power iteration, which goes on from the step before; it starts with fifteen.
    """

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.register_buffer("u", torch.nn.functional.normalize(torch.randn(len(weight)), dim=0))
        self.register_buffer("v", torch.zeros(weight[0].numel()))
        for _ in range(15):
            self.iterate(weight.detach().flatten(1))

    @torch.no_grad()
    def iterate(self, matrix: Tensor) -> None:
        self.v = torch.nn.functional.normalize(matrix.T @ self.u, dim=0)
        self.u = torch.nn.functional.normalize(matrix @ self.v, dim=0)

    def forward(self, weight: Tensor) -> Tensor:
        matrix = weight.flatten(1)
        with torch.autocast(weight.device.type, enabled=False):  # a quotient of sums: not in half precision
            if self.training:
                self.iterate(matrix.detach())
            return weight / (self.u @ (matrix @ self.v))


# DCGAN (Radford et al. 2016).


def dcgan_generator(channels: int, latent: int, width: int, kernel: int, doublings: int) -> nn.Sequential:
    """Dense to 4 x 4, then transposed convolutions of stride 2, each half as wide as the one before; the last but one has `width`."""
    widths = [width << i for i in reversed(range(doublings))]
    layers: list[nn.Module] = [
        nn.Linear(latent, widths[0] * 16, bias=False),
        nn.BatchNorm1d(widths[0] * 16),
        nn.ReLU(),
        nn.Unflatten(1, (widths[0], 4, 4)),
    ]
    for a, b in itertools.pairwise(widths):
        layers += [_up(a, b, kernel, bias=False), nn.BatchNorm2d(b), nn.ReLU()]
    return _started(nn.Sequential(*layers, _up(width, channels, kernel, bias=True), nn.Tanh()))


def dcgan_discriminator(channels: int, width: int, kernel: int, doublings: int, norm: str) -> nn.Sequential:
    """Convolutions of stride 2, each twice as wide, down to 4 x 4, and one number; batch norm, if any, from the second on."""
    widths = [channels, *(width << i for i in range(doublings))]
    layers: list[nn.Module] = []
    for number, (a, b) in enumerate(itertools.pairwise(widths)):
        layers.append(nn.Conv2d(a, b, kernel, stride=2, padding=(kernel - 1) // 2))
        layers += [nn.BatchNorm2d(b)] if norm == "batch" and number else []
        layers.append(nn.LeakyReLU(0.2))
    return _started(nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 4)))


def _up(a: int, b: int, kernel: int, bias: bool) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(a, b, kernel, stride=2, padding=(kernel - 1) // 2, output_padding=kernel % 2, bias=bias)


def _started(net: nn.Sequential) -> nn.Sequential:
    """DCGAN's start: weights N(0, 0.02), scales of batch norm N(1, 0.02), no biases."""
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(layer.weight, 0.0, 0.02)
        elif isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(layer.weight, 1.0, 0.02)
        if getattr(layer, "bias", None) is not None:
            nn.init.zeros_(layer.bias)
    return net


# The student's: 16.07 and 0.28 million parameters at 96 x 96.


def original_generator(shape: Sequence[int], latent: int) -> nn.Sequential:
    """Dense to a quarter of the side with 256 channels, transposed 5 x 5 of stride 1, 2, 2; no tanh, so it may leave [-1, 1]."""
    side = _quarter(shape)
    return _keras(
        nn.Sequential(
            *(nn.Linear(latent, 256 * side * side, bias=False), nn.BatchNorm1d(256 * side * side), nn.LeakyReLU(0.3)),
            nn.Unflatten(1, (256, side, side)),
            *(nn.ConvTranspose2d(256, 128, 5, padding=2, bias=False), nn.BatchNorm2d(128), nn.LeakyReLU(0.3)),
            *(_up(128, 64, 5, bias=False), nn.BatchNorm2d(64), nn.LeakyReLU(0.3)),
            _up(64, shape[0], 5, bias=False),
        )
    )


def original_discriminator(shape: Sequence[int]) -> nn.Sequential:
    """Two 5 x 5 convolutions of stride 2 with dropout, and one number; no batch norm."""
    side = _quarter(shape)
    return _keras(
        nn.Sequential(
            *(nn.Conv2d(shape[0], 64, 5, stride=2, padding=2), nn.LeakyReLU(0.3), nn.Dropout(0.3)),
            *(nn.Conv2d(64, 128, 5, stride=2, padding=2), nn.LeakyReLU(0.3), nn.Dropout(0.3)),
            *(nn.Flatten(), nn.Linear(128 * side * side, 1)),
        )
    )


def _quarter(shape: Sequence[int]) -> int:
    if shape[-1] % 4:
        raise TypedError(f"data.image_size={shape[-1]} does not fit the original's networks; type a multiple of 4, such as 96")
    return shape[-1] // 4


def _keras(net: nn.Sequential) -> nn.Sequential:
    """Keras' start: Glorot's uniform, no biases."""
    for layer in net:
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return net


def points(inputs: int, outputs: int, width: int) -> nn.Sequential:
    """For points: three hidden layers of `width` with ReLU, orthogonal weights of gain 0.8 (Metz et al. 2017)."""
    return perceptron(inputs, [width] * 3, outputs, gain=0.8, last=0.8, shape=nn.ReLU)
