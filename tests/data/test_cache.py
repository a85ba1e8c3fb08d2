"""Arrays are made once, never half."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import numpy as np
import pytest

from ml2020.data.cache import cached


def make_and_count(place: Path) -> dict[str, np.ndarray]:
    with (place / "made").open("a") as file:
        file.write("x")
    return {"a": np.arange(200_000), "b": np.ones(3, np.uint8)}


def work(place: Path) -> None:
    arrays = cached(str(place), "thing", {"n": 1}, lambda: make_and_count(place))
    assert arrays["a"].sum() == 199_999 * 100_000 and arrays["b"].dtype == np.uint8


def test_the_same_key_is_made_once_and_another_key_anew(tmp_path: Path):
    work(tmp_path)
    work(tmp_path)
    assert (tmp_path / "made").read_text() == "x"
    cached(str(tmp_path), "thing", {"n": 2}, lambda: make_and_count(tmp_path))
    assert (tmp_path / "made").read_text() == "xx"


def test_processes_at_once_make_it_once(tmp_path: Path):
    processes = [multiprocessing.get_context("fork").Process(target=work, args=(tmp_path,)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    assert (tmp_path / "made").read_text() == "x"


def test_what_failed_half_way_does_not_count(tmp_path: Path):
    def fail() -> dict[str, np.ndarray]:
        raise RuntimeError("half way")

    with pytest.raises(RuntimeError):
        cached(str(tmp_path), "thing", {"n": 1}, fail)
    (tmp_path / "thing-left.half").mkdir()
    work(tmp_path)
    assert (tmp_path / "made").read_text() == "x"


def test_what_was_just_made_lies_in_memory_as_it_will_from_disk(tmp_path: Path):
    def made() -> dict[str, np.ndarray]:
        return {"x": np.arange(24).reshape(2, 3, 4).transpose(0, 2, 1)}

    first, second = (cached(str(tmp_path), "layout", {"a": 1}, made)["x"] for _ in range(2))
    assert first.strides == second.strides and np.array_equal(first, second)
