"""What the tests share: a cache of their own, and runs in this process (one import of torch instead of one a run)."""

from __future__ import annotations

import gzip
import os
import signal
import struct
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ml2020.commands import help as pages
from ml2020.core.folder import RunFolder

torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"  # for the processes that tests start


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory):
    """Rendered data of the tests, apart from the user's."""
    os.environ["ML2020_CACHE_DIR"] = str(tmp_path_factory.mktemp("cache"))
    yield
    del os.environ["ML2020_CACHE_DIR"]


@pytest.fixture(scope="session")
def run_task(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., RunFolder]:
    """Train with the words of a command line, in this process; gives the run's folder."""

    def run(*words: str) -> RunFolder:
        from ml2020.commands.train import train

        output = tmp_path_factory.mktemp("outputs")
        assert train([*words, f"output_dir={output}", "trainer.threads=1"]) == 0
        (path,) = output.glob("*/*")
        return RunFolder.open(path)

    return run


def all_tasks() -> list[str]:
    """Every homework that has a file in conf/task/."""
    return list(pages.tasks())


@pytest.fixture(scope="session", params=all_tasks())
def quick_run(request: pytest.FixtureRequest, run_task: Callable[..., RunFolder]) -> RunFolder:
    """One quick run of every task, shared by the contract tests."""
    return run_task(f"task={request.param}", "quick=true")


@pytest.fixture
def stopped_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], AbstractContextManager]:
    """with stopped_at(step): a run that is begun inside ends as if SIGTERM had come while that training step was under way."""
    from ml2020.core import loop

    original = loop.Conductor.on_train_batch_end

    @contextmanager
    def stopped(step: int) -> Iterator[pytest.ExceptionInfo]:
        def hook(self: loop.Conductor, *args: object) -> None:
            if self.step + 1 == step:
                self.signal = signal.SIGTERM
            original(self, *args)

        with monkeypatch.context() as patch, pytest.raises(SystemExit) as end:
            patch.setattr(loop.Conductor, "on_train_batch_end", hook)
            yield end

    return stopped


@pytest.fixture
def food(tmp_path: Path) -> Path:
    """A small folder in the course's layout: three classes, plain colours, 40 + 16 + 5 pictures."""
    from PIL import Image

    colours = [(200, 40, 40), (40, 200, 40), (40, 40, 200)]
    for split, count in (("training", 39), ("validation", 15)):
        (tmp_path / "food" / split).mkdir(parents=True)
        for i in range(count):
            shade = tuple(c + i % 7 for c in colours[i % 3])
            Image.new("RGB", (50 + i, 40), shade).save(tmp_path / "food" / split / f"{i % 3}_{i}.jpg")
    (tmp_path / "food" / "evaluation").mkdir()
    for i in range(5):
        Image.new("RGB", (40, 40), colours[i % 3]).save(tmp_path / "food" / "evaluation" / f"{i:04}.jpg")
    return tmp_path / "food"


@pytest.fixture(scope="session")
def digit_files() -> SimpleNamespace:
    """Writers of small files in the layouts of MNIST, SVHN and USPS, each given a folder; test as training.

    mnist(folder, x=..., y=..., packed=False): six pictures; svhn(folder, X=..., y=...): five; usps(folder, x_test=..., ...): four. An
    array replaces the one of that name, None leaves it out. idx(array): the bytes of an idx file. x, y: MNIST's six.
    """
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (6, 28, 28)).astype(np.uint8), np.array([3, 0, 9, 1, 1, 7], np.uint8)

    def idx(array: np.ndarray) -> bytes:
        return bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.astype(np.uint8).tobytes()

    def mnist(folder: Path, x: np.ndarray = x, y: np.ndarray = y, packed: bool = False) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("train", "t10k"):
            for what, array in (("images-idx3", x), ("labels-idx1", y)):
                file = folder / f"{name}-{what}-ubyte{'.gz' if packed else ''}"
                file.write_bytes(gzip.compress(idx(array)) if packed else idx(array))
        return folder

    def svhn(folder: Path, **changes: np.ndarray | None) -> Path:
        from scipy.io import savemat

        pictures = np.arange(5 * 3072, dtype=np.uint8).reshape(32, 32, 3, 5)
        arrays = {"X": pictures, "y": np.array([[1], [10], [9], [2], [10]], np.uint8)} | changes
        for split in ("train", "test"):
            savemat(folder / f"{split}_32x32.mat", {name: array for name, array in arrays.items() if array is not None})
        return folder

    def usps(folder: Path, **changes: np.ndarray | None) -> Path:
        pictures, labels = np.random.default_rng(1).integers(0, 256, (4, 16, 16)).astype(np.uint8), np.array([0, 9, 5, 5])
        arrays = {f"{name}_{split}": a for split in ("train", "test") for name, a in (("x", pictures), ("y", labels))} | changes
        np.savez(folder / "usps.npz", **{name: array for name, array in arrays.items() if array is not None})
        return folder

    return SimpleNamespace(idx=idx, mnist=mnist, svhn=svhn, usps=usps, x=x, y=y)
