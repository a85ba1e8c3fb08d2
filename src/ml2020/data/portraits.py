"""Drawn portraits, composed from a seed: DiceBear's styles, made into pictures by resvg.

A style is a set of parts by one artist (hair, eyes, mouths, glasses, ...) with a licence of its own, which `credit` names. The default
is Adventurer by Lisa Wischofsky, CC BY 4.0. Parts repeat, so two portraits may look alike; no two are drawn from the same seed.
"""

from __future__ import annotations

import io
import json
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
from PIL import Image

from ml2020.core.progress import progress
from ml2020.data import packages
from ml2020.data.cache import cached

GENERATOR = 1  # goes up whenever the portraits of the same seed change
STYLES = ("adventurer", "avataaars", "big-ears", "big-smile", "clay", "lorelei", "micah", "miniavs", "personas", "toon-head")
GROUNDS = ("b6e3f4", "c0aede", "d1d4f9", "ffd5dc", "ffdfbf", "a8d8b9", "f4c2a1", "8fb8de")  # pale colours, RRGGBB
RARE = {"glasses": 30, "features": 20, "earrings": 20}  # parts that not everybody has, per cent
HEAD = 54 / 64  # the middle of the frame that holds an adventurer's head and hair


def portraits(
    count: int, size: int, style: str = "adventurer", seed: int = 0, middle: float = 1.0, cache_dir: str | None = None
) -> np.ndarray:
    """(count, 3, size, size) uint8, made once and then read from the cache; the first of many are the same as few.

    `middle`: the share of the frame's side that is shown, around its middle; 1 is all of it. Raises UserError where a package is
    missing.
    """
    key = {"generator": GENERATOR, "count": count, "size": size, "style": style, "seed": seed, "middle": middle} | versions()

    def render() -> dict[str, np.ndarray]:
        numbers = progress(range(count), f"drawing portraits ({style})", count)
        return {"pictures": np.stack([picture(style, f"{seed}/{i}", size, middle) for i in numbers])}

    return cached(cache_dir, "portraits", key, render)["pictures"]


def picture(style: str, seed: str, size: int, middle: float = 1.0) -> np.ndarray:
    """The portrait of one seed, (3, size, size) uint8."""
    from resvg_py import svg_to_bytes

    # Without skip_system_fonts a picture could depend on the machine.
    raw = svg_to_bytes(svg_string=drawing(style, seed, middle), width=size, height=size, skip_system_fonts=True)
    return np.asarray(Image.open(io.BytesIO(raw)).convert("RGB")).transpose(2, 0, 1)


def drawing(style: str, seed: str, middle: float = 1.0) -> str:
    """The portrait of one seed as SVG; its frame is cut, not its pixels, so that a close view is as sharp as a far one."""
    from dicebear import Avatar

    parts, made = _style(style)
    rare = {f"{part}Probability": chance for part, chance in RARE.items() if part in parts["components"]}
    svg = Avatar(made, {"seed": seed, "backgroundColor": list(GROUNDS), **rare}).to_string()
    width, height = parts["canvas"]["width"], parts["canvas"]["height"]
    whole, edge = f'viewBox="0 0 {width} {height}"', (1 - middle) / 2
    assert whole in svg  # DiceBear's versions are part of the key; a change of its frame must not pass unseen
    return svg.replace(whole, f'viewBox="{edge * width} {edge * height} {middle * width} {middle * height}"', 1)


def credit(style: str) -> tuple[str, str]:
    """(style and artist, licence) of a style, as its own file says."""
    versions()
    about = _file(style)["meta"]
    title = (about.get("source") or {}).get("name") or style
    return f"{title} by {about['creator']['name']}", about["license"]["name"].rstrip(".")


def versions() -> dict[str, str]:
    """The versions of the source packages, part of a cache's key. Raises UserError for one that is missing."""
    return packages.versions(("dicebear-core", "dicebear-styles", "resvg-py"), "the portraits")


@cache
def _file(style: str) -> dict[str, Any]:
    return json.loads(resources.files("dicebear_styles").joinpath(f"{style}.json").read_text("utf8"))


@cache
def _style(style: str) -> tuple[dict[str, Any], Any]:
    """The style's file, and what DiceBear makes of it: checked against its schema once, not for every portrait."""
    from dicebear import Style

    return _file(style), Style(_file(style))
