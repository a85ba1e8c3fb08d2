"""Digits in files of one's own: MNIST (idx), SVHN (mat), USPS (npz), as their makers or torchvision's download leave them.

Each reader gives (pictures (n, c, h, w) uint8 with ink = 255, labels (n,) int64) of a split, "train" or "test". Whatever is missing or
broken is one sentence (UserError). Nothing is unpickled.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ml2020.core.errors import UserError

Digits = tuple[np.ndarray, np.ndarray]

_MNIST = {"train": "train-{}-ubyte", "test": "t10k-{}-ubyte"}
_SVHN = {"train": "train_32x32.mat", "test": "test_32x32.mat"}
_USPS = {"train": "usps.bz2", "test": "usps.t.bz2"}  # as torchvision names them
_UBYTE = 8  # the only kind of number that MNIST's files hold
_GET = "put it there (data_dir=), or type data.download=true"


def read_mnist(folder: str | Path, split: str, download: bool = False) -> Digits:
    """MNIST's idx files, packed or not, in `folder` or in torchvision's MNIST/raw below it: (n, 1, 28, 28)."""
    folder = Path(folder).expanduser()
    names = {what: _MNIST[split].format(what) for what in ("images-idx3", "labels-idx1")}
    if download and any(_idx_file(folder, name) is None for name in names.values()):
        fetch("MNIST", folder, train=split == "train")
    files = {}
    for what, name in names.items():
        if (file := _idx_file(folder, name)) is None:
            raise UserError(f"there is no {name} (nor {name}.gz) in {folder} or {folder / 'MNIST' / 'raw'}; {_GET}")
        files[what] = file
    pictures, labels = read_idx(files["images-idx3"], 3), read_idx(files["labels-idx1"], 1)
    if pictures.shape[1:] != (28, 28):
        raise UserError(f"{files['images-idx3']} holds pictures of {pictures.shape[1]} x {pictures.shape[2]}; MNIST's are 28 x 28")
    return pictures[:, None], _checked(files["labels-idx1"], labels.astype(np.int64), len(pictures))


def _idx_file(folder: Path, name: str) -> Path | None:
    places = (place / f"{name}{ending}" for place in (folder, folder / "MNIST" / "raw") for ending in ("", ".gz"))
    return next((file for file in places if file.is_file()), None)


def read_idx(file: Path, dimensions: int) -> np.ndarray:
    """The array of bytes in an idx file, packed or not; it must have that many dimensions.

    Two zeros, the kind of number, the dimensions, their sizes, the data (yann.lecun.com/exdb/mnist).
    """
    try:
        content = file.read_bytes()
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
    except OSError as error:  # gzip's BadGzipFile is one too
        raise UserError(f"{file} cannot be read: {error.strerror or error}") from error
    except (EOFError, zlib.error) as error:
        raise UserError(f"{file} cannot be unpacked; it is cut short or damaged") from error
    start = 4 + 4 * dimensions
    if content[:4] != bytes((0, 0, _UBYTE, dimensions)) or len(content) < start:
        wanted, found = bytes((0, 0, _UBYTE, dimensions)).hex(), content[:4].hex() or "nothing"
        raise UserError(f"{file} is no idx file of bytes in {dimensions} dimensions: it begins with {found}, not {wanted}")
    shape = struct.unpack(f">{dimensions}I", content[4:start])
    size = int(np.prod(shape, dtype=np.float64))  # what the header claims may be beyond any integer
    if len(content) - start != size:
        claim = " x ".join(map(str, shape))
        raise UserError(f"{file} holds {len(content) - start:,} bytes of data; its header says {claim}; it is cut short or damaged")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy()


def svhn_file(folder: str | Path, split: str, download: bool = False) -> Path:
    """Where SVHN's cropped digits are: train_32x32.mat, test_32x32.mat."""
    file = Path(folder).expanduser() / _SVHN[split]
    if download and not file.is_file():
        fetch("SVHN", file.parent, split=split)
    return _there(file)


def read_svhn(file: Path) -> Digits:
    """The cropped digits of a mat file: (n, 3, 32, 32), their middle is what counts; SVHN's label 10 is the digit 0."""
    arrays = _arrays(file, ("X", "y"), _load_mat)
    pictures, labels = arrays["X"], arrays["y"]
    if pictures.ndim != 4 or pictures.shape[:3] != (32, 32, 3) or pictures.dtype != np.uint8:
        raise UserError(f"{file}: X is {pictures.dtype} of the shape {pictures.shape}; SVHN's is uint8 of (32, 32, 3, n)")
    labels = _checked(file, _whole(file, "y", labels), pictures.shape[3], least=1, most=10)
    return np.ascontiguousarray(pictures.transpose(3, 2, 0, 1)), labels % 10


def _load_mat(file: Path) -> Any:
    from scipy.io import loadmat

    return loadmat(file)


def read_usps(folder: str | Path, split: str, download: bool = False) -> Digits:
    """usps.npz (x_train, y_train, x_test, y_test), or what torchvision downloads (usps.bz2, usps.t.bz2): (n, 1, 16, 16)."""
    folder = Path(folder).expanduser()
    file, packed = folder / "usps.npz", folder / _USPS[split]
    if not file.is_file() and (download or packed.is_file()):
        found = fetch("USPS", folder, train=split == "train", download=not packed.is_file())
        return np.asarray(found.data)[:, None], np.asarray(found.targets, np.int64)
    names = (f"x_{split}", f"y_{split}")
    pictures, labels = _arrays(file, names, lambda path: np.load(path, allow_pickle=False)).values()
    if pictures.ndim != 3 or pictures.shape[1:] != (16, 16) or pictures.dtype != np.uint8:
        raise UserError(f"{file}: {names[0]} is {pictures.dtype} of the shape {pictures.shape}; USPS's is uint8 of (n, 16, 16)")
    return pictures[:, None], _checked(file, _whole(file, names[1], labels), len(pictures))


def _there(file: Path) -> Path:
    if not file.is_file():
        raise UserError(f"there is no {file.name} in {file.parent}; {_GET}")
    return file


def _arrays(file: Path, names: tuple[str, ...], load: Callable[[Path], Any]) -> dict[str, np.ndarray]:
    """The named arrays of a file that holds several."""
    try:
        pack = load(_there(file))
        found = {name: np.asarray(pack[name]) for name in names if name in pack}
    except (MemoryError, UserError):
        raise
    except Exception as error:  # a damaged zip, header or stream raises many kinds
        raise UserError(f"{file} cannot be read as a {file.suffix[1:]} file; it is cut short, damaged or something else") from error
    if missing := [name for name in names if name not in found]:
        raise UserError(f"{file} lacks the array {missing[0]}")
    return found


def _whole(file: Path, name: str, labels: np.ndarray) -> np.ndarray:
    if labels.dtype.kind not in "iu":
        raise UserError(f"{file}: {name} holds {labels.dtype}, not whole numbers")
    return labels.reshape(-1).astype(np.int64)


def _checked(file: Path, labels: np.ndarray, pictures: int, least: int = 0, most: int = 9) -> np.ndarray:
    """`labels`, if there is one for each picture and all are digits."""
    if len(labels) != pictures:
        raise UserError(f"{file} has {len(labels):,} labels for {pictures:,} pictures")
    if len(wrong := np.flatnonzero((labels < least) | (labels > most))):
        raise UserError(f"{file}: label {wrong[0] + 1} is {labels[wrong[0]]}; it must lie between {least} and {most}")
    return labels


def fetch(name: str, folder: Path, download: bool = True, **options: Any) -> Any:
    """torchvision's data set in `folder`, fetched first: it checks what it fetches by checksum."""
    from torchvision import datasets

    try:
        return getattr(datasets, name)(str(folder), download=download, **options)
    except Exception as error:  # no network, no space, another file than expected
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        doing = "downloaded into" if download else "read from"
        raise UserError(f"{name} could not be {doing} {folder}: {why}") from error
