"""The data of homework 2: honest splits, nested draws, the same rows whatever the run's seed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from ml2020.core.conf import CONF
from ml2020.core.errors import TypedError, UserError
from ml2020.tasks.hw02_classification import census, tables
from ml2020.tasks.hw02_classification.data import Census22, Course, Generated, Package, Table

SHARED = Path(os.environ.get("ML2020_SHARED_DATA") or Path(__file__).parents[4] / "shared" / "data") / "hw02"


def sample(**options: object) -> Generated:
    data = Generated(cache_dir=os.environ["ML2020_CACHE_DIR"], **options)
    data.prepare()
    return data


def course(tmp_path: Path, rows: int = 20, **options: object) -> Course:
    """Row i has i in its first column, 0.1 in its second and the label i % 4 == 0 in its third."""
    for name, count in (("X_train", rows), ("X_test", 4)):
        lines = [f"{i},{i},0.1,{int(i % 4 == 0)}" for i in range(count)]
        (tmp_path / name).write_text("\n".join(["id,number,tenth,quarter", *lines]) + "\n")
    (tmp_path / "Y_train").write_text("id,label\n" + "".join(f"{i},{int(i % 4 == 0)}\n" for i in range(rows)))
    data = Course(str(tmp_path), **options)
    data.prepare()
    return data


def numbers(data: Table, split: str) -> list[int]:
    return data.splits[split][0][:, 0].int().tolist()


def test_the_sample_is_split_70_30_with_a_test_of_its_own():
    data = sample()
    assert {split: tuple(x.shape) for split, (x, *_) in data.splits.items()} == {
        "train": (30_800, 99),
        "val": (13_200, 99),
        "test": (10_000, 99),
    }
    assert all(x.dtype == torch.float64 and y.dtype == torch.int64 for x, y in data.splits.values())
    assert data.counts == {"for training": 30_800, "for validation": 13_200, "for the test": 10_000}
    assert data.source.kind == "generated" and "not real people" in data.source.name


def test_the_probability_of_each_row_stays_with_its_row():
    data = sample(seed=1, train_size=500)
    assert {split: len(p) for split, p in data.truth.items()} == {"train": 500, "val": 13_200, "test": 10_000}
    for split, (x, y) in data.splits.items():
        people = dict(zip(census.CONTINUOUS, x[:, :11].numpy().T, strict=True))
        people |= {group: x[:, columns].argmax(1).numpy() for group, columns in census.groups().items()}
        logit = census.STRENGTH * census.score(people, census.world()) - census.THRESHOLD
        assert data.truth[split].numpy() == pytest.approx(1 / (1 + np.exp(-logit)), abs=1e-9)
        p = data.truth[split]
        assert float((p - y).abs().mean()) == pytest.approx(float((2 * p * (1 - p)).mean()), abs=0.03)


def test_rows_depend_on_the_data_seed_alone():
    torch.manual_seed(1)
    np.random.seed(1)
    one = sample()
    torch.manual_seed(2)
    np.random.seed(2)
    two, other = sample(), sample(seed=1)
    two.run_seed = 9
    for split in one.splits:
        assert torch.equal(one.splits[split][0], two.splits[split][0]) and torch.equal(one.truth[split], two.truth[split])
        assert not torch.equal(one.splits[split][0], other.splits[split][0])
    assert one.fingerprint == two.fingerprint != other.fingerprint


def test_a_smaller_draw_lies_inside_a_larger_one_and_validation_stays(tmp_path: Path):
    whole = course(tmp_path, 200)
    larger, smaller = course(tmp_path, 200, train_size=90), course(tmp_path, 200, train_size=30)
    assert (len(numbers(whole, "train")), len(numbers(larger, "train")), len(numbers(smaller, "train"))) == (180, 90, 30)
    assert numbers(whole, "train")[:90] == numbers(larger, "train") and numbers(larger, "train")[:30] == numbers(smaller, "train")
    assert numbers(whole, "val") == numbers(larger, "val") == numbers(smaller, "val")
    assert len({whole.fingerprint, larger.fingerprint, smaller.fingerprint}) == 3
    assert numbers(course(tmp_path, 200, train_size=30, seed=1), "train") != numbers(smaller, "train")


@pytest.mark.parametrize("seed", [0, 1, 7])
@pytest.mark.parametrize(("val_share", "cut"), [(0.1, 20), (0.3, 60), (0.5, 100)])
def test_no_row_is_in_two_splits_and_none_is_lost(tmp_path: Path, seed: int, val_share: float, cut: int):
    data = course(tmp_path, 200, seed=seed, val_share=val_share)
    assert len(numbers(data, "val")) == cut
    assert sorted(numbers(data, "train") + numbers(data, "val")) == list(range(200))


def test_labels_stay_with_their_rows(tmp_path: Path):
    data = course(tmp_path, 200)
    for split in ("train", "val"):
        x, y = data.splits[split]
        assert torch.equal(x[:, 2].long(), y) and torch.equal(x[:, 0].long() % 4 == 0, y == 1)


def test_the_spec_is_of_the_training_rows_and_plain_data(tmp_path: Path):
    data = course(tmp_path, 20, train_size=8)
    own = np.array(numbers(data, "train"), float)
    assert json.loads(json.dumps(data.spec)) == data.spec
    assert data.spec["input"] == [3] and data.spec["columns"] == ["number", "tenth", "quarter"]
    assert data.spec["continuous"] == [0, 1] and data.spec["groups"] == {} and data.spec["tested"] == "val"
    assert data.spec["mean"][:2] == pytest.approx([own.mean(), 0.1]) and data.spec["std"][0] == pytest.approx(own.std())
    assert data.spec["std"][1] == 1.0  # the same in every row: nothing to divide by
    assert data.spec["positives"] == pytest.approx((own % 4 == 0).mean())


def test_the_spec_of_the_sample_knows_its_groups():
    spec = sample().spec
    assert spec["input"] == [99] and spec["continuous"] == list(range(11)) and spec["tested"] == "test"
    assert {name: len(columns) for name, columns in spec["groups"].items()} == {
        "education": 16,
        "marital": 7,
        "occupation": 14,
        "class": 8,
        "industry": 20,
        "region": 8,
        "birth": 10,
        "role": 5,
    }
    assert spec["positives"] == pytest.approx(0.241, abs=0.006)


def test_loaders_give_what_is_measured_and_what_is_predicted(tmp_path: Path):
    data = course(tmp_path, 20, batch_size=5)
    assert list(data.evaluation_loaders()) == ["train", "val"] and data.ids == [0, 1, 2, 3]
    (batch,) = data.predict_loader()
    assert len(batch) == 1 and batch[0].tolist() == [[0, 0.1, 1], [1, 0.1, 0], [2, 0.1, 0], [3, 0.1, 0]]
    batches = list(data.train_dataloader())
    assert [len(y) for _, y in batches] == [5, 5, 5, 3]
    seen = torch.cat([x[:, 0] for x, _ in batches]).int().tolist()
    assert sorted(seen) == sorted(numbers(data, "train")) and seen != numbers(data, "train")
    (x, y), *rest = data.evaluation_loaders()["train"]
    assert not rest and torch.equal(x, data.splits["train"][0]) and torch.equal(y, data.splits["train"][1])


def test_the_sample_is_measured_on_all_three_and_predicts_its_test_rows():
    data = sample(train_size=20)
    assert list(data.evaluation_loaders()) == ["train", "val", "test"]
    assert torch.equal(torch.cat([x for (x,) in data.predict_loader()]), data.splits["test"][0]) and len(data.ids) == 10_000


def folded(tmp_path: Path, **options: object) -> Census22:
    rng = np.random.default_rng(0)
    np.savez(
        tmp_path / "census.npz",
        numeric_names=np.array(["number"]),
        onehot_names=np.array(["sex=0", "sex=1"]),
        numeric_train=np.arange(52.0)[:, None],
        onehot_train=np.eye(2, dtype=np.uint8)[rng.integers(0, 2, 52)],
        y_train=np.arange(52) % 2,
        numeric_test=np.arange(3.0)[:, None],
        onehot_test=np.eye(2, dtype=np.uint8)[[0, 1, 1]],
    )
    data = Census22(str(tmp_path / "census.npz"), **options)
    data.prepare()
    return data


def test_five_folds_cover_every_row_once(tmp_path: Path):
    folds = [folded(tmp_path, fold=fold) for fold in range(5)]
    assert [len(numbers(data, "val")) for data in folds] == [11, 11, 10, 10, 10]
    assert sorted(row for data in folds for row in numbers(data, "val")) == list(range(52))
    for data in folds:
        assert sorted(numbers(data, "train") + numbers(data, "val")) == list(range(52))
    assert numbers(folded(tmp_path, fold=1, train_size=12), "train") == numbers(folds[1], "train")[:12]
    assert len({data.fingerprint for data in folds}) == 5
    assert numbers(folded(tmp_path, fold=0, seed=1), "val") != numbers(folds[0], "val")
    assert len(numbers(folded(tmp_path), "val")) == 5  # fold=null: a tenth


def test_other_peoples_tables_are_not_called_the_courses(tmp_path: Path):
    assert course(tmp_path).source.kind == folded(tmp_path).source.kind == "files"


@pytest.mark.skipif(not (SHARED / "census.npz").exists(), reason="the real table is not here")
def test_the_real_table_says_what_it_is():
    data = Census22(str(SHARED / "census.npz"), fold=0)
    data.prepare()
    assert data.counts == {"for training": 35_404, "for validation": 8_852, "without labels": 10_000}
    assert data.spec["input"] == [218] and data.source.kind == "same kind" and "course rows, fewer columns" in data.source.name


def test_the_package_has_labels_for_its_test_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    x = np.arange(60.0)[:, None]
    rows = tables.Rows(["age"], x[:40], np.arange(40) % 2, x[40:], list(range(20)), [0], {}, np.arange(20) % 2)
    monkeypatch.setattr(tables, "read_package", lambda path, seed: rows)
    data = Package()
    data.prepare()
    assert data.counts == {"for training": 36, "for validation": 4, "for the test": 20}
    assert data.source.kind == "package" and data.source.licence == "UCI Census-Income (KDD), CC BY 4.0"
    assert data.splits["test"][1].tolist() == [0, 1] * 10


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"train_size": 30_801}, "data.train_size must be at most 30800"),
        ({"train_size": 1}, "data.train_size must be at least 2, not 1"),
        ({"val_share": 0}, "data.val_share must lie between 0.01 and 0.9, not 0"),
        ({"val_share": 1.0}, "data.val_share must lie between"),
        ({"batch_size": 0}, "data.batch_size must be at least 1"),
        ({"seed": -1}, "data.seed must be at least 0"),
    ],
)
def test_options_out_of_range_are_told(options: dict, sentence: str):
    with pytest.raises(TypedError, match=sentence):
        sample(**options)


def test_a_fold_that_is_not_there_is_told(tmp_path: Path):
    with pytest.raises(TypedError, match=r"data\.fold must lie between 0 and 4, not 5"):
        folded(tmp_path, fold=5)


def test_too_few_rows_or_one_class_are_told(tmp_path: Path):
    with pytest.raises(UserError, match="9 labelled rows; at least 10 are needed"):
        course(tmp_path, 9)
    course(tmp_path, 12)
    (tmp_path / "Y_train").write_text("id,label\n" + "".join(f"{i},0\n" for i in range(12)))
    with pytest.raises(UserError, match="the 11 training rows are all of one class; both are needed"):
        Course(str(tmp_path)).prepare()


@pytest.mark.parametrize("name", ["hw02_sample", "hw02_course", "hw02_census22", "hw02_census_package"])
def test_the_config_files_name_classes_and_options_that_exist(name: str):
    config = OmegaConf.merge({"data_dir": "nowhere", "cache_dir": None}, {"data": OmegaConf.load(CONF / "data" / f"{name}.yaml")})
    assert isinstance(instantiate(config.data), Table)
