"""Pieces of core by themselves: schedules, averages, records of runs, what may be built."""

from __future__ import annotations

import csv
import json
import math
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from ml2020.commands.record import portable, record
from ml2020.core import devices, optim, report
from ml2020.core.build import build
from ml2020.core.ema import Average
from ml2020.core.errors import TypedError, UserError, nearest, within
from ml2020.core.folder import RunFolder
from ml2020.core.history import History, Means
from ml2020.core.network import layers, network_figure


def rates(schedule, steps: int, lr: float = 2.0) -> list[float]:
    parameter = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr)
    plan = schedule(optimizer, steps=steps)
    seen = []
    for _ in range(steps):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if plan is not None:
            plan.step()
    return seen


def test_the_constant_rate_rises_and_stays():
    assert rates(partial(optim.constant, warmup=0.0), 5) == [2.0] * 5
    assert rates(partial(optim.constant, warmup=0.4), 10) == pytest.approx([0.5, 1, 1.5, 2] + [2.0] * 6)


def test_the_cosine_is_its_formula():
    seen = rates(partial(optim.cosine, warmup=0.0, final=0.1), 100)
    assert seen == pytest.approx([0.2 + 1.8 * (1 + math.cos(math.pi * t / 100)) / 2 for t in range(100)])
    warmed = rates(partial(optim.cosine, warmup=0.1, final=0.0), 100)
    assert warmed[:10] == pytest.approx([2 * (t + 1) / 10 for t in range(10)])
    assert warmed[10:] == pytest.approx([1 + math.cos(math.pi * t / 90) for t in range(90)])


def test_one_cycle_begins_peaks_and_ends_where_it_says():
    seen = rates(partial(optim.one_cycle, warmup=0.3, start=0.04, final=1e-3), 101)
    assert seen[0] == pytest.approx(0.08) and max(seen) == pytest.approx(2.0, rel=1e-3) and seen[-1] == pytest.approx(2e-3)
    assert abs(seen.index(max(seen)) - 30) <= 1


def test_biases_and_norms_do_not_decay():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2))
    decayed, free = optim.groups(net.parameters(), 0.1)
    assert sorted(p.ndim for p in decayed["params"]) == [2, 4] and {p.ndim for p in free["params"]} == {1}
    assert decayed["weight_decay"] == 0.1 and free["weight_decay"] == 0.0


def test_the_average_is_its_recursion_and_swaps_back():
    net = nn.Linear(1, 1, bias=False)
    average = Average(net, 0.5)
    by_hand = float(net.weight)
    for update, value in enumerate([1.0, 2.0, 4.0, 8.0, -3.0]):
        with torch.no_grad():
            net.weight.fill_(value)
        average.update()
        decay = min(0.5, (1 + update) / (10 + update))
        by_hand = decay * by_hand + (1 - decay) * value
    with average.applied():
        assert float(net.weight) == pytest.approx(by_hand)
    assert float(net.weight) == -3.0


def test_means_are_those_since_the_last_call():
    means = Means()
    for value in (1.0, 2.0, 6.0):
        means.add("train/loss", torch.tensor(value))
    assert means.take() == {"train/loss": 3.0} and means.take() == {}


def test_the_history_keeps_old_rows_when_a_column_is_new(tmp_path: Path):
    history = History(tmp_path)
    history.row(1, 0, "fit", 0.5, {"train/loss": 2.0})
    history.row(2, 0, "fit", 0.6, {"val/acc": 0.25})
    history.row(3, 1, "fit", 0.7, {"train/loss": 1.0, "val/acc": 0.5})
    history.close()
    with (tmp_path / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["step"], row["train/loss"], row["val/acc"]) for row in rows] == [
        ("1", "2.0", ""),
        ("2", "", "0.25"),
        ("3", "1.0", "0.5"),
    ]
    assert history.series("val/acc") == ([2, 3], [0.25, 0.5])


def test_a_metric_that_is_not_finite_becomes_null_and_is_named():
    content, bad = report.metrics({"name": "val/acc", "goal": "max"}, {"val": {"acc": math.nan, "loss": 1.0}})
    assert content["val"] == {"acc": None, "loss": 1.0} and bad == ["val/acc"] == content["nonfinite"]
    assert json.loads(json.dumps(content, allow_nan=False))["main"]["value"] is None


@pytest.mark.parametrize("target", ["os.system", "builtins.eval", "subprocess.run", "torch.load", "ml2020x.core"])
def test_a_config_can_run_only_our_own_classes(target: str):
    with pytest.raises(UserError, match="not allowed"):
        build({"_target_": "ml2020.data.augment.Augment", "inner": [{"_target_": target, "_args_": ["touch /nowhere"]}]})


def test_what_a_class_says_about_its_arguments_comes_through():
    with pytest.raises(TypedError, match=r"data\.augment\.flip must lie between 0 and 1, not 3"):
        build({"_target_": "ml2020.data.augment.Augment", "flip": 3})


def test_nearest_names_come_first():
    assert nearest("model.widht", ["model.width", "model.weight", "trainer.threads"])[0] == "model.width"
    assert nearest("lr", ["optimizer.lr", "trainer.log_every"])[0] == "optimizer.lr"
    assert nearest("zzz", ["model.width"]) == []


@pytest.mark.parametrize("value", [-1, 2, "x", True, None, math.nan])
def test_a_range_refuses_what_is_no_number_inside_it(value: object):
    with pytest.raises(TypedError):
        within(0, 1, value, "key")


TRAINER = {"gpus": None, "accelerator": "cpu", "devices": 1}


def test_gpus_and_accelerator_must_agree():
    assert devices.resolve(TRAINER | {"gpus": 0}) == ("cpu", 1)
    with pytest.raises(TypedError, match="disagree"):
        devices.resolve(TRAINER | {"gpus": 0, "accelerator": "gpu"})
    with pytest.raises(TypedError, match="disagree"):
        devices.resolve(TRAINER | {"gpus": 2, "devices": 3})


def test_layers_are_listed_in_order_with_shapes_and_parameters():
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8 * 36, 5))
    found = layers(net, torch.zeros(1, 3, 8, 8))
    assert [(layer.kind, layer.shape, layer.parameters) for layer in found] == [
        ("Conv2d", (8, 6, 6), 3 * 8 * 9 + 8), ("Flatten", (288,), 0), ("Linear", (5,), 288 * 5 + 5),
    ]  # fmt: skip
    assert network_figure(net, torch.zeros(1, 3, 8, 8)).axes


def test_several_seeds_are_recorded_with_mean_and_spread(tmp_path: Path):
    runs = [finished(tmp_path / f"run{i}", seed=i, value=value) for i, value in enumerate((0.2, 0.4, 0.9))]
    target = record([run.path for run in runs], "many", tmp_path)
    assert (target / "table.csv").read_text() == ("metric,seed 0,seed 1,seed 2,mean,sd\nval/acc,0.2000,0.4000,0.9000,0.5000,0.3606\n")


def test_runs_of_one_seed_are_told_apart_by_what_was_typed(tmp_path: Path):
    runs = [finished(tmp_path / f"run{i}", value=0.5) for i in range(2)]
    for run, words in zip(runs, (["data.seed=0", "model.l2=1"], ["data.seed=7", "model.l2=1"]), strict=True):
        run.update(overrides=words)
    target = record([run.path for run in runs], "many", tmp_path)
    assert (target / "table.csv").read_text().startswith("metric,data.seed=0,data.seed=7,mean,sd\n")


def finished(path: Path, status: str = "finished", seed: int = 0, value: float = 0.5) -> RunFolder:
    facts = {
        "task": "hw99", "model": "hw99_m", "data_option": "hw99_d", "command": "python train.py task=hw99",
        "seed": seed, "parameters": 7,
        "data": {"name": "dots", "kind": "rendered", "licence": "CC0", "counts": {"for training": 5}}, "device": "cpu", "threads": 1,
        "machine": {"processor": "p"}, "git": None, "versions": {"torch": "2"}, "seconds": 3.0, "spec": {},
    }  # fmt: skip
    folder = RunFolder.create(path, facts, {"seed": 0})
    folder.update(status=status)
    folder.write_json("metrics.json", {"main": {"name": "val/acc", "goal": "max", "value": value}, "val": {"acc": value}})
    folder.write_text("metrics.csv", "step\n1\n")
    folder.write_text("figures/a.png", "x")
    return folder


def test_a_large_picture_is_recorded_in_256_colors_and_a_small_one_as_it_is(tmp_path: Path):
    run = finished(tmp_path / "run")
    noise = np.random.default_rng(0).integers(0, 256, (400, 400, 3), np.uint8)
    for name, side in (("large", 400), ("small", 40)):
        Image.fromarray(noise[:side, :side]).save(run.path / "figures" / f"{name}.png")
    target = record([run.path], "one", tmp_path) / "figures"
    assert (target / "small.png").read_bytes() == (run.path / "figures" / "small.png").read_bytes()
    kept = Image.open(target / "large.png")
    assert kept.size == (400, 400) and len(kept.getcolors()) <= 256
    assert (target / "large.png").stat().st_size < (run.path / "figures" / "large.png").stat().st_size / 2


def test_a_record_is_written_from_the_folder(tmp_path: Path):
    folder = finished(tmp_path / "run")
    target = record([folder.path], root=tmp_path / "experiments")
    assert target.name == "hw99_hw99_m_hw99_d"
    page = (target / "README.md").read_text()
    assert "python train.py task=hw99" in page and "| val/acc | 0.5000 |" in page and "figures/a.png" in page and "CC0" in page
    assert (target / "table.csv").read_text() == "metric,seed 0\nval/acc,0.5000\n"


def test_pictures_of_unknown_licence_are_not_recorded(tmp_path: Path):
    folder = finished(tmp_path / "run")
    folder.write_text("figures/mistakes.png", "x")
    folder.update(task="hw03_cnn", data=folder.facts["data"] | {"kind": "files"})
    target = record([folder.path], "food", tmp_path)
    assert [file.name for file in (target / "figures").iterdir()] == ["a.png"]
    assert "mistakes" not in (target / "README.md").read_text()


def test_a_recorded_command_names_no_folder_of_one_machine():
    typed = "python train.py task=hw03_cnn data_dir=/home/me/data output_dir=/mnt/x cache_dir=/c name=a seed=1 data.path=/d/food.zip"
    assert portable(typed) == "python train.py task=hw03_cnn data_dir=PATH seed=1 data.path=PATH"


def test_only_finished_runs_are_recorded(tmp_path: Path):
    with pytest.raises(UserError, match="is failed, not finished"):
        record([finished(tmp_path / "run", "failed").path], root=tmp_path)
    with pytest.raises(TypedError, match="is not the folder of a run"):
        record([tmp_path], root=tmp_path)


def test_two_runs_of_one_second_have_two_folders(tmp_path: Path):
    one, two = finished(tmp_path / "run"), finished(tmp_path / "run")
    assert one.path != two.path and two.path.name == "run~2"


def test_a_folder_in_use_refuses_a_second_process(tmp_path: Path):
    folder = finished(tmp_path / "run")
    with pytest.raises(UserError, match="in use"):
        RunFolder(folder.path).lock()
