"""Letters of DejaVu Sans, drawn anew by a shaky hand: characters of some twenty scripts, twenty drawings each. Not Omniglot.

The font (part of matplotlib) is only where shapes come from: a letter is thinned to its skeleton, and a drawing is that skeleton, bent,
turned and slanted, gone over with a round pen. Which scripts are for training, validation and test is fixed.
"""

from __future__ import annotations

import hashlib
import unicodedata
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ml2020.core.progress import progress
from ml2020.data import packages
from ml2020.data.cache import cached

GENERATOR = 1  # goes up whenever the pictures of the same seed change
DRAWINGS = 20  # of each letter
SIDE = 28  # pixels of a drawing
# By the first words of their letters' names in Unicode; all other scripts are for training. GEORGIAN SMALL is the old Nuskhuri.
SCRIPTS = {
    "val": ("GREEK", "ARABIC"),
    "test": ("ARMENIAN", "HEBREW", "NKO", "TIFINAGH", "GEORGIAN SMALL", "LAO", "OGHAM"),
}
_SHEET, _POINTS = 128, 72  # pixels of the sheet that a letter is written on, and of the font; the skeleton is found at half that size
_ALIKE = 0.86  # letters whose pictures correlate by more are one class
_LEAST = 12  # pixels of a skeleton that still tells something


def letters(seed: int, wobble: float, cache_dir: str | None) -> dict[str, np.ndarray]:
    """{train, val, test: (letters, 20, 28, 28) uint8, white on black}, made once and then read from the cache.

    `wobble`: how far the hand strays, as a share of the letter's size. The drawings of a letter depend on `seed` and the letter alone.
    """
    key = {"generator": GENERATOR, "seed": seed, "wobble": wobble} | versions()
    arrays = cached(cache_dir, "hw13_letters", key, lambda: _render(seed, wobble))
    splits = np.array([split_of(code) for code in arrays["codes"]])
    return {split: arrays["pictures"][splits == split] for split in ("train", "val", "test")}


def versions() -> dict[str, str]:
    """What the letters depend on besides their seed; the font itself, because a system's matplotlib may bring another one."""
    font = hashlib.sha256(_font_file().read_bytes()).hexdigest()[:16]
    return packages.versions(("pillow",), "the letters") | {"font": font, "unicode": unicodedata.unidata_version}


def split_of(code: int) -> str:
    """train, val or test: by the script of a code point."""
    name = unicodedata.name(chr(code))
    return next((split for split, scripts in SCRIPTS.items() if name.startswith(scripts)), "train")


def _font_file() -> Path:
    import matplotlib

    return Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")


def _render(seed: int, wobble: float) -> dict[str, np.ndarray]:
    codes, glyphs = distinct(*written())
    skeletons = thin(glyphs.reshape(-1, _SHEET // 2, 2, _SHEET // 2, 2).mean((2, 4)) > 127)
    kept = skeletons.sum((1, 2)) >= _LEAST
    codes, skeletons = codes[kept], skeletons[kept]
    pictures = np.empty((len(codes), DRAWINGS, SIDE, SIDE), np.uint8)
    for i in progress(range(len(codes)), "drawing letters by a shaky hand", len(codes)):
        pictures[i] = draw(skeletons[i], np.random.default_rng([seed, codes[i]]), wobble)
    return {"codes": codes, "pictures": pictures}


def written() -> tuple[np.ndarray, np.ndarray]:
    """All letters of the font that are not made of others, by code point (n,), each in the middle of a sheet (n, 128, 128) uint8."""
    from matplotlib.ft2font import FT2Font

    font = ImageFont.truetype(str(_font_file()), _POINTS, layout_engine=ImageFont.Layout.BASIC)
    codes, sheets = [], []
    for code in sorted(FT2Font(str(_font_file())).get_charmap()):
        letter = chr(code)
        if unicodedata.category(letter)[0] != "L" or unicodedata.decomposition(letter):
            continue
        sheet = Image.new("L", (_SHEET, _SHEET))
        left, top, right, bottom = font.getbbox(letter)
        ImageDraw.Draw(sheet).text(((_SHEET - left - right) / 2, (_SHEET - top - bottom) / 2), letter, 255, font)
        if sheet.getbbox():
            codes.append(code)
            sheets.append(np.asarray(sheet))
    return np.array(codes), np.stack(sheets)


def distinct(codes: np.ndarray, glyphs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Without the letters that look like one before them: A of Latin, Greek and Cyrillic is one class."""
    from scipy.ndimage import gaussian_filter

    small = gaussian_filter(np.stack([_framed(glyph) for glyph in glyphs]), (0, 0.8, 0.8)).reshape(len(glyphs), -1)
    likeness = np.corrcoef(small)
    kept: list[int] = []
    for i in range(len(codes)):
        if not (likeness[i, kept] > _ALIKE).any():
            kept.append(i)
    return codes[kept], glyphs[kept]


def _framed(glyph: np.ndarray) -> np.ndarray:
    """The letter as large as 20 x 20 allows, (20, 20) float32."""
    image = Image.fromarray(glyph)
    image = image.crop(image.getbbox())
    side = max(image.size)
    frame = Image.new("L", (side, side))
    frame.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return np.asarray(frame.resize((20, 20), Image.Resampling.BILINEAR), np.float32)


def thin(shapes: np.ndarray) -> np.ndarray:
    """Skeletons one pixel wide of shapes (n, h, w) bool, all at once (Zhang and Suen 1984).

    A pixel goes if it has 2 to 6 neighbours (B), if these form one stretch around it (A = 1), and if it lies on the side that is peeled
    off: the lower right, then the upper left, in turn until nothing goes.
    """
    shapes = np.pad(shapes, ((0, 0), (1, 1), (1, 1)))
    rim = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))  # p2, p3, ..., p9: clockwise from above
    going = True
    while going:
        going = False
        for step in range(2):
            around = [np.roll(shapes, (-dy, -dx), (1, 2)) for dy, dx in rim]
            p2, p4, p6, p8 = around[::2]
            b = sum(p.astype(np.int8) for p in around)
            a = sum((~p & q).astype(np.int8) for p, q in zip(around, [*around[1:], p2], strict=True))
            side = ~(p4 & p6 & (p2 | p8)) if step == 0 else ~(p2 & p8 & (p4 | p6))
            gone = shapes & (b >= 2) & (b <= 6) & (a == 1) & side
            shapes = shapes & ~gone
            going = going or bool(gone.any())
    return shapes[:, 1:-1, 1:-1]


def path(skeleton: np.ndarray) -> np.ndarray:
    """Points along a skeleton (h, w) bool, a third of a pixel apart: (n, 2), x and y."""
    padded = np.pad(skeleton, 1)
    inner = padded[1:-1, 1:-1]
    right, below = padded[1:-1, 2:], padded[2:, 1:-1]
    # A corner is gone around, not cut: a diagonal joins two pixels only where no third one does.
    steps = {
        (1, 0): inner & right,
        (0, 1): inner & below,
        (1, 1): inner & padded[2:, 2:] & ~right & ~below,
        (-1, 1): inner & padded[2:, :-2] & ~padded[1:-1, :-2] & ~below,
    }
    pixels = [np.argwhere(inner)[:, ::-1].astype(np.float64)]
    for step, starts in steps.items():
        first = np.argwhere(starts)[:, ::-1]
        pixels += [first + share * np.array(step) for share in (1 / 3, 2 / 3)]
    return np.concatenate(pixels)


def draw(skeleton: np.ndarray, rng: np.random.Generator, wobble: float) -> np.ndarray:
    """Twenty drawings of one letter, (20, 28, 28) uint8: bent, slanted, stretched and turned, each with a pen of its own."""
    points = path(skeleton)
    low, high = points.min(0), points.max(0)
    points = (points - (low + high) / 2) / max(*(high - low), 1)  # in [-1/2, 1/2]
    points = points + wobble * bent(points, rng)
    angle, shear = rng.normal(0, 0.12, (DRAWINGS, 1)), rng.normal(0, 0.18, (DRAWINGS, 1))
    x, y = np.moveaxis(points * np.exp(rng.normal(0, 0.15, (DRAWINGS, 1, 2))), 2, 0)
    x = x + shear * y
    points = np.stack([np.cos(angle) * x - np.sin(angle) * y, np.sin(angle) * x + np.cos(angle) * y], 2)
    low, high = points.min(1, keepdims=True), points.max(1, keepdims=True)
    size = SIDE * rng.uniform(0.62, 0.86, (DRAWINGS, 1, 1))
    points = SIDE / 2 + (points - (low + high) / 2) * size / (high - low).max(2, keepdims=True)
    return inked(points, rng.uniform(1.3, 2.3, (DRAWINGS, 1)) / 2)


def bent(points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """How points (n, 2) of a letter move in each drawing, (20, n, 2): 3 x 3 cosine waves of random strength along both axes."""
    waves = np.cos(np.pi * np.arange(3) * (points[:, :, None] + 0.5))  # (n, 2, 3)
    strength = rng.normal(0, 1, (DRAWINGS, 2, 3, 3))
    return np.einsum("ni,dcij,nj->dnc", waves[:, 0], strength, waves[:, 1])


def inked(points: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Round dots at `points` (d, n, 2), with `radius` (d, 1) below 1.5 pixels, on black: (d, 28, 28) uint8.

    The share of a pixel that is inked, clip(radius + 1/2 - distance, 0, 1), is near to that of a much larger drawing made smaller.
    """
    sheets = np.zeros((len(points), SIDE, SIDE), np.float32)
    corner = np.floor(points - 0.5)
    number = np.arange(len(points))[:, None]
    for dy in range(-1, 3):  # the 4 x 4 pixels that a dot may reach
        for dx in range(-1, 3):
            x, y = corner[..., 0] + dx, corner[..., 1] + dy
            ink = np.clip(radius + 0.5 - np.hypot(x + 0.5 - points[..., 0], y + 0.5 - points[..., 1]), 0, 1)
            place = ((number * SIDE + y) * SIDE + x).astype(np.int64)
            np.maximum.at(sheets.reshape(-1), place.ravel(), ink.ravel().astype(np.float32))
    return np.rint(sheets * 255).astype(np.uint8)
