"""The windows of homework 1: what is in them, honest splits, and whose values they are judged by."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ml2020.core.errors import TypedError, UserError
from ml2020.tasks.hw01_regression import station
from ml2020.tasks.hw01_regression.data import Course, Simulated, Windows, cut
from ml2020.tasks.hw01_regression.readings import clean

PM25 = 9
SHARED = Path(os.environ.get("ML2020_SHARED_DATA") or Path(__file__).parents[4] / "shared" / "data") / "hw01"
real = pytest.mark.skipif(not (SHARED / "train.csv").exists(), reason="the course's files are not here")


def numbered(**options: Any) -> Windows:
    """Windows of a table whose PM2.5 is the number of its hour, 0 to 5,759: a target tells where its window stands."""
    hours = np.tile(np.arange(1.0, 19.0), (12, 480, 1))
    hours[..., PM25] = np.arange(5760).reshape(12, 480)
    data = Windows(clean=False, **options)
    data.fill(hours, hours[..., PM25], None, None)
    return data


def sample(**options: Any) -> Simulated:
    data = Simulated(cache_dir=os.environ["ML2020_CACHE_DIR"], **options)
    data.prepare()
    return data


def targets(data: Windows, split: str) -> np.ndarray:
    return data.splits[split][1].numpy().astype(int)


def sizes(data: Windows) -> tuple[int, int]:
    return len(data.splits["train"][0]), len(data.splits["val"][0])


def test_a_window_is_nine_hours_in_order_and_its_target_the_tenth():
    x, y = numbered().splits["train"]
    assert x.shape[1:] == (18, 9) and x.dtype == y.dtype == torch.float64
    assert x[0, PM25].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8] and y[0] == 9
    assert x[0, :, 4].tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 4, 11, 12, 13, 14, 15, 16, 17, 18]
    assert torch.equal(x[:, PM25, -1] + 1, y) and torch.equal(x[:, PM25, 0] + 9, y)


def test_a_month_has_471_windows_and_none_crosses_its_end():
    _, places = cut(np.zeros((12, 480, 18)))
    assert len(places) == 12 * 471 == 5652 and (places % 480).min() == 9
    _, across = cut(np.zeros((12, 480, 18)), across=True)
    assert len(across) == 5760 - 9 and (across % 480).min() == 0


def test_days_keep_each_validation_target_out_of_every_training_window():
    data = numbered(split="days")
    assert sizes(data) == (12 * (16 * 24 - 9), 12 * 4 * 24) == (4500, 1152)
    assert (targets(data, "val") % 480 >= 384).all()
    seen = set(data.splits["train"][0][:, PM25].flatten().int().tolist()) | set(targets(data, "train"))
    assert not seen & set(targets(data, "val"))


def test_the_tail_is_the_last_fifth():
    data = numbered(split="tail")
    assert sizes(data) == (4521, 1131)
    assert targets(data, "train").max() < targets(data, "val").min()
    assert targets(data, "train")[-1] == 9 * 480 + 9 + (4520 - 9 * 471)  # window 4,521 of all, in the tenth month


def test_a_random_split_is_drawn_by_the_seed_alone():
    one, two, other = (targets(numbered(split="random", seed=seed), "val") for seed in (3, 3, 4))
    assert len(one) == 1131 and np.array_equal(one, two) and not np.array_equal(one, other)
    whole = np.concatenate([one, targets(numbered(split="random", seed=3), "train")])
    assert len(np.unique(whole)) == 5652


def test_one_month_validates():
    data = numbered(split="month", month=3)
    assert sizes(data) == (11 * 471, 471)
    assert set(targets(data, "val") // 480) == {2} and 2 not in set(targets(data, "train") // 480)


def test_fewer_training_windows_are_the_first_and_validation_stays():
    data = numbered(split="tail", across_months=True, train_windows=15)
    assert targets(data, "train").tolist() == list(range(9, 24))
    assert sizes(data) == (15, 1151)  # of 5,751


def test_the_spec_is_plain_and_standardises_the_training_windows():
    data = sample()
    spec = json.loads(json.dumps(data.spec))
    assert spec["input"] == [18, 9] and spec["measurements"][PM25] == "PM2.5" and len(spec["mean"]) == len(spec["std"]) == 18
    x, y = data.splits["train"]
    z = (x - torch.tensor(spec["mean"]).view(18, 1)) / torch.tensor(spec["std"]).view(18, 1)
    assert torch.allclose(z.mean((0, 2)), torch.zeros(18, dtype=z.dtype), atol=1e-5)
    assert torch.allclose((z * z).mean((0, 2)), torch.ones(18, dtype=z.dtype), atol=1e-5)
    assert spec["target_mean"] == pytest.approx(float(np.mean(y.numpy())))


def test_a_constant_column_has_a_spread_of_one():
    spec = numbered().spec
    assert spec["std"][0] == 1 and spec["mean"][0] == 1 and spec["std"][PM25] > 1000


def test_the_sample_trains_on_what_was_measured_and_is_judged_without_faults():
    year = station.simulate(0)
    measured, truth = year.measured[:, :480], year.truth[:, :480, PM25]
    for cleaned in (True, False):
        data = sample(clean=cleaned)
        inputs = clean(measured) if cleaned else measured
        x, y = data.splits["train"]
        assert np.array_equal(y.numpy(), inputs[:, 9:384, PM25].ravel())
        assert np.array_equal(x[0].numpy(), inputs[0, :9].T)
        assert np.array_equal(data.splits["val"][1].numpy(), truth[:, 384:].ravel())
        assert np.array_equal(data.splits["test"][1].numpy(), station.blocks(year, 0)[1])
    assert data.counts == {"for training": 4500, "for validation": 1152, "for the test": 240}


def test_the_sample_says_that_it_is_no_real_air():
    assert sample().source.kind == "generated" and "not real air" in sample().source.name


def test_everything_that_changes_the_data_changes_its_fingerprint():
    changes = [{}, {"seed": 1}, {"split": "tail"}, {"split": "month"}, {"split": "month", "month": 2}, {"clean": False}]
    changes += [{"train_windows": 100}, {"across_months": True}]
    assert len({sample(**options).fingerprint for options in changes}) == len(changes)
    assert sample(batch_size=7).fingerprint == sample().fingerprint


def test_batch_size_0_is_one_batch_in_order_and_another_is_shuffled():
    full = sample()
    (batch,) = list(full.train_dataloader())
    assert torch.equal(batch[0], full.splits["train"][0]) and torch.equal(batch[1], full.splits["train"][1])
    assert len(full.val_dataloader()) == 1
    some = sample(batch_size=64).train_dataloader()
    assert len(some) == -(-4500 // 64)
    first = next(iter(some))
    assert first[0].shape == (64, 18, 9) and not torch.equal(first[1], full.splits["train"][1][:64])


def test_loaders_give_pairs_and_predictions_the_windows_alone():
    data = sample(batch_size=100)
    assert list(data.evaluation_loaders()) == ["train", "val", "test"]
    assert all(len(batch) == 2 for loader in data.evaluation_loaders().values() for batch in loader)
    blocks = torch.cat([x for (x,) in data.predict_loader()])
    assert torch.equal(blocks, data.splits["test"][0])


def test_what_is_typed_wrong_is_told():
    for options in ({"split": "weeks"}, {"month": 13}, {"train_windows": 0}, {"batch_size": -1}, {"seed": -1}):
        with pytest.raises(TypedError):
            Windows(**options)
    with pytest.raises(TypedError, match=r"train_windows=9999 is more than data.split=days has, 4500"):
        numbered(train_windows=9999)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The simulated station's files in the course's layout, as anybody's own."""
    year = station.simulate(0)
    (tmp_path / "train.csv").write_bytes(station.train_text(year))
    (tmp_path / "test.csv").write_bytes(station.blocks_text(station.blocks(year, 0)[0]))
    return tmp_path


def course(path: Path, **options: Any) -> Course:
    data = Course(str(path), **options)
    data.prepare()
    return data


def test_files_give_the_samples_windows_with_targets_as_in_the_file(folder: Path):
    files, generated = course(folder), sample()
    assert files.source.kind == "files" and folder.name in files.source.name
    for split in ("train", "val"):
        assert torch.equal(files.splits[split][0], generated.splits[split][0])
    assert torch.equal(files.splits["predict"][0], generated.splits["test"][0]) and len(files.splits["predict"]) == 1
    raw = station.simulate(0).measured[:, 384:480, PM25].ravel()
    assert np.array_equal(files.splits["val"][1].numpy(), raw)
    assert files.counts == {"for training": 4500, "for validation": 1152, "without answers": 240}
    assert list(files.evaluation_loaders()) == ["train", "val"]


def test_the_test_file_may_be_missing_and_the_folder_may_not(folder: Path):
    (folder / "test.csv").unlink()
    data = course(folder)
    assert "predict" not in data.splits
    with pytest.raises(UserError, match=r"no test\.csv"):
        data.predict_loader()
    with pytest.raises(UserError, match="there is no folder"):
        course(folder / "elsewhere")
    (folder / "train.csv").unlink()
    with pytest.raises(UserError, match=r"there is no file .*train\.csv"):
        course(folder)


@real
def test_least_squares_on_the_courses_table_gives_the_known_figures():
    data = course(SHARED, split="tail", clean=False)
    assert data.source.kind == "course"
    (x, y), (v, w) = ([t.numpy() for t in data.splits[split]] for split in ("train", "val"))
    x, v = x.reshape(len(x), -1), v.reshape(len(v), -1)
    mean, std = np.concatenate([x, v]).mean(0), np.concatenate([x, v]).std(0)
    a, b = (np.column_stack([(part - mean) / std, np.ones(len(part))]) for part in (x, v))
    weights = np.linalg.lstsq(a, y, rcond=None)[0]
    rmse = [float(np.sqrt(np.mean((part @ weights - goal) ** 2))) for part, goal in ((a, y), (b, w))]
    assert rmse == pytest.approx([5.717, 5.669], abs=0.001)
