"""Augmentation of whole batches of pictures, each picture with random numbers of its own.

torchvision's v2 classes draw one set of parameters for a whole batch from the global generator. Here the parameters come from
(seed, epoch, index); the operations are torchvision's, and the tests compare each with v2.functional picture by picture.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ml2020.core.draws import Draws
from ml2020.core.errors import at_least, within


def affine(pictures: Tensor, matrix: Tensor, padding: str = "reflection") -> Tensor:
    """Sample float pictures (n, c, h, w) at places given by `matrix` (n, 2, 3), output to input, in normalised coordinates."""
    grid = F.affine_grid(matrix, list(pictures.shape), align_corners=False)
    return F.grid_sample(pictures, grid, mode="bilinear", padding_mode=padding, align_corners=False)


def affine_matrix(angle: Tensor, scale: Tensor, shear: Tensor, shift_x: Tensor, shift_y: Tensor, flip: Tensor) -> Tensor:
    """(n, 2, 3) maps from output to input, for square pictures.

    The picture is mirrored where `flip`, sheared along x by `shear`, turned by `angle` (radians, clockwise as seen), enlarged by
    `scale`, then moved by `shift` (shares of the width, of the height). The last four as v2.functional.affine has them.
    """
    cos, sin = torch.cos(angle) / scale, torch.sin(angle) / scale
    # Inverse of (turn x shear): a point is moved back, turned back, and its x is sheared back along its y.
    tangent = torch.tan(shear)
    a, b, c, d = cos - tangent * sin, sin + tangent * cos, -sin, cos
    mirror = 1 - 2 * flip.to(angle.dtype)
    dx, dy = 2 * shift_x, 2 * shift_y
    return torch.stack([a * mirror, b * mirror, -(a * dx + b * dy) * mirror, c, d, -(c * dx + d * dy)], 1).view(-1, 2, 3)


def brightness(pictures: Tensor, factor: Tensor) -> Tensor:
    """Float pictures of [0, 1] times `factor` (n,), as v2.functional.adjust_brightness."""
    return (pictures * _wide(factor)).clamp(0, 1)


def contrast(pictures: Tensor, factor: Tensor) -> Tensor:
    """Blend with the mean grey by `factor` (n,), as v2.functional.adjust_contrast."""
    mean = grey(pictures).mean((1, 2, 3), keepdim=True)
    return torch.lerp(mean, pictures, _wide(factor)).clamp(0, 1)


def saturation(pictures: Tensor, factor: Tensor) -> Tensor:
    """Blend with the grey picture by `factor` (n,), as v2.functional.adjust_saturation."""
    return torch.lerp(grey(pictures), pictures, _wide(factor)).clamp(0, 1)


def grey(pictures: Tensor) -> Tensor:
    """(n, 3, h, w) -> (n, 1, h, w), the luma of ITU-R BT.601."""
    weights = pictures.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    return (pictures * weights).sum(1, keepdim=True)


def blur(pictures: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian blur of (n, c, h, w) by `sigma` (n,) pixels, 9 x 9, as v2.functional.gaussian_blur."""
    taps = torch.arange(-4, 5, device=pictures.device, dtype=pictures.dtype)
    weights = torch.exp(-0.5 * (taps / sigma.clamp_min(1e-3)[:, None]) ** 2)
    weights = weights / weights.sum(1, keepdim=True)
    x = F.pad(pictures, (4, 4, 4, 4), mode="reflect")
    height, width = pictures.shape[-2:]
    x = sum(_wide(weights[:, i]) * x[:, :, i : i + height] for i in range(9))
    return sum(_wide(weights[:, i]) * x[:, :, :, i : i + width] for i in range(9))


def lines(pictures: Tensor, how: Tensor) -> Tensor:
    """Redraw the lines of (n, c, h, w) by `how` (n,) int64: 0 leaves a picture alone, 1 thins dark lines (the brightest of 3 x 3),
    2 thickens them (the darkest of 3 x 3), 3 outlines every edge in black. For drawings: artists differ in lines more than in shapes.
    """
    brightest, darkest = F.max_pool2d(pictures, 3, 1, 1), -F.max_pool2d(-pictures, 3, 1, 1)
    edge = (brightest - darkest).amax(1, keepdim=True)
    outlined = pictures * (1 - edge * 1.5).clamp(0, 1)
    choice = _wide(how)
    return torch.where(choice == 1, brightest, torch.where(choice == 2, darkest, torch.where(choice == 3, outlined, pictures)))


_ORDERS = ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))


def permute_channels(pictures: Tensor, order: Tensor) -> Tensor:
    """Exchange the colours of (n, 3, h, w) by one of the six orders (n,) int64; 0 leaves a picture alone."""
    index = torch.tensor(_ORDERS, device=pictures.device)[order]
    return pictures.gather(1, index[:, :, None, None].expand_as(pictures))


def erase(pictures: Tensor, centre_x: Tensor, centre_y: Tensor, share: Tensor, fill: Tensor) -> Tensor:
    """Paint a square of side `share` (n,) of the picture's side with the colour `fill` (n, c) (cutout, DeVries and Taylor 2017)."""
    rows, cols = ((torch.arange(n, device=pictures.device) + 0.5) / n for n in pictures.shape[-2:])
    inside_y = (rows - centre_y[:, None]).abs() < share[:, None] / 2
    inside_x = (cols - centre_x[:, None]).abs() < share[:, None] / 2
    inside = (inside_y[:, :, None] & inside_x[:, None, :])[:, None]
    return torch.where(inside, fill[:, :, None, None], pictures)


def _wide(factor: Tensor) -> Tensor:
    return factor.view(-1, 1, 1, 1)


class Augment:
    """uint8 pictures (n, c, h, w) -> float pictures of [0, 1]; with `enabled=False` nothing but that change of type.

    `mixup` is the alpha of Beta(alpha, alpha) in Zhang et al. 2018, applied with `cutmix` (Yun et al. 2019) to every other batch where
    both are given; labels (n,) then become distributions (n, classes).
    """

    def __init__(
        self,
        enabled: bool = True,
        flip: float = 0.5,
        rotate: float = 10.0,
        scale: float = 0.1,
        shift: float = 0.05,
        shear: float = 0.0,
        brightness: float = 0.0,
        contrast: float = 0.0,
        saturation: float = 0.0,
        greyscale: float = 0.0,
        permute: float = 0.0,
        lines: float = 0.0,
        blur: float = 0.0,
        blur_size: float = 2.5,
        erase: float = 0.0,
        erase_size: float = 0.4,
        mixup: float = 0.0,
        cutmix: float = 0.0,
    ) -> None:
        self.enabled = enabled
        self.flip = within(0, 1, flip, "data.augment.flip")
        self.rotate = within(0, 180, rotate, "data.augment.rotate")
        self.scale = within(0, 2, scale, "data.augment.scale")
        self.shift = within(0, 1, shift, "data.augment.shift")
        self.shear = within(0, 60, shear, "data.augment.shear")
        self.greyscale = within(0, 1, greyscale, "data.augment.greyscale")
        self.blur = within(0, 1, blur, "data.augment.blur")
        self.blur_size = within(0, 10, blur_size, "data.augment.blur_size")
        self.lines = within(0, 1, lines, "data.augment.lines")
        self.permute = within(0, 1, permute, "data.augment.permute")
        self.colour = {
            name: within(0, 1, value, f"data.augment.{name}")
            for name, value in (("brightness", brightness), ("contrast", contrast), ("saturation", saturation))
        }
        self.erase = within(0, 1, erase, "data.augment.erase")
        self.erase_size = within(0, 1, erase_size, "data.augment.erase_size")
        self.mixup = at_least(0, mixup, "data.augment.mixup")
        self.cutmix = at_least(0, cutmix, "data.augment.cutmix")

    def __call__(self, draws: Draws, pictures: Tensor) -> Tensor:
        x = pictures.float().div_(255)
        if not self.enabled:
            return x
        if self.rotate or self.scale or self.shift or self.shear:
            x = affine(x, self.matrix(draws))
        elif self.flip:
            x = torch.where(_wide(draws.chance(self.flip)), x.flip(-1), x)
        if self.blur:
            x = blur(x, draws.uniform(0.3, 1.0) * self.blur_size * draws.chance(self.blur))
        if self.lines:
            x = lines(x, draws.integers(1, 4) * draws.chance(self.lines))
        for name, strength in self.colour.items():
            if strength and (name == "brightness" or x.shape[1] == 3):
                x = globals()[name](x, draws.uniform(1 - strength, 1 + strength))
        if self.permute and x.shape[1] == 3:
            x = permute_channels(x, draws.integers(1, 6) * draws.chance(self.permute))
        if self.greyscale and x.shape[1] == 3:
            x = torch.where(_wide(draws.chance(self.greyscale)), grey(x), x)
        if self.erase:
            x = self.erased(draws, x)
        return x

    def matrix(self, draws: Draws) -> Tensor:
        """The affine maps of one batch, (n, 2, 3)."""
        flip = draws.chance(self.flip)
        angle = draws.uniform(-self.rotate, self.rotate) * (math.pi / 180)
        scale = torch.exp(draws.uniform(-1, 1) * math.log1p(self.scale))
        shear = draws.uniform(-self.shear, self.shear) * (math.pi / 180)
        shift_x, shift_y = (draws.uniform(-self.shift, self.shift) for _ in "xy")
        return affine_matrix(angle, scale, shear, shift_x, shift_y, flip)

    def erased(self, draws: Draws, x: Tensor) -> Tensor:
        """Pictures of which a share `erase` has lost a square, filled with one random colour."""
        share = draws.uniform(0.3, 1.0) * self.erase_size * draws.chance(self.erase)
        fill = torch.stack([draws.uniform() for _ in range(x.shape[1])], 1)
        return erase(x, draws.uniform(), draws.uniform(), share, fill)

    def mix(self, draws: Draws, x: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
        """Blend each picture (mixup) or paste into it (cutmix) its neighbour in the batch, and their labels in the same proportion.

        One proportion a batch, drawn for its first picture, as in the papers' own code.
        """
        targets = F.one_hot(labels, classes).to(x.dtype)
        if not self.enabled or not (self.mixup or self.cutmix):
            return x, targets
        cut = self.cutmix and (not self.mixup or bool(draws.chance(0.5)[0]))
        alpha = self.cutmix if cut else self.mixup
        keep = _beta(draws, alpha)
        other_x, other_t = x.roll(1, 0), targets.roll(1, 0)
        if not cut:
            return torch.lerp(other_x, x, keep), torch.lerp(other_t, targets, keep)
        n = len(x)
        share = x.new_full((n,), math.sqrt(1 - keep))
        centre_x, centre_y = draws.uniform()[:1].expand(n), draws.uniform()[:1].expand(n)
        hole = erase(x.new_zeros(1, 1, *x.shape[-2:]), centre_x[:1], centre_y[:1], share[:1], x.new_ones(1, 1))
        keep = 1 - hole.mean().item()  # the square may be cut by the frame
        return torch.where(hole.bool(), other_x, x), torch.lerp(other_t, targets, keep)


def _beta(draws: Draws, alpha: float) -> float:
    """Beta(alpha, alpha) from the first picture's stream, by inverting the distribution function."""
    from scipy.special import betaincinv

    return float(betaincinv(alpha, alpha, float(draws.uniform()[0])))
