"""What a homework's data owes the frame."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import pytorch_lightning as pl
from torch import Tensor

from ml2020.core.loaders import TensorLoader


@dataclass(frozen=True)
class Source:
    """What the data is, said in the terminal, in run.json and on figures.

    `kind` is course, same kind, public, package, rendered, generated or files: what a figure on it may be compared with.
    """

    name: str
    kind: str
    licence: str

    def facts(self) -> dict[str, str]:
        return asdict(self)


class DataModule(pl.LightningDataModule):
    """Base of every homework's data.

    The run calls `prepare` (long work with progress: rendering, decoding), then reads `source`, `spec` and `counts`, then asks for
    loaders. `spec` is plain data about the samples (shapes, class names): the model is built from it, also when a run is re-opened
    where the data is not at hand.
    """

    source: Source
    spec: dict[str, Any]
    counts: dict[str, int]
    fingerprint: str = ""

    def __init__(self, batch_size: int) -> None:
        super().__init__()
        self.batch_size = batch_size
        self.run_seed = 0  # set by the run: the order of the samples and their augmentation

    def prepare(self) -> None:
        """Read or make the data; afterwards `source`, `spec` and `counts` hold."""
        raise NotImplementedError

    def evaluation_loaders(self) -> dict[str, TensorLoader]:
        """The splits that are measured after the fit, by name (train, val, test); only those with known answers."""
        raise NotImplementedError

    def loader(self, *tensors: Tensor, batch_size: int | None = None, **options: Any) -> TensorLoader:
        """A seeded loader over tensors that share their first dimension; `options` as TensorLoader's: shuffle, transform, passes."""
        return TensorLoader(tensors, batch_size or self.batch_size, seed=self.run_seed, **options)
