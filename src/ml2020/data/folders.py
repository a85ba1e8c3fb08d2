"""Folders and zip files of pictures: listed, checked, decoded once into uint8 arrays.

The layouts that are read: `training/3_17.jpg` (class, underscore, number), `training/bread/17.jpg` (a folder a class), each under
training | train, validation | valid | val, and evaluation | testing | test; the last one with or without classes. The folder may be
packed as one zip, and may stand one level deeper (food-11/training/...). Pictures without classes (`list_faces`) stand together in one
folder or zip, which holds nothing else.
"""

from __future__ import annotations

import io
import os
import re
import struct
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image, UnidentifiedImageError

from ml2020.core.errors import UserError
from ml2020.core.progress import progress
from ml2020.data.cache import fingerprint

SPLITS = {
    "train": ("training", "train"),
    "val": ("validation", "valid", "val"),
    "predict": ("evaluation", "testing", "test"),
}
_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp")
_LITTER = {"thumbs.db", "desktop.ini"}  # left by file managers, as are names that begin with a dot and __MACOSX
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")


@dataclass
class Listing:
    """Files by split, in the order of their numbers, with the class of each (None where there is none)."""

    place: Path
    files: dict[str, list[str]]
    kinds: dict[str, list[str | None]]
    classes: list[str]
    fingerprint: str

    @property
    def name(self) -> str:
        return self.place.name


def list_pictures(path: str) -> Listing:
    """Find the pictures of a folder or zip. Raises UserError with what is missing where."""
    by_split: dict[str, list[tuple[str, str | None, str]]] = {}
    try:
        place = _place(Path(path).expanduser())
        for name, mark in _zip_entries(place) if place.suffix == ".zip" else _folder_entries(place):
            if found := _split_of(name):
                by_split.setdefault(found[0], []).append((name, found[1], mark))
    except OSError as error:
        raise UserError(f"{error.filename or path} cannot be read: {error.strerror or error}") from error
    for split in ("train", "val"):
        if unnamed := [name for name, kind, _ in by_split.get(split, []) if kind is None]:
            raise UserError(
                f"{place}: {unnamed[0]} has no class; it should be called class_number.jpg or stand in a folder of its class"
            )
    if not by_split.get("train"):
        raise UserError(f"{place} holds no training pictures (training/<class>_<number>.jpg or training/<class>/<name>.jpg)")
    for rows in by_split.values():
        rows.sort(key=lambda row: _natural(row[0]))
    names = sorted({kind for _, kind, _ in by_split["train"]}, key=_natural)
    if strange := {kind for _, kind, _ in by_split.get("val", [])} - set(names):
        raise UserError(f"{place}: the validation pictures have a class {sorted(strange)[0]} that no training picture has")
    if len(names) < 2:
        raise UserError(f"{place} holds one class only, {names[0]}; at least two are needed")
    return Listing(
        place,
        {split: [row[0] for row in rows] for split, rows in by_split.items()},
        {split: [row[1] if split != "predict" else None for row in rows] for split, rows in by_split.items()},
        names,
        fingerprint({split: [(name, mark) for name, _, mark in rows] for split, rows in by_split.items()}),
    )


def list_faces(path: str) -> Listing:
    """Find the pictures of a folder or zip that holds pictures alone, as the one split "all".

    Where there is no folder X, X.zip is read; where there are both, one must be typed: X.zip, or X/ with the slash. Raises UserError
    for what is missing, what is no picture, and for a choice that is not clear.
    """
    try:
        place = _folder_or_zip(path)
        rows = list(_zip_entries(place) if place.suffix == ".zip" else _folder_entries(place))
    except OSError as error:
        raise UserError(f"{error.filename or path} cannot be read: {error.strerror or error}") from error
    rows = sorted((row for row in rows if not _is_litter(row[0])), key=lambda row: _natural(row[0]))
    if strange := [name for name, _ in rows if not name.lower().endswith(_ENDINGS)]:
        others = f" (and {len(strange) - 1:,} more)" if strange[1:] else ""
        raise UserError(f"{place}: {strange[0]} is no picture{others}; take it out, or set data.path= to a folder of pictures alone")
    if not rows:
        raise UserError(f"{place} holds no pictures ({', '.join(ending[1:] for ending in _ENDINGS)})")
    names = [name for name, _ in rows]
    return Listing(place, {"all": names}, {"all": [None] * len(names)}, [], fingerprint({"all": rows}))


def _folder_or_zip(path: str) -> Path:
    place = Path(path).expanduser()
    packed = place.with_name(f"{place.name}.zip")
    if place.is_dir() and packed.is_file() and not path.endswith("/"):
        raise UserError(f"there are both {place} and {packed}; set data.path= to {packed}, or to {place}/ with the slash")
    return packed if packed.is_file() and not place.exists() else _place(place)


def _is_litter(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return parts[-1].lower() in _LITTER or any(part.startswith(".") or part == "__MACOSX" for part in parts)


def _place(path: Path) -> Path:
    if path.is_file():
        if path.suffix != ".zip":
            raise UserError(f"{path} is neither a folder nor a zip file")
        return path
    if not path.is_dir():
        raise UserError(f"there is no folder {path}; set data_dir=, or data.path= to the folder or zip of the pictures")
    inside = [p for p in path.iterdir() if p.is_dir() and p.name in sum(SPLITS.values(), ())]
    zips = sorted(path.glob("*.zip"))
    return zips[0] if not inside and len(zips) == 1 else path


def _folder_entries(place: Path) -> Iterator[tuple[str, str]]:
    def refuse(error: OSError) -> None:  # os.walk would pass over a folder that may not be read
        raise error

    for folder, _, names in os.walk(place, onerror=refuse):
        for name in names:
            file = Path(folder, name)
            facts = file.stat()
            yield file.relative_to(place).as_posix(), f"{facts.st_size}:{facts.st_mtime_ns}"


def _zip_entries(place: Path) -> Iterator[tuple[str, str]]:
    try:
        with zipfile.ZipFile(place) as archive:
            yield from ((info.filename, f"{info.file_size}:{info.CRC}") for info in archive.infolist() if not info.is_dir())
    except (zipfile.BadZipFile, ValueError, NotImplementedError, struct.error):
        raise UserError(f"{place} cannot be read as a zip file; it may be cut short") from None


def _split_of(name: str) -> tuple[str, str | None] | None:
    """(split, class) of a picture by its path, or None for another file."""
    parts = PurePosixPath(name).parts
    if not name.lower().endswith(_ENDINGS) or parts[-1].startswith("."):
        return None
    for split, words in SPLITS.items():
        for depth, part in enumerate(parts[:-1][:2]):
            if part in words:
                if len(parts) == depth + 3:
                    return split, parts[depth + 1]
                numbered = re.fullmatch(r"(.+?)_(\w+)\.\w+", parts[-1])
                return split, numbered[1] if numbered else None
    return None


def _natural(text: str) -> list:
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", text)]


def decode(listing: Listing, size: int, fit: str) -> dict[str, np.ndarray]:
    """{split: (n, 3, size, size) uint8}; `crop` keeps the proportions and cuts the middle, `stretch` does not."""
    arrays = {split: np.empty((len(names), 3, size, size), np.uint8) for split, names in listing.files.items()}
    jobs = [(split, i, name) for split, names in listing.files.items() for i, name in enumerate(names)]
    archive = zipfile.ZipFile(listing.place) if listing.place.suffix == ".zip" else None

    def read(job: tuple[str, int, str]) -> None:
        split, i, name = job
        try:
            raw = archive.read(name) if archive else (listing.place / name).read_bytes()
            arrays[split][i] = square(Image.open(io.BytesIO(raw)), size, fit).transpose(2, 0, 1)
        except Exception as error:  # decoders raise many kinds for a file that is cut short, damaged or something else
            raise UserError(f"{listing.place}: {name} cannot be read as a picture: {_why(error)}") from error

    with ThreadPoolExecutor() as pool:  # decoders let go of the interpreter lock
        for _ in progress(pool.map(read, jobs), f"decoding the pictures of {listing.name}", len(jobs)):
            pass
    return arrays


def _why(error: Exception) -> str:
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, Image.DecompressionBombError):
        return f"it claims more pixels than the {2 * Image.MAX_IMAGE_PIXELS:,} that are safe to decode"
    if isinstance(error, UnidentifiedImageError):
        return "it is something else, or damaged at its beginning"
    return f"{type(error).__name__}, {str(error).splitlines()[0]}" if str(error) else type(error).__name__


def square(image: Image.Image, size: int, fit: str) -> np.ndarray:
    """(size, size, 3) uint8; grey as three equal channels, what is transparent on white."""
    if image.mode not in _MODES:
        raise UserError(f"its numbers are of the kind {image.mode}, not eight bits for each of red, green and blue")
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    image = image.convert("RGB")
    if fit == "crop":
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        image = image.crop((left, top, left + side, top + side))
    if image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.LANCZOS)
    return np.asarray(image)
