"""Figures of homework 13."""

from __future__ import annotations

from ml2020.tasks.hw13_meta import figures


def test_arms_that_were_measured_after_other_steps_share_an_axis():
    rows = [
        {"label": label, "test/acc": 0.5, "test/interval": 0.01} | {f"test/acc_{step}": step / 100 + seed / 10 for step in steps}
        for label, steps in (("one", (0, 1, 10)), ("three", (0, 3, 10)))
        for seed in (0, 2)
    ]
    left, right = figures.study(rows, []).axes
    assert [text.get_text() for text in left.get_yticklabels()] == ["one", "three"]
    assert [text.get_text() for text in right.get_xticklabels()] == ["0", "1", "3", "10"]
    lines = [(line.get_xdata().tolist(), line.get_ydata().round(9).tolist()) for line in right.lines if len(line.get_xdata()) == 3]
    assert ([0, 1, 3], [10, 11, 20]) in lines and ([0, 2, 3], [10, 13, 20]) in lines
