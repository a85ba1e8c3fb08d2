"""The tasks of homework 14: the same pictures for the same seed, no picture in two splits, labels that are the right outputs."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from ml2020.core.build import build
from ml2020.core.conf import CONF, options
from ml2020.core.data import Source
from ml2020.core.errors import TypedError, UserError
from ml2020.data import digits
from ml2020.tasks.hw14_lifelong.data import Sample, Tasks, in_form
from ml2020.tasks.hw14_lifelong.real import Permuted, Real, Split
from ml2020.tasks.hw14_lifelong.tasks import Task

SHARED = Path(os.environ.get("ML2020_SHARED_DATA") or Path(__file__).parents[4] / "shared" / "data") / "hw14"

TEN = ["01:0", "01:1", "23:2", "23:3", "45:4", "45:5", "67:6", "67:7", "89:8", "89:9"]


@pytest.fixture
def few_houses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain squares, quickly drawn, instead of 5,000 house numbers: (digit x 20, place modulo 256, seed) in the three channels."""

    def drawn(seed: int, cache_dir: str | None, count: int = 5000) -> tuple[np.ndarray, np.ndarray]:
        labels, places = np.arange(count) % 10, np.arange(count)
        colours = np.stack([labels * 20, places % 256, np.full(count, seed)], 1).astype(np.uint8)
        return np.broadcast_to(colours[:, :, None, None], (count, 3, 32, 32)).copy(), labels

    monkeypatch.setattr(digits, "house_numbers", drawn)


def sample(*names: str, **changes: Any) -> Sample:
    data = Sample(names or ("house", "mnist"), cache_dir=os.environ["ML2020_CACHE_DIR"], **changes)
    data.prepare()
    return data


@pytest.fixture(scope="module")
def pictures() -> tuple[np.ndarray, np.ndarray]:
    """200 digits, 20 of each, told apart by their first three pixels: place, digit, noise."""
    x = np.zeros((200, 28, 28), np.uint8)
    x[:, 0, 0], x[:, 0, 1] = np.arange(200), np.arange(200) % 10
    x[:, 14] = np.random.default_rng(0).integers(0, 256, (200, 28))
    return x, (np.arange(200) % 10).astype(np.uint8)


@pytest.fixture
def folder(tmp_path: Path, digit_files: SimpleNamespace, pictures: tuple[np.ndarray, np.ndarray]) -> str:
    """MNIST's files with the 200 digits, SVHN's with five, USPS's with four."""
    digit_files.mnist(tmp_path, *pictures)
    digit_files.svhn(tmp_path, X=np.full((32, 32, 3, 40), 100, np.uint8), y=np.arange(1, 41) % 10 + 1)
    digit_files.usps(tmp_path, x_train=np.full((30, 16, 16), 50, np.uint8), y_train=np.arange(30) % 10)
    return str(tmp_path)


def prepared(data: Tasks) -> Tasks:
    data.prepare()
    return data


def test_the_embedded_tasks_have_their_counts_in_any_order(few_houses: None):
    data = sample("opt", "house", "mnist")
    sizes = {task.name: [len(task.splits[split][1]) for split in ("train", "val", "test")] for task in data.tasks}
    assert sizes == {"opt": [1167, 130, 500], "house": [3600, 400, 1000], "mnist": [3600, 400, 1000]}
    assert list(sizes) == data.spec["tasks"] == ["opt", "house", "mnist"]
    assert data.counts == {"for training": 8367, "for validation": 930, "for the test": 2500}
    assert data.source.name == "real optdigits as ink on paper, then rendered house numbers, then real MNIST digits"
    assert data.source.kind == "rendered" and sample("mnist", "opt").source.kind == "package"
    assert json.loads(json.dumps(data.spec)) == data.spec and data.spec["input"] == [1, 28, 28]


def test_every_split_holds_each_digit_equally_often(few_houses: None):
    for task in sample().tasks:
        for x, labels in task.splits.values():
            counts = torch.bincount(labels, minlength=10)
            assert int(counts.max() - counts.min()) <= 2 and len(x) == len(labels)


def test_no_picture_is_in_two_splits_and_none_is_lost():
    x, y = digits.small_mnist(os.environ["ML2020_CACHE_DIR"])
    task = sample("mnist", "opt").tasks[0]
    found = [(picture.numpy().tobytes(), int(label)) for split in task.splits.values() for picture, label in zip(*split, strict=True)]
    assert sorted(found) == sorted((picture.tobytes(), int(label)) for picture, label in zip(x, y, strict=True))


def test_pictures_depend_on_the_data_seed_alone(few_houses: None):
    torch.manual_seed(1)
    np.random.seed(1)
    one = sample()
    torch.manual_seed(2)
    np.random.seed(2)
    same, other = sample(), sample(seed=1)
    same.run_seed = 7
    for a, b, c in zip(one.tasks, same.tasks, other.tasks, strict=True):
        for split in a.splits:
            assert torch.equal(a.splits[split][0], b.splits[split][0]) and torch.equal(a.splits[split][1], b.splits[split][1])
            assert not torch.equal(a.splits[split][0], c.splits[split][0])
    assert one.fingerprint == same.fingerprint != other.fingerprint


def test_a_smaller_draw_lies_inside_a_larger_one_and_what_measures_stays(few_houses: None):
    whole, larger, smaller = sample(), sample(train_size=500), sample(train_size=200)
    for task, less, least in zip(whole.tasks, larger.tasks, smaller.tasks, strict=True):
        assert torch.equal(task.splits["train"][0][:500], less.splits["train"][0])
        assert torch.equal(less.splits["train"][0][:200], least.splits["train"][0])
        for split in ("val", "test"):
            assert torch.equal(task.splits[split][0], least.splits[split][0])
        assert torch.bincount(least.splits["train"][1]).tolist() == pytest.approx([20] * 10, abs=1)
    assert len({whole.fingerprint, larger.fingerprint, smaller.fingerprint}) == 3


def test_batches_are_shares_of_white_in_the_common_form(few_houses: None):
    data = sample("house", "mnist", "opt")
    (house, labels), (mnist, _), (opt, _) = (next(iter(data.train_loader(number))) for number in range(3))
    assert house.shape == mnist.shape == opt.shape == (64, 1, 28, 28) and house.dtype == torch.float32
    assert labels.shape == (64,) and labels.dtype == torch.int64
    assert float(mnist.max()) == 1 and float(mnist[:, :, 0].max()) == 0 and float(opt[:, :, 0].min()) == 1
    for number in range(3):
        x, y = data.tasks[number].splits["train"]
        batch, answers = next(iter(data.plain_loader(number, "train")))
        assert torch.equal(batch, x[:512] / 255) and torch.equal(answers, y[:512])


def test_colour_becomes_grey_by_luma_and_a_plain_picture_stays_plain(few_houses: None):
    x, labels = next(iter(sample(seed=9).train_loader(0)))
    assert float((x.amax((1, 2, 3)) - x.amin((1, 2, 3))).max()) < 1e-6
    rest = (x[:, 0, 0, 0] * 255 - 0.299 * 20 * labels - 0.114 * 9) / 0.587  # what green must have been
    assert float((rest - rest.round()).abs().max()) <= 0.5 / 0.587 and float(rest.min()) > -1 and float(rest.max()) < 256


def test_shrinking_averages_over_what_it_covers():
    stripes = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    stripes[..., ::2] = 255
    small = in_form(stripes, (1, 28, 28))
    assert small.shape == (1, 1, 28, 28) and float(small.float().mean()) == pytest.approx(127.5, abs=2)
    assert in_form(stripes, (3, 32, 32)) is stripes


def test_the_form_of_the_course_frames_what_is_smaller_by_its_own_ground(few_houses: None):
    data = sample("mnist", "opt", "house", form="32x32x3")
    mnist, opt, house = (next(iter(data.plain_loader(number, "test")))[0] for number in range(3))
    assert data.spec["input"] == [3, 32, 32] and mnist.shape[1:] == opt.shape[1:] == house.shape[1:] == (3, 32, 32)
    inner = data.tasks[0].splits["test"][0][:500]
    assert torch.equal(mnist[:500, 0, 2:30, 2:30], inner[:, 0] / 255) and torch.equal(mnist[:, 0], mnist[:, 2])
    assert float(mnist[:, :, :2].max()) == 0 and float(opt[:, :, :2].min()) == 1  # black around ink of light, paper around ink
    assert torch.equal(house[0, :, 5, 5] * 255, data.tasks[2].splits["test"][0][0, :, 5, 5].float())


def test_one_loader_measures_all_tasks_and_says_of_which_a_batch_is(folder: str):
    data = prepared(Split(folder, val_share=0.25))
    assert list(data.evaluation_loaders()) == ["val", "test"]
    chain = data.evaluation_loaders()["test"]
    seen = [(task.unique().tolist(), len(x), y.tolist()) for x, y, task in chain]
    assert [task for task, _, _ in seen] == [[0], [1], [2], [3], [4]] and sum(n for _, n, _ in seen) == chain.samples == 200
    assert len(chain) == 5 and all(set(y) == {2 * number, 2 * number + 1} for number, (_, _, y) in enumerate(seen))
    again = [(task.unique().tolist(), len(x), y.tolist()) for x, y, task in chain.to("cpu")]
    assert again == seen
    assert data.val_dataloader().samples == 50


def test_the_order_of_training_is_the_runs_seed_and_another_one_for_each_task(folder: str):
    def order(data: Tasks, number: int) -> list[int]:
        return torch.cat([(x.flatten(1).sort(1).values * 255).sum(1).round() for x, _ in data.train_loader(number)]).int().tolist()

    data = prepared(Permuted(folder, 3, val_share=0.1))
    first = order(data, 0)
    assert order(data, 0) == first != order(data, 1) and sorted(first) == sorted(order(data, 1))
    data.run_seed = 1
    assert order(data, 0) != first


def test_permuted_tasks_are_the_same_pictures_in_another_order_of_pixels(folder: str):
    data = prepared(Permuted(folder, 4, val_share=0.1))
    assert data.spec["input"] == [1, 32, 32] and data.spec["tasks"] == ["p1", "p2", "p3", "p4"] and len(data.spec["outputs"]) == 10
    assert len({task.splits["train"][0].data_ptr() for task in data.tasks}) == 1  # kept once
    framed = torch.zeros(180, 1, 32, 32)
    framed[:, :, 2:30, 2:30] = data.tasks[0].splits["train"][0] / 255
    orders = []
    for number, task in enumerate(data.tasks):
        x, y = next(iter(data.plain_loader(number, "train")))
        assert torch.equal(x.flatten(1), framed.flatten(1)[:, task.permutation]) and torch.equal(y, data.tasks[0].splits["train"][1])
        assert sorted(task.permutation.tolist()) == list(range(1024))
        orders.append(tuple(task.permutation.tolist()))
    assert len({*orders, tuple(range(1024))}) == 5  # the first is permuted too


def test_a_permutation_depends_on_the_data_seed_and_its_place_alone(folder: str):
    few, more, other = (Permuted(folder, n, seed=seed) for n, seed in ((2, 0), (5, 0), (2, 1)))
    assert torch.equal(few.permutation(1), more.permutation(1)) and not torch.equal(few.permutation(1), other.permutation(1))
    small = prepared(Permuted(folder, 2, image_size=28))
    assert small.spec["input"] == [1, 28, 28] and len(small.tasks[0].permutation) == 784


@pytest.mark.parametrize(
    ("scenario", "outputs", "units"),
    [
        ("domain", ["0or2or4or6or8", "1or3or5or7or9"], [[0, 1]] * 5),
        (
            "task",
            ["01:0", "01:1", "23:2", "23:3", "45:4", "45:5", "67:6", "67:7", "89:8", "89:9"],
            [[i, i + 1] for i in range(0, 10, 2)],
        ),
        (
            "class",
            ["01:0", "01:1", "23:2", "23:3", "45:4", "45:5", "67:6", "67:7", "89:8", "89:9"],
            [[i, i + 1] for i in range(0, 10, 2)],
        ),
    ],
)
def test_labels_and_outputs_follow_the_scenario(folder: str, scenario: str, outputs: list[str], units: list[list[int]]):
    data = prepared(Split(folder, scenario=scenario))
    assert data.spec["outputs"] == outputs and data.spec["units"] == units and data.spec["scenario"] == scenario
    for number, task in enumerate(data.tasks):
        for split in task.splits:
            x, y = next(iter(data.plain_loader(number, split)))
            digit = (x[:, 0, 0, 1] * 255).round().long()
            assert torch.equal(y, digit % 2 if scenario == "domain" else digit)


def test_a_head_for_each_task_of_ten_digits_has_ten_outputs_for_each(folder: str):
    data = prepared(Permuted(folder, 3, scenario="task"))
    assert len(data.spec["outputs"]) == 30 and data.spec["units"][2] == list(range(20, 30)) and data.spec["outputs"][13] == "p2:3"
    _, y = next(iter(data.plain_loader(1, "test")))
    assert torch.equal(y, torch.arange(200) % 10 + 10)


def test_pairs_are_drawn_by_the_data_seed_where_they_are_shuffled(folder: str):
    data = prepared(Split(folder, shuffle_classes=True, scenario="domain"))
    pairs = data.pairs()
    assert sorted(digit for pair in pairs for digit in pair) == list(range(10))
    assert pairs != Split(folder).pairs() == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]
    assert pairs != Split(folder, shuffle_classes=True, seed=1).pairs()
    for number, pair in enumerate(pairs):
        x, y = next(iter(data.plain_loader(number, "test")))
        assert torch.equal((x[:, 0, 0, 1] * 255).round().long(), torch.tensor(pair)[y])


@pytest.mark.parametrize("make", [lambda f: Permuted(f, 3), lambda f: Split(f), lambda f: Real(["mnist", "usps"], f, train_size=20)])
def test_the_joint_loader_gives_every_training_picture_of_the_tasks_once(folder: str, make: Callable[[str], Tasks]):
    data = prepared(make(folder))
    for count in (1, 2):
        wanted = [pair for number in range(count) for x, y in data.plain_loader(number, "train") for pair in zip(x, y, strict=True)]
        loader = data.joint_loader(count)
        found = [pair for x, y in loader for pair in zip(x, y, strict=True)]
        assert loader.samples == len(wanted) == len(found)
        keys = [
            sorted((round(float((x.flatten() * torch.arange(x.numel())).sum()), 1), int(y)) for x, y in pairs)
            for pairs in (wanted, found)
        ]
        assert keys[0] == keys[1]
    assert [int(y) for _, y in found] != [int(y) for _, y in wanted]  # mixed


def mark(pair: tuple[torch.Tensor, torch.Tensor]) -> tuple[float, int]:
    """A number that a picture is known by, and its label."""
    x, y = pair
    return round(float((x.flatten() * torch.arange(x.numel())).sum()), 1), int(y)


def test_real_tasks_come_in_any_order_and_in_both_forms(folder: str, tmp_path: Path):
    options = {"path": folder, "cache_dir": str(tmp_path / "cache")}
    grey = prepared(Real(["usps", "svhn", "mnist"], **options))
    assert (
        grey.spec["tasks"] == ["usps", "svhn", "mnist"]
        and [task.splits["test"][0].shape[1:] for task in grey.tasks] == [(1, 28, 28)] * 3
    )
    usps, svhn, _ = (next(iter(grey.plain_loader(number, "train")))[0] for number in range(3))
    assert float(usps[:, :, 4:24, 4:24].min()) == float(usps.max()) == pytest.approx(50 / 255) and float(usps[:, :, :4].max()) == 0
    assert svhn.flatten().tolist() == pytest.approx([100 / 255] * svhn.numel())
    colour = prepared(Real(["svhn", "mnist", "usps"], form="32x32x3", **options))
    usps = next(iter(colour.plain_loader(2, "train")))[0]
    assert usps.shape[1:] == (3, 32, 32) and float(usps[:, :, 8:24, 8:24].min()) == pytest.approx(50 / 255)
    assert float(usps[:, :, :8].max()) == float(usps[..., 24:].max()) == 0
    assert colour.source.kind == grey.source.kind == "files" and colour.fingerprint != grey.fingerprint


def test_svhn_is_unpacked_once(folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    first = prepared(Real(["svhn", "mnist"], folder, cache_dir=str(tmp_path / "cache")))
    monkeypatch.setattr("ml2020.data.digit_files.read_svhn", lambda file: pytest.fail("unpacked again"))
    again = prepared(Real(["svhn", "mnist"], folder, cache_dir=str(tmp_path / "cache")))
    assert first.fingerprint == again.fingerprint


class Given(Tasks):
    """Tasks that a test made up."""

    source = Source("made up", "generated", "none needed")

    def __init__(self, tasks: list[Task], **options: Any) -> None:
        super().__init__((1, 28, 28), **options)
        self.given = tasks

    def gather(self) -> list[Task]:
        return self.given


def task(name: str = "a", side: int = 28, count: int = 40, labels: int = 40, kinds: int = 10) -> Task:
    x = torch.zeros(count, 1, side, side, dtype=torch.uint8)
    y = torch.arange(labels) % kinds
    return Task(name, {"train": (x, y), "test": (x, y)}, kinds=list(range(kinds)))


@pytest.mark.parametrize(
    ("tasks", "sentence"),
    [
        ([task(), task("b", side=32)], "task b has pictures of 32 x 32 x 1; they do not fit the network's 28 x 28 x 1"),
        ([task(), task("b", side=27)], "task b has pictures of 27 x 27 x 1; they do not fit"),
        ([task(), task("b", kinds=5)], "the tasks have 10 and 5 kinds; they cannot share one head: type data.scenario=task"),
        ([task(), task("b", labels=0)], "task b has 0 labels for its 40 pictures of train"),
        ([task(), task("b", labels=39)], "task b has 39 labels for its 40 pictures of train"),
        ([task(), task("b", count=0, labels=0)], "task b has no pictures for train"),
        ([task("a", count=1, labels=1), task("b")], "task a has no pictures for train"),
    ],
)
def test_tasks_that_do_not_fit_together_are_told(tasks: list[Task], sentence: str):
    with pytest.raises(UserError) as caught:
        Given(tasks).prepare()
    assert sentence in str(caught.value) and "\n" not in str(caught.value)


def test_tasks_of_different_kinds_may_have_heads_of_their_own():
    data = prepared(Given([task(), task("b", kinds=5)], scenario="task"))
    assert data.spec["units"] == [list(range(10)), list(range(10, 15))]


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Sample(["house"]), r"data\.tasks names 1 task; at least two are needed, such as \[house,mnist\]"),
        (lambda: Sample([]), r"data\.tasks names no task; at least two are needed"),
        (lambda: Sample(["house", "minst"]), r"data\.tasks: there is no task minst; did you mean mnist\?"),
        (lambda: Sample(["house", "svhn"]), r"data\.tasks: there is no task svhn; there are house, mnist, opt"),
        (lambda: Sample(["house", "mnist", "house"]), r"data\.tasks names house twice"),
        (lambda: Sample("house"), r"data\.tasks must be a list, such as \[house,mnist\], not house"),
        (lambda: Sample(form="28x28"), r"data\.form=28x28 is not one of 28x28x1, 32x32x3; did you mean 28x28x1\?"),
        (lambda: Sample(scenario="clas"), r"data\.scenario=clas is not one of domain, task, class; did you mean class\?"),
        (lambda: Sample(val_share=1), r"data\.val_share must lie between"),
        (lambda: Sample(train_size=5), r"data\.train_size must be at least 10, not 5"),
        (lambda: Sample(batch_size=0), r"data\.batch_size must be at least 1"),
        (lambda: Sample(seed=-1), r"data\.seed must be at least 0"),
        (lambda: Real(["mnist", "uspss"], "x"), r"data\.tasks: there is no task uspss; did you mean usps\?"),
        (lambda: Permuted("x", 1), r"data\.n_tasks must be at least 2, not 1"),
        (lambda: Permuted("x", image_size=30), r"data\.image_size must be 32 or 28, not 30"),
    ],
)
def test_what_is_typed_wrong_is_told(make: Callable[[], Tasks], sentence: str):
    with pytest.raises(TypedError, match=sentence):
        make()


def test_more_training_pictures_than_there_are_is_told_with_the_task_that_has_fewest(folder: str):
    with pytest.raises(TypedError, match=r"data\.train_size must be at most 27, the pictures that task usps has for training, not 100"):
        prepared(Real(["mnist", "usps"], folder, train_size=100))


def test_a_missing_file_is_told_before_anything_is_made(tmp_path: Path):
    with pytest.raises(UserError, match=r"there is no train_32x32\.mat in .*type data\.download=true"):
        prepared(Real(["svhn", "mnist"], str(tmp_path), cache_dir=str(tmp_path / "cache")))
    with pytest.raises(UserError, match=r"there is no train-images-idx3-ubyte"):
        prepared(Permuted(str(tmp_path)))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", [name for name in options("data") if name.startswith("hw14_")])
def test_the_config_files_name_classes_and_options_that_exist(name: str):
    config = OmegaConf.merge({"data_dir": "nowhere", "cache_dir": None}, {"data": OmegaConf.load(CONF / "data" / f"{name}.yaml")})
    assert isinstance(build(OmegaConf.to_container(config, resolve=True)["data"]), Tasks)


@pytest.mark.skipif(not (SHARED / "usps.npz").exists(), reason="the real files are not here")
def test_the_real_files_say_what_they_are():
    data = prepared(Split(str(SHARED)))
    assert data.source == Source("MNIST in five pairs of digits", "public", "MNIST: LeCun, Cortes and Burges")
    assert [len(task.splits["test"][1]) for task in data.tasks] == [2115, 2042, 1874, 1986, 1983]
    assert data.counts == {"for training": 54_001, "for validation": 5_999, "for the test": 10_000}
