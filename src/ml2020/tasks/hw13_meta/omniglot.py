"""Omniglot in one's own files: packed as omniglot28.npz, or the release's folders of pictures, which the course's are too.

Lake, Salakhutdinov and Tenenbaum 2015: 1,623 characters of 50 alphabets, each drawn by 20 people. The alphabets of images_background
are for training and validation, those of images_evaluation for the test.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from torch import Tensor

from ml2020.core.data import Source
from ml2020.core.errors import TypedError, UserError, at_least
from ml2020.data.cache import cached, fingerprint
from ml2020.data.digit_files import fetch
from ml2020.data.folders import Listing, decode, list_faces
from ml2020.tasks.hw13_meta.data import CharacterData

VERSION = 1  # of what is cached: goes up whenever it changes
PACKED = "omniglot28.npz"
FOLDERS = {"background": "images_background", "evaluation": "images_evaluation"}
SIZES = {"background": 964, "evaluation": 659}  # characters of the release
SIDE = 28


class Omniglot(CharacterData):
    """Omniglot, 28 x 28, white on black.

    `path`: a folder with omniglot28.npz, or with images_background and images_evaluation, each a folder or a zip, where they lie or in
    Omniglot/ (or Omniglot.zip) or omniglot-py/, as torchvision's download has it; or one of these itself. `val_characters`: those of
    images_background, drawn by data.seed, that are for validation, with all their rotations.
    """

    def __init__(
        self,
        path: str,
        download: bool = False,
        ways: int = 5,
        shots: int = 1,
        queries: int = 1,
        rotations: str = "classes",
        warp: float = 0.0,
        val_characters: int = 164,
        meta_batch: int = 32,
        steps: int = 100,
        val_episodes: int = 200,
        test_episodes: int = 600,
        seed: int = 0,
        cache_dir: str | None = None,
    ) -> None:
        super().__init__(ways, shots, queries, rotations, meta_batch, steps, val_episodes, test_episodes, seed, warp)
        self.path, self.download, self.cache_dir = Path(path).expanduser(), download, cache_dir
        self.val_characters = at_least(2, val_characters, "data.val_characters")

    def gather(self) -> dict[str, Tensor]:
        """Background, divided by character, and evaluation for the test. Raises TypedError where none are left for training."""
        pictures = {part: torch.from_numpy(array) for part, array in self.read().items()}
        background = pictures["background"]
        if self.val_characters >= len(background):
            raise TypedError(
                f"data.val_characters must be below {len(background)}, the characters for training and validation,"
                f" not {self.val_characters}"
            )
        order = torch.randperm(len(background), generator=torch.Generator().manual_seed(self.seed))
        val, train = order[: self.val_characters].sort().values, order[self.val_characters :].sort().values
        self.fingerprint = fingerprint({"files": self.fingerprint, "val": self.val_characters})
        return {"train": background[train], "val": background[val], "test": pictures["evaluation"]}

    def read(self) -> dict[str, np.ndarray]:
        """{background, evaluation: (characters, drawings, 28, 28) uint8}; sets `source`. Raises UserError."""
        packed = self.path if self.path.suffix == ".npz" else self.path / PACKED
        if packed.is_file():
            arrays = read_packed(packed)
            self.fingerprint = fingerprint({part: zlib.crc32(array) for part, array in arrays.items()})
        else:
            if self.download and not any(True for _ in places(self.path, "background")):
                for background in (True, False):
                    fetch("Omniglot", self.path, background=background)
            listings = {part: upright(listed(self.path, part)) for part in FOLDERS}
            key = {"version": VERSION} | {part: listing.fingerprint for part, listing in listings.items()}
            arrays = cached(self.cache_dir, "hw13_omniglot", key, lambda: {part: decoded(one) for part, one in listings.items()})
            self.fingerprint = fingerprint(key)
        whole = {part: len(array) for part, array in arrays.items()} == SIZES
        self.source = Source("Omniglot", "public", "MIT") if whole else Source(f"characters in {self.path.name}", "files", "unknown")
        return arrays


def read_packed(file: Path) -> dict[str, np.ndarray]:
    """omniglot28.npz: arrays background and evaluation, (characters, drawings, 98) uint8, eight pixels a byte, ink = 1."""
    try:
        with np.load(file, allow_pickle=False) as pack:
            found = {part: pack[part] for part in FOLDERS if part in pack}
    except Exception as error:  # a damaged zip, header or stream raises many kinds
        raise UserError(f"{file} cannot be read as an npz file; it is cut short, damaged or something else") from error
    for part in FOLDERS:
        if part not in found:
            raise UserError(f"{file} lacks the array {part}")
        bits, wanted = found[part], SIDE * SIDE // 8
        if bits.ndim != 3 or bits.shape[2] != wanted or bits.dtype != np.uint8:
            raise UserError(
                f"{file}: {part} is {bits.dtype} of the shape {bits.shape}; it must be uint8 of (characters, drawings, {wanted})"
            )
    return {part: np.unpackbits(bits, axis=2).reshape(*bits.shape[:2], SIDE, SIDE) * np.uint8(255) for part, bits in found.items()}


def places(path: Path, part: str) -> Iterator[str]:
    """Where the pictures of background or evaluation may be read from, best first; a folder before its zip."""
    if path.suffix == ".zip" and path.is_file():
        yield str(path)
    for base in (path, path / "Omniglot", path / "omniglot-py"):
        if (folder := base / FOLDERS[part]).is_dir():
            yield f"{folder}/"
        if (packed := base / f"{FOLDERS[part]}.zip").is_file():
            yield str(packed)
    if (both := path / "Omniglot.zip").is_file():
        yield str(both)


def listed(path: Path, part: str) -> Listing:
    """The pictures of background or evaluation. Raises UserError where there are none, or a file that is no picture."""
    place = next(places(path, part), None)
    if place is None:
        raise UserError(
            f"there is no {FOLDERS[part]} (a folder or zip), Omniglot.zip or {PACKED} in {path}; put it there (data_dir=, data.path=),"
            " or type data.download=true"
        )
    listing = list_faces(place)
    names = listing.files["all"]
    if any(FOLDERS[other] in PurePosixPath(name).parts for name in names for other in FOLDERS):  # a zip may hold both
        names = [name for name in names if FOLDERS[part] in PurePosixPath(name).parts]
    if not names:
        raise UserError(f"{listing.place} holds no pictures in {FOLDERS[part]}")
    return replace(listing, files={"all": names}, kinds={"all": [None] * len(names)})


def upright(listing: Listing) -> Listing:
    """Without the folders that hold the same characters turned: of Greek.000, Greek.090, ... the one of the least angle is kept.

    The classes are the characters, in order.
    """
    folders: dict[tuple[str, str], dict[int, list[str]]] = {}
    for name in listing.files["all"]:
        parts = PurePosixPath(name).parts
        if len(parts) < 3:
            raise UserError(f"{listing.place}: {name} stands in no folder of its character, such as Greek/character01")
        alphabet, angle = re.fullmatch(r"(.+?)(?:\.(\d+))?", parts[-3]).groups()
        folders.setdefault((alphabet, parts[-2]), {}).setdefault(int(angle or 0), []).append(name)
    kept = [(character, name) for character, turned in folders.items() for name in turned[min(turned)]]
    return replace(
        listing,
        files={"all": [name for _, name in kept]},
        kinds={"all": ["/".join(character) for character, _ in kept]},
        classes=["/".join(character) for character in folders],
    )


def decoded(listing: Listing) -> np.ndarray:
    """(characters, drawings, 28, 28) uint8, white on black; each character has as many drawings as the one with the fewest."""
    grey = decode(listing, SIDE, "crop")["all"][:, 0]
    paper = grey.mean((1, 2)) > 127
    grey[paper] = 255 - grey[paper]
    own: dict[str, list[int]] = {name: [] for name in listing.classes}
    for place, name in enumerate(listing.kinds["all"]):
        own[name].append(place)
    fewest = min(map(len, own.values()))
    return np.stack([grey[drawings[:fewest]] for drawings in own.values()])
