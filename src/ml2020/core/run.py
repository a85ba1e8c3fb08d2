"""One run, from a checked config to a closed folder: build, fit phase by phase, measure, draw, sum up."""

from __future__ import annotations

import logging
import time
import warnings
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from matplotlib.figure import Figure

from ml2020.core import devices, report, terminal
from ml2020.core.build import build
from ml2020.core.data import DataModule
from ml2020.core.errors import UserError, at_least, one_of
from ml2020.core.folder import RunFolder, machine_facts
from ml2020.core.history import History
from ml2020.core.loaders import TensorLoader
from ml2020.core.loop import Conductor, Stopped, load_weights
from ml2020.core.module import Module, Phase, Plan
from ml2020.core.network import network_figure

for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric"):
    logging.getLogger(name).setLevel(logging.ERROR)
warnings.filterwarnings("ignore", module=r"(pytorch_lightning|lightning_fabric|torch\.optim\.lr_scheduler)")


def run(config: dict[str, Any], path: Path, facts: dict[str, Any]) -> RunFolder:
    """Train, measure and draw what `config` describes, into a new folder at `path`.

    Raises UserError where the data, the device or the training fails; the folder then says so, or is gone if nothing had begun.
    """
    folder = RunFolder.create(path, {"task": config["task"]["name"], "seed": config["seed"]} | facts, config)
    with terminal.log_to(folder.path / "train.log"):
        try:
            one = Run(config, folder)
        except BaseException:
            folder.remove()
            raise
        one.work()
    return folder


def assemble(config: dict[str, Any], spec: dict[str, Any] | None = None) -> tuple[DataModule, Module]:
    """Data and model of a config, with the random numbers of its seed. With `spec` the data is not prepared."""
    pl.seed_everything(config["seed"], workers=False, verbose=False)
    data: DataModule = build(config["data"])
    data.run_seed = config["seed"]
    module: Module = build(config["model"])
    if spec is None:
        data.prepare()
    module.configure(data.spec if spec is None else spec)
    if config["trainer"]["channels_last"]:
        module.to(memory_format=torch.channels_last)
    return data, module


def make_trainer(config: dict[str, Any], epochs: int = 1, callbacks: list[pl.Callback] | None = None) -> pl.Trainer:
    """A Lightning trainer without its loggers, bars and checkpoints: core's own stand in for them (docs/core.md)."""
    options = config["trainer"]
    accelerator, count = devices.resolve(options)
    return pl.Trainer(
        accelerator=accelerator,
        devices=count,
        precision=options["precision"],
        max_epochs=epochs,
        check_val_every_n_epoch=at_least(1, options["check_val_every"], "trainer.check_val_every"),
        gradient_clip_val=at_least(0, options["clip_norm"], "trainer.clip_norm") or None,
        accumulate_grad_batches=at_least(1, options["accumulate"], "trainer.accumulate"),
        callbacks=callbacks,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


class Run:
    """The parts of one run, held together."""

    def __init__(self, config: dict[str, Any], folder: RunFolder) -> None:
        self.config, self.folder = config, folder
        self.main = {
            "name": config["task"]["main"]["name"],
            "goal": one_of(("min", "max"), config["task"]["main"]["goal"], "task.main.goal"),
        }
        at_least(1, config["trainer"]["max_epochs"], "trainer.max_epochs")
        at_least(1, config["trainer"]["log_every"], "trainer.log_every")
        self.threads = devices.set_threads(config["trainer"]["threads"])
        accelerator, _ = devices.resolve(config["trainer"])
        self.data, self.module = assemble(config)
        self.plan(self.data.train_dataloader(), 1).make(self.module.parameters())  # a wrong rate or schedule is told before the fit
        self.history = History(folder.path)
        self.history.layout(config["task"].get("board") or {}, report.what_to_look_at(config))
        self.module._show = self.show
        options = config["trainer"]
        self.conductor = Conductor(folder.path, self.history, self.main, options["log_every"], options["ema_decay"], options["bar"])
        parameters = sum(p.numel() for p in self.module.parameters())
        source = self.data.source.facts() | {"counts": self.data.counts, "fingerprint": self.data.fingerprint}
        folder.update(
            **machine_facts(),
            device=devices.name(accelerator),
            threads=self.threads,
            parameters=parameters,
            data=source,
            spec=self.data.spec,
        )

    def work(self) -> None:
        """Fit, measure, draw and sum up; whatever ends it is written into run.json."""
        began = time.monotonic()
        try:
            terminal.say(report.headline(self.config, self.folder.facts))
            terminal.say(report.data_line(self.folder.facts))
            if self.config["quick"]:
                terminal.say("quick=true: a look at how it runs; its figures mean nothing")
            self.fit()
            self.measure()
            self.draw()
            self.finish(time.monotonic() - began)
        except Stopped as stop:
            self.folder.update(status="interrupted", seconds=round(time.monotonic() - began, 1))
            self.conductor.bar.end()
            terminal.warn(f"stopped by signal {stop.number}; what was learned so far is in {self.folder.path}")
            raise
        except BaseException as error:
            status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
            self.conductor.bar.end()
            sentence = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
            self.folder.update(status=status, error=sentence, seconds=round(time.monotonic() - began, 1))
            raise
        finally:
            self.history.close()

    def plan(self, loader: TensorLoader, epochs: int) -> Plan:
        """How the weights of a phase are updated; the steps are counted from our own loader (Lightning's count drops its state)."""
        optimizer, scheduler = dict(self.config["optimizer"]), self.config["scheduler"]
        decay = at_least(0, optimizer.pop("weight_decay", 0.0), "optimizer.weight_decay")
        at_least(0, optimizer["lr"], "optimizer.lr")
        steps = max(1, epochs * len(loader) // self.config["trainer"]["accumulate"])
        make_optimizer = build(optimizer | {"_partial_": True})
        make_schedule = build(scheduler | {"_partial_": True})
        return Plan(make_optimizer, lambda o, n: make_schedule(o, steps=n), decay, steps)

    def fit(self) -> None:
        """Every phase of the homework, in order."""
        for number, phase in enumerate(self.module.phases(self.data)):
            self.module.on_phase_start(phase)
            epochs = self.config["trainer"]["max_epochs"] if phase.epochs is None else phase.epochs
            if epochs and phase.loader is not None:
                self.fit_phase(phase, number, epochs)
            self.module.on_phase_end(phase)

    def fit_phase(self, phase: Phase, number: int, epochs: int) -> None:
        """Lightning's fit over one phase; afterwards the module has the weights that it chooses to be tested with."""
        self.module.plan = self.plan(phase.loader, epochs)
        trainer = make_trainer(self.config, epochs, [self.conductor])
        device = trainer.strategy.root_device
        phase.loader.to(device)
        if phase.val_loader is not None:
            phase.val_loader.to(device)
        self.conductor.begin(phase, number, epochs, self.module)
        trainer.fit(self.module, phase.loader, phase.val_loader)
        if self.module.choose_by == "best" and self.conductor.best is not None:
            load_weights(self.module, self.conductor.place("best.ckpt"))

    def measure(self) -> None:
        """The metrics of every split with known answers, by the chosen weights."""
        self.module.results = evaluate(self.config, self.module, self.data.evaluation_loaders())

    def draw(self) -> None:
        """The homework's figures and the network, on disk and in TensorBoard."""
        for name, figure in self.module.figures(self.data, self.history):
            self.show(name, figure)
        if example := self.data.spec.get("input"):
            self.show("network", network_figure(self.module, torch.zeros(1, *example)))

    def show(self, name: str, figure: Figure) -> None:
        """Keep a figure as figures/<name>.png and under the same name in TensorBoard."""
        target = self.folder.path / "figures" / f"{name}.png"
        target.parent.mkdir(exist_ok=True)
        if (layout := figure.get_layout_engine()) is not None:
            layout.set(rect=(0, 0.03, 1, 0.97))  # room for the line that says what the data is
        figure.text(0.995, 0.005, self.data.source.name, ha="right", va="bottom", fontsize=6, color="0.45")
        figure.savefig(target, dpi=110)
        self.history.figure(name, figure, self.conductor.step)

    def finish(self, seconds: float) -> None:
        """metrics.json, the hparams row, the table, and what to type next."""
        metrics, bad = report.metrics(self.main, self.module.results)
        self.folder.write_json("metrics.json", metrics)
        if self.main["name"] in bad or metrics["main"]["value"] is None:
            raise UserError(f"the main metric {self.main['name']} has no finite value; a smaller optimizer.lr may help")
        self.history.final(report.hparams_columns(self.config, self.folder.facts), report.hparams_metrics(metrics))
        self.folder.update(status="finished", seconds=round(seconds, 1))
        report.closing(self.config, self.folder, metrics, seconds)


def evaluate(config: dict[str, Any], module: Module, loaders: dict[str, TensorLoader]) -> dict[str, dict[str, float]]:
    """Metrics by split; runs on the device that the config names."""
    trainer = make_trainer(config)
    for split, loader in loaders.items():
        module.split = split
        trainer.test(module, loader.to(trainer.strategy.root_device), verbose=False)
    return {split: module.results[split] for split in loaders}


def reopen(path: Path, changes: dict[str, Any] | None = None) -> tuple[dict[str, Any], RunFolder]:
    """Config (with `changes`, {dotted key: value}) and folder of an earlier run."""
    folder = RunFolder.open(path)
    config = folder.config()
    for key, value in (changes or {}).items():
        node = config
        *parts, last = key.split(".")
        for part in parts:
            node = node[part]
        node[last] = value
    return config, folder


def restore(config: dict[str, Any], path: Path) -> tuple[DataModule, Module]:
    """Data and model of an earlier run, with the weights that it tested."""
    data, module = assemble(config)
    best = path / "checkpoints" / "best.ckpt"
    load_weights(module, best if module.choose_by == "best" and best.is_file() else best.with_name("last.ckpt"))
    return data, module
