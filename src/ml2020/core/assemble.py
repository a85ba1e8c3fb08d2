"""From a config to data, model and a Lightning trainer; measuring; an earlier run's model."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.environments import LightningEnvironment
from pytorch_lightning.strategies import DDPStrategy
from torchmetrics import Metric

from ml2020.core import checkpoints, devices, processes
from ml2020.core.build import build
from ml2020.core.data import DataModule
from ml2020.core.errors import TypedError, at_least, one_of
from ml2020.core.loaders import TensorLoader
from ml2020.core.module import Module

for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric"):
    logging.getLogger(name).setLevel(logging.ERROR)
warnings.filterwarnings("ignore", module=r"(pytorch_lightning|lightning_fabric|torch\.optim\.lr_scheduler)")


def assemble(config: dict[str, Any], spec: dict[str, Any] | None = None) -> tuple[DataModule, Module]:
    """Data and model of a config, with the random numbers of its seed. With `spec` the data is not prepared."""
    pl.seed_everything(config["seed"], workers=False, verbose=False)
    data: DataModule = build(config["data"])
    data.run_seed = config["seed"]
    module: Module = build(config["model"])
    if spec is None:
        data.prepare()
    module.configure(data.spec if spec is None else spec)
    for part in module.modules():
        if isinstance(part, Metric):
            part.distributed_available_fn = lambda: False  # every process measures every sample (docs/processes.md)
    if config["trainer"]["precision"] == "64-true":
        module.double()  # here, so that weights from a checkpoint keep their bits
    if config["trainer"]["channels_last"]:
        module.to(memory_format=torch.channels_last)
    return data, module


def check_trainer(options: dict[str, Any]) -> None:
    """The ranges of the trainer's keys. Raises TypedError."""
    for key in ("max_epochs", "log_every", "check_val_every", "accumulate", "num_nodes"):
        at_least(1, options[key], f"trainer.{key}")
    for key in ("clip_norm", "ema_decay", "patience", "checkpoint_seconds"):
        at_least(0, options[key], f"trainer.{key}")
    one_of(("best", "last"), options["keep"], "trainer.keep")
    if options["ema_decay"] >= 1:
        raise TypedError(f"trainer.ema_decay must be below 1, not {options['ema_decay']}")
    if options["sync_batchnorm"] and devices.resolve(options)[0] == "cpu":
        raise TypedError("trainer.sync_batchnorm=true needs GPUs: torch has no synchronised batch norm on the CPU")
    if options["precision"] == "16-mixed" and devices.resolve(options)[0] == "cpu":
        raise TypedError("trainer.precision=16-mixed needs a GPU; on the CPU type trainer.precision=bf16-mixed")


class _NoGradients(DDPStrategy):
    """Several processes on a closed form: DDP refuses to wrap a model without gradients, and there are none to average."""

    def configure_ddp(self) -> None:
        """Leave the model as it is."""


def make_trainer(
    config: dict[str, Any], epochs: int = 1, callbacks: list[pl.Callback] | None = None, alone: bool = True, gradients: bool = True
) -> pl.Trainer:
    """A Lightning trainer without its loggers, bars and checkpoints: core's own stand in for them (docs/core.md).

    `alone`: for this process only, however many there are. `gradients`: whether there are any to be averaged over the processes.
    """
    options = config["trainer"]
    accelerator, count = devices.resolve(options)
    world = 1 if alone else processes.place().world
    shared = ("ddp" if options["strategy"] == "auto" else options["strategy"]) if gradients else _NoGradients()
    return pl.Trainer(
        accelerator=accelerator,
        devices=count if world > 1 else 1,
        num_nodes=options["num_nodes"] if world > 1 else 1,
        strategy=shared if world > 1 else "auto",
        plugins=[LightningEnvironment()],  # nothing else is guessed from the environment
        precision=options["precision"],
        sync_batchnorm=options["sync_batchnorm"] and world > 1,
        max_epochs=epochs,
        check_val_every_n_epoch=options["check_val_every"],
        gradient_clip_val=options["clip_norm"] or None,
        accumulate_grad_batches=options["accumulate"],
        callbacks=callbacks,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def evaluate(config: dict[str, Any], module: Module, loaders: dict[str, TensorLoader]) -> dict[str, dict[str, float]]:
    """Metrics by split; runs in this process, on the device that the config names."""
    trainer = make_trainer(config)
    for split, loader in loaders.items():
        module.split = split
        trainer.test(module, loader.to(trainer.strategy.root_device), verbose=False)
    return {split: module.results[split] for split in loaders}


def restore(config: dict[str, Any], path: Path) -> tuple[DataModule, Module]:
    """Data and model of an earlier run, with the weights that it tested."""
    data, module = assemble(config)
    folder = path / "checkpoints"
    order = ("final.ckpt", "best.ckpt", "last.ckpt") if module.choose_by == "best" else ("final.ckpt", "last.ckpt")
    file = next((folder / name for name in order if (folder / name).is_file()), folder / order[-1])
    checkpoints.load_weights(module, file)
    return data, module
