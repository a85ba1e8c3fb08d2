"""Moving pictures: what a gif holds, and where a run keeps it."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ml2020.core.animation import gif
from ml2020.core.data import Source
from ml2020.core.folder import RunFolder
from ml2020.core.history import History
from ml2020.core.module import Module
from ml2020.core.run import Run

# Three frames of 6 x 10 pixels, each of one color.
FRAMES = np.stack([np.full((6, 10, 3), color, np.uint8) for color in ((255, 0, 0), (0, 255, 0), (0, 0, 255))])


def test_a_gif_gives_back_its_frames_rate_and_comment():
    picture = Image.open(io.BytesIO(gif(FRAMES, 4, "portraits by A, CC BY 4.0")))
    assert picture.n_frames == 3 and picture.size == (10, 6) and picture.info["loop"] == 0
    assert picture.info["comment"] == b"portraits by A, CC BY 4.0"
    durations = []
    for number, frame in enumerate(FRAMES):
        picture.seek(number)
        assert np.array_equal(np.asarray(picture.convert("RGB")), frame)
        durations.append(picture.info["duration"])
    assert durations == [250, 250, 1000]  # milliseconds; the last one stays


def test_one_frame_is_a_gif_too():
    assert Image.open(io.BytesIO(gif(FRAMES[:1], 4))).size == (10, 6)


@pytest.mark.parametrize("frames", [FRAMES[0], FRAMES[:0], FRAMES[..., :1], FRAMES / 255])
def test_what_is_not_frames_is_refused(frames: np.ndarray):
    with pytest.raises(ValueError, match=r"frames are \(t, h, w, 3\) uint8, not"):
        gif(frames, 4)


def a_run(path: Path, chief: bool) -> Run:
    """As much of a run as keeps an animation."""
    run = Run.__new__(Run)
    run.chief, run.folder, run.history = chief, RunFolder(path), History(path if chief else None)
    run.data, run.conductor = SimpleNamespace(source=Source("dots by A", "rendered", "CC0")), SimpleNamespace(step=7)
    return run


def test_a_run_keeps_an_animation_on_disk_and_in_tensorboard(tmp_path: Path):
    run, module = a_run(tmp_path, chief=True), Module()
    module._animate = run.animate
    module.animate("grid", FRAMES, rate=4)
    run.history.close()
    content = (tmp_path / "figures" / "grid.gif").read_bytes()
    assert Image.open(io.BytesIO(content)).info["comment"] == b"dots by A"
    (shown,) = EventAccumulator(str(tmp_path), size_guidance={"images": 0}).Reload().Images("grid")
    assert (shown.step, shown.width, shown.height, shown.encoded_image_string) == (7, 10, 6, content)
    assert [file.name for file in (tmp_path / "figures").iterdir()] == ["grid.gif"]  # no half file is left


def test_other_processes_and_modules_outside_a_run_keep_nothing(tmp_path: Path):
    a_run(tmp_path, chief=False).animate("grid", FRAMES, 4)
    Module().animate("grid", FRAMES)
    assert not list(tmp_path.iterdir())
