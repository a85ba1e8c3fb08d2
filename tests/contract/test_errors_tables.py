"""Homeworks 1 and 2: what a person would type wrong, and tables that are not what they should be, each one sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

Refused = Callable[[list[str], int], str]
ONE, TWO = "task=hw01_regression", "task=hw02_classification"
FILES_ONE = [ONE, "data=hw01_course", "data.path=folder"]
FILES_TWO = [TWO, "data=hw02_course", "data.path=folder"]

WRONG: list[tuple[list[str], int, str]] = [
    ([ONE, "model.columns.hours=10"], 2, "model.columns.hours must lie between 1 and 9, not 10"),
    ([ONE, "model.columns.measurements=PM2.5"], 2, "model.columns.measurements takes all or a list, not PM2.5"),
    ([ONE, "model.columns.measurements=[PM25]"], 2, "there is no measurement PM25; did you mean PM2.5"),
    ([ONE, "model.columns.products=[PM10,PM10]"], 2, "a list of different measurements"),
    ([ONE, "model.columns.wind=circel"], 2, "model.columns.wind takes degrees or circle, not circel; did you mean circle?"),
    ([ONE, "model.l2=-1"], 2, "model.l2 must be at least 0, not -1"),
    (
        [ONE, "model.huber=5"],
        2,
        "There is no key model.huber with model=hw01_linear; it is one of model=hw01_best or model=hw01_closed_form",
    ),
    ([ONE, "model=hw01_closed_form", "model.huber=-5"], 2, "model.huber must be at least 0, not -5"),
    ([ONE, "model=hw01_closed_form", "trainer.clip_norm=1"], 2, "a closed form has no gradients"),
    ([ONE, "model=hw01_closed_form", "trainer.ema_decay=0.9"], 2, "takes no steps that could be averaged"),
    ([ONE, "optimizer=hw01_adagard"], 2, "There is no optimizer=hw01_adagard; did you mean hw01_adagrad"),
    ([ONE, "optimizer=hw01_momentum", "optimizer.momentum=1.5"], 2, "optimizer.momentum must lie between 0 and 0.9999, not 1.5"),
    ([ONE, "optimizer.lr=-1"], 2, "optimizer.lr must be at least 0, not -1"),
    ([ONE, "data.split=day"], 2, "data.split takes days or tail or random or month, not day; did you mean days?"),
    ([ONE, "data.split=month", "data.month=13"], 2, "data.month must lie between 1 and 12, not 13"),
    ([ONE, "data.passes=0"], 2, "data.passes must be at least 1, not 0"),
    ([ONE, "data.train_windows=9999"], 2, "data.train_windows=9999 is more than data.split=days has, 4500"),
    (
        [ONE, "data=hw01_course"],
        1,
        "there is no folder data/hw01; set data_dir=, or data.path= to the folder of train.csv and test.csv",
    ),
    ([ONE, "model=hw02_logistic"], 2, "model=hw02_logistic belongs to another task than hw01_regression"),
    (FILES_ONE, 1, "train.csv"),
    (
        [TWO, "model.covariance=full"],
        2,
        "There is no key model.covariance with model=hw02_logistic; it is one of model=hw02_generative",
    ),
    ([TWO, "model=hw02_generative", "model.covariance=sharde"], 2, "did you mean shared?"),
    ([TWO, "model=hw02_generative", "model.shrinkage=2"], 2, "model.shrinkage must lie between 0 and 1, not 2"),
    ([TWO, "model.solver=newtn"], 2, "model.solver takes descent or newton, not newtn; did you mean newton?"),
    ([TWO, "model.passes=0"], 2, "model.passes must be at least 1, not 0"),
    ([TWO, "model=hw02_newton", "trainer.accumulate=2"], 2, "Newton's method adds up all rows anyway"),
    ([TWO, "model=hw02_original", "trainer.devices=2"], 2, "one row at a time is for one process"),
    ([TWO, "data.train_size=1"], 2, "data.train_size must be at least 2, not 1"),
    ([TWO, "data.train_size=999999"], 2, "data.train_size must be at most 30800, the rows that are for training here, not 999999"),
    ([TWO, "data.val_share=1"], 2, "data.val_share must lie between 0.01 and 0.9, not 1"),
    ([TWO, "data=hw02_census22"], 1, "data/hw02/census.npz"),
    ([TWO, "data=hw02_census_package"], 1, "themis"),
    (FILES_TWO, 1, "X_train"),
]


@pytest.mark.parametrize(("words", "status", "sentence"), WRONG, ids=lambda value: " ".join(value) if isinstance(value, list) else None)
def test_it_is_one_sentence_and_leaves_nothing(words: list[str], status: int, sentence: str, refused: Refused):
    assert sentence in refused(words, status)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "folder/train.csv is empty"),
        ("a,b\n", "folder/train.csv holds no readings"),
        ("2014/1/1,x,PM2.5," + ",".join(["1"] * 23) + ",x\n", "row 1, column 27: 'x' is no number"),
    ],
)
def test_a_broken_station_is_one_sentence(content: str, sentence: str, refused: Refused):
    Path("folder", "train.csv").write_text(content)
    assert sentence in refused([*FILES_ONE], 1)


@pytest.mark.parametrize(
    ("x", "y", "sentence"),
    [
        ("id,age\n0,1\n1,x\n", "id,label\n0,0\n1,1\n", "X_train: row 2, column 'age': 'x' is no number"),
        ("id,age\n0,1\n1,2\n", "id,label\n0,0\n1,2\n", "Y_train: row 2 has the label 2.0; it must be 0 or 1"),
        ("id,age\n0,1\n1,2\n", "id,label\n0,0\n", "Y_train has 1 labels for the 2 rows of X_train"),
        ("", "", "folder/X_train is empty"),
    ],
)
def test_a_broken_census_is_one_sentence(x: str, y: str, sentence: str, refused: Refused):
    for name, content in (("X_train", x), ("Y_train", y), ("X_test", "id,age\n0,1\n")):
        Path("folder", name).write_text(content)
    assert sentence in refused([*FILES_TWO], 1)
