"""Whole runs: the weights of a bare loop, stops and resumes, each network's rate, what is predicted, the ring."""

from __future__ import annotations

import copy
import hashlib
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ml2020.commands.evaluate import evaluate
from ml2020.commands.resume import resume_run
from ml2020.core.assemble import assemble
from ml2020.core.config import load, plain
from ml2020.core.draws import Draws
from ml2020.core.errors import TypedError
from ml2020.core.folder import RunFolder, new_run
from ml2020.core.run import start
from ml2020.nn import lite0
from ml2020.tasks.hw11_gan.model import GAN
from ml2020.tasks.hw11_gan.sngan import SNGAN
from ml2020.tasks.hw11_gan.toy import toy
from ml2020.tasks.hw11_gan.wgan import WGAN

QUICK = ["task=hw11_gan", "quick=true", "trainer.threads=1", "data.image_size=8", "model.width=4", "trainer.log_every=3"]


def folder_of(path: Path, *words: str, model: str = "hw11_dcgan") -> RunFolder:
    cfg, choices = load("train", [*QUICK, f"model={model}", *words])
    return new_run(plain(cfg), choices, [], path)


def checkpoint(folder: RunFolder, file: str = "last.ckpt") -> dict[str, Any]:
    return torch.load(folder.path / "checkpoints" / file, weights_only=True)


def test_a_run_gives_the_weights_of_a_bare_loop_bit_for_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    begun: dict[str, Any] = {}
    original = GAN.training_step

    def training_step(self: GAN, batch: tuple[Tensor], index: int) -> None:
        if not begun:
            begun.update(nets=copy.deepcopy((self.generator, self.discriminator)), random=torch.get_rng_state())
        original(self, batch, index)

    monkeypatch.setattr(GAN, "training_step", training_step)
    lite0.trained.cache_clear()
    folder = folder_of(tmp_path / "run")
    start(folder)

    spec = importlib.util.spec_from_file_location("gan_loop", Path(__file__).parents[2] / "oracles" / "gan_loop.py")
    loop_of_its_own = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loop_of_its_own)
    config = folder.config()
    data, _ = assemble(config)
    pictures = data.splits["train"]
    orders = [torch.randperm(len(pictures), generator=torch.Generator().manual_seed(epoch)) for epoch in range(2)]  # of seed 0
    mirrored = [Draws(0, epoch, torch.arange(len(pictures))).chance(0.5) for epoch in range(2)]
    generator, discriminator = begun["nets"]
    torch.set_rng_state(begun["random"])
    options = config["optimizer"]
    loop_of_its_own.train(generator, discriminator, pictures, orders, mirrored, 32, 100, options["lr"], tuple(options["betas"]))
    trained = checkpoint(folder)["state_dict"]
    for name, net in (("generator", generator), ("discriminator", discriminator)):
        assert all(torch.equal(trained[f"{name}.{key}"], tensor) for key, tensor in net.state_dict().items())


def content(folder: RunFolder) -> dict[str, Any]:
    last = checkpoint(folder)
    rows = [row.split(",") for row in (folder.path / "metrics.csv").read_text().splitlines()]
    return {
        "metrics": (folder.path / "metrics.json").read_text(),
        "rows": [row[:3] + row[4:] for row in rows],  # without seconds
        "weights": {name: tensor.tolist() for name, tensor in last["state_dict"].items()},
        "optimizers": str(last["optimizer_states"]),
        "turns": (last["gan"]["turns"], last["gan"]["updates"]),
        "frames": [frame.tolist() for frame in last["gan"]["frames"]],
        "gif": hashlib.sha256((folder.path / "figures" / "training.gif").read_bytes()).hexdigest(),
    }


@pytest.mark.parametrize(
    ("model", "step"),
    [("hw11_dcgan", 4), ("hw11_wgan_gp", 7), pytest.param("hw11_best", 6, marks=pytest.mark.full)],
)
def test_a_run_stopped_in_an_epoch_or_at_its_end_ends_with_the_same_bits(model: str, step: int, tmp_path: Path, stopped_at: Callable):
    words = ("scheduler=cosine", "model.instance_noise=0.1", "model.discriminator_steps=2")
    whole = folder_of(tmp_path / "whole", *words, model=model)
    start(whole)
    part = folder_of(tmp_path / "part", *words, model=model)
    with stopped_at(step):
        start(part)
    again = RunFolder.open(part.path)
    assert again.status == "interrupted"
    lite0.trained.cache_clear()  # as in a new process
    resume_run(again, {})
    assert content(part) == content(whole)


def test_predict_writes_as_many_pictures_as_are_asked_for(tmp_path: Path):
    start(folder := folder_of(tmp_path / "run", "data.predict_count=30"))
    assert evaluate([f"run={folder.path}", "do=predict"]) == 0
    pictures = np.load(folder.path / "submission.npz", allow_pickle=False)["samples"]
    assert pictures.shape == (30, 8, 8, 3) and pictures.dtype == np.uint8 and pictures.std() > 1


def test_each_network_has_the_rate_that_is_typed_for_it(tmp_path: Path):
    start(folder := folder_of(tmp_path / "run", "model.optimizers.discriminator.lr=1e-5", "model.optimizers.generator.betas=[0,0.5]"))
    groups = [state["param_groups"][0] for state in checkpoint(folder)["optimizer_states"]]
    assert [group["lr"] for group in groups] == [5e-4, 1e-5]
    assert [tuple(group["betas"]) for group in groups] == [(0, 0.5), (0.5, 0.999)]


@pytest.mark.parametrize(
    "loss", ["dcgan", pytest.param("wgan_gp", marks=pytest.mark.full), pytest.param("sngan", marks=pytest.mark.full)]
)
def test_the_ring_is_learnt_in_the_same_frame(loss: str, tmp_path: Path):
    words = ["task=hw11_gan", "model=hw11_toy", "data=hw11_ring", f"model.loss={loss}", "trainer.max_epochs=2", "trainer.threads=1"]
    cfg, choices = load("train", [*words, "data.count=3000", "data.val_count=500"])
    start(folder := new_run(plain(cfg), choices, [], tmp_path / "run"))
    said = json.loads((folder.path / "metrics.json").read_text())
    assert said["main"]["name"] == "val/overlap" and 0 <= said["val"]["modes"] <= 8
    assert {"points.png", "modes.png", "training.gif", "network.png"} <= {file.name for file in (folder.path / "figures").iterdir()}


def test_toy_is_the_loss_that_is_named():
    assert type(toy("sngan")) is SNGAN and toy("sngan").norm == "spectral" and type(toy("wgan")) is WGAN
    with pytest.raises(TypedError, match=r"model\.loss"):
        toy("gan")
