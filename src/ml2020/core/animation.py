"""Moving pictures: frames into the bytes of a gif that plays for ever."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image


def gif(frames: np.ndarray, rate: float, comment: str = "") -> bytes:
    """`frames` (t, h, w, 3) uint8, `rate` of them a second (a gif counts in hundredths of a second); the last one stays for a second.

    Each frame has 256 colors of its own. `comment`: kept in the file, such as the credit of what is shown.
    """
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or not len(frames):
        raise ValueError(f"frames are (t, h, w, 3) uint8, not {frames.shape} {frames.dtype}")
    first, *others = [Image.fromarray(frame) for frame in frames]
    pause = max(2, round(100 / rate)) * 10  # milliseconds; what is below 20 many viewers show slowly
    stream = io.BytesIO()
    durations = [pause] * len(others) + [max(pause, 1000)]
    first.save(
        stream, "gif", save_all=True, append_images=others, duration=durations, loop=0, comment=comment.encode("ascii", "replace")
    )
    return stream.getvalue()
