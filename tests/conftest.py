"""What the tests share: a cache of their own, and runs in this process (one import of torch instead of one a run)."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

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
