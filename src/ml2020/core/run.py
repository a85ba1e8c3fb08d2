"""One run, from a checked config to a closed folder: build, fit phase by phase, measure, draw, sum up."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from ml2020.core import animation, checkpoints, devices, processes, report, terminal
from ml2020.core.assemble import assemble, check_trainer, evaluate, make_trainer
from ml2020.core.build import build
from ml2020.core.errors import UserError, at_least, one_of
from ml2020.core.folder import RunFolder, machine_facts
from ml2020.core.history import History, as_csv
from ml2020.core.loop import Conductor, Stopped, place, stop
from ml2020.core.module import Module, Phase, Plan
from ml2020.core.network import network_figure
from ml2020.core.pruning import Pruned, Trial
from ml2020.core.signals import heeded


def start(folder: RunFolder) -> None:
    """Carry out the run of a folder that this process has locked: here, or in as many processes as its config asks for.

    Raises UserError where the data, the device or the training fails; the folder then says so, or is gone if nothing had begun.
    """
    fresh = folder.facts["status"] == "waiting"
    try:
        config = folder.config()
        _, count = devices.resolve(config["trainer"])
        if count > 1 and processes.place().world == 1:
            processes.launch(folder.path, count, keep=folder.lock_file)
            folder.reload()
        else:
            carry_out(folder)
    except BaseException:
        if (folder.path / "run.json").is_file():
            folder.reload()
        if fresh and folder.facts["status"] == "waiting":
            folder.remove()
        raise
    finally:
        folder.unlock()


def carry_out(folder: RunFolder | Path) -> None:
    """Train, measure and draw in this process, which may be one of several."""
    folder = folder if isinstance(folder, RunFolder) else RunFolder.open(folder)
    config = folder.config()
    processes.join()
    chief = processes.place().rank == 0
    with terminal.log_to(folder.path / "train.log") if chief else terminal.silent(), heeded(stop):
        Run(config, folder).work()


class Run:
    """The parts of one run, held together."""

    def __init__(self, config: dict[str, Any], folder: RunFolder) -> None:
        self.config, self.folder = config, folder
        self.main = {
            "name": config["task"]["main"]["name"],
            "goal": one_of(("min", "max"), config["task"]["main"]["goal"], "task.main.goal"),
        }
        check_trainer(config["trainer"])
        here = processes.place()
        self.chief = here.rank == 0
        self.threads = devices.set_threads(config["trainer"]["threads"], here.world // config["trainer"]["num_nodes"])
        self.data, self.module = assemble(config)
        self.first_weights = {name: tensor.detach().clone() for name, tensor in self.module.state_dict().items()}
        if self.module.has_gradients:
            self.plan(1, 1).make(self.module.parameters())  # a wrong rate or schedule is told before the fit
        self.resumed = self.look_back()
        self.open_history()
        self.module._show, self.module._keep, self.module._animate = self.show, self.keep, self.animate
        self.conductor = Conductor(folder.path, self.history, self.main, config["trainer"])
        if self.resumed:
            state = self.resumed["callbacks"]["Conductor"]
            self.conductor.step, self.conductor.earlier, self.conductor.carried = state["step"], state["seconds"], state["carried"]
            checkpoints.put(self.resumed, self.module, averaged=False)
        if self.chief:
            self.note_facts()
            if facts := folder.facts.get("trial"):
                self.conductor.trial = Trial(folder.path, facts)

    def look_back(self) -> dict[str, Any] | None:
        """The checkpoint that an interrupted run goes on from, if it has one."""
        name = self.folder.facts.get("phase")
        file = place(self.folder.path, name, "last.ckpt") if name else None
        if file is None or not file.is_file():
            return None
        content = checkpoints.read(file)
        if "Conductor" not in content.get("callbacks", {}):
            raise UserError(f"{file} holds weights, but not where the run stood: it cannot go on from there")
        return content

    def open_history(self) -> None:
        """A new history, or that of the folder cut back to its checkpoint."""
        if not self.chief:
            self.history = History(None)
        elif self.resumed:
            self.history = History.cut(self.folder.path, self.resumed["callbacks"]["Conductor"]["history"])
        else:
            History.clear(self.folder.path)
            self.history = History(self.folder.path)
            self.history.layout(self.config["task"].get("board") or {}, report.what_to_look_at(self.config))

    def note_facts(self) -> None:
        """run.json: what is trained on what, with what."""
        accelerator, _ = devices.resolve(self.config["trainer"])
        self.folder.update(
            **machine_facts(),
            status="running",
            pid=os.getpid(),
            device=devices.name(accelerator),
            processes=processes.place().world,
            threads=self.threads,
            parameters=sum(p.numel() for p in self.module.parameters()),
            data=self.data.source.facts() | {"counts": self.data.counts, "fingerprint": self.data.fingerprint},
            spec=self.data.spec,
            error=None,
        )

    def work(self) -> None:
        """Fit, measure, draw and sum up; whatever ends it is written into run.json."""
        try:
            if self.chief:
                self.introduce()
            self.fit()
            if self.chief:
                self.measure()
                self.draw()
                self.finish()
        except Stopped as stop:
            self.end(status="interrupted")
            terminal.warn(f"stopped by signal {stop.number}; to go on: python train.py resume={self.folder.path}")
            raise
        except Pruned:
            self.end(status="pruned")
            terminal.say(f"broken off after step {self.conductor.step:,}: half of the trials before it were better by then")
        except BaseException as error:
            status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
            self.end(status=status, error=str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}")
            raise
        finally:
            self.history.close()

    def end(self, **facts: Any) -> None:
        """The last words of run.json."""
        self.conductor.bar.end()
        if self.chief:
            self.folder.update(**facts, seconds=round(self.conductor.seconds, 1), steps=self.conductor.step)

    def introduce(self) -> None:
        """What is trained on what, and where it goes on."""
        terminal.say(report.headline(self.config, self.folder.facts))
        terminal.say(report.data_line(self.folder.facts))
        if self.config["quick"]:
            terminal.say("quick=true: a look at how it runs; its figures mean nothing")
        if self.resumed or self.folder.facts.get("resumed"):
            terminal.say(f"goes on after step {self.conductor.step:,}")

    def plan(self, steps: int, length: int) -> Plan:
        """How the weights of a phase are updated in `steps` steps; they are counted from our own loader (docs/core.md)."""
        optimizer, scheduler = dict(self.config["optimizer"]), self.config["scheduler"]
        decay = at_least(0, optimizer.pop("weight_decay", 0.0), "optimizer.weight_decay")
        at_least(0, optimizer["lr"], "optimizer.lr")
        every = self.config["trainer"]["accumulate"]
        updates = max(1, steps // length * -(-length // every) + -(-(steps % length) // every))  # an epoch's rest is an update too
        make_optimizer = build(optimizer | {"_partial_": True})
        make_schedule = build(scheduler | {"_partial_": True})
        return Plan(make_optimizer, lambda o, n: make_schedule(o, steps=n), decay, updates)

    def fit(self) -> None:
        """Every phase of the homework, in order; of a resumed run only what is missing."""
        reached = self.resumed["callbacks"]["Conductor"]["phase"] if self.resumed else -1
        phases = list(self.module.phases(self.data))
        for number, phase in enumerate(phases):
            if number < reached:
                continue
            if number > reached:
                if "weights" in phase.reset:
                    self.module.load_state_dict(self.first_weights)
                self.module.on_phase_start(phase)
                if number:
                    self.conductor.save_start(phase, number, self.module)
                self.note_phase(phase)
            self.fit_phase(phase, number, self.resumed if number == reached else None)
            self.module.on_phase_end(phase)
        if self.chief and (len(phases) > 1 or phases[0].name != "fit" or type(self.module).on_phase_end is not Module.on_phase_end):
            content = {"state_dict": self.module.state_dict()}
            self.module.on_save_checkpoint(content)
            checkpoints.write(content, self.folder.path / "checkpoints" / "final.ckpt")

    def note_phase(self, phase: Phase) -> None:
        """Where a resumed run has to look."""
        if self.chief:
            self.folder.update(phase=phase.name)

    def fit_phase(self, phase: Phase, number: int, resumed: dict[str, Any] | None) -> None:
        """Lightning's fit over one phase; afterwards the module has the weights that it chooses to be tested with."""
        state = resumed["callbacks"]["Conductor"] if resumed else None
        if state:
            checkpoints.set_random_states(state["ranks"][processes.place().rank]["random"])
        if callable(phase.loader):
            phase.loader = phase.loader()
        epochs = self.epochs_of(phase)
        if not epochs:
            return
        if state and state["over"] and state["epochs"] >= epochs:  # the fit was done when the run was interrupted
            self.conductor.carried = resumed["optimizer_states"]
            checkpoints.put(resumed, self.module)
        else:
            length = len(phase.loader)
            self.module.plan = self.plan(phase.steps or epochs * length, length)
            self.call_lightning(phase, number, epochs, resumed)
        processes.same_weights(self.module)
        best = place(self.folder.path, phase.name, "best.ckpt")
        if self.module.choose_by == "best" and processes.told(best.is_file()):
            checkpoints.load_weights(self.module, best)

    def epochs_of(self, phase: Phase) -> int:
        """The epochs of a phase, the last of which may be cut short; 0 for one without a fit."""
        if phase.loader is None:
            return 0
        if phase.steps is not None:
            return -(-phase.steps // len(phase.loader))
        return self.config["trainer"]["max_epochs"] if phase.epochs is None else phase.epochs

    def call_lightning(self, phase: Phase, number: int, epochs: int, resumed: dict[str, Any] | None) -> None:
        """One `trainer.fit`, from the start of a phase or from a checkpoint in it."""
        trainer = make_trainer(self.config, epochs, [self.conductor], alone=False, gradients=self.module.has_gradients)
        here = processes.place()
        phase.loader.to(trainer.strategy.root_device).shard(here.rank, here.world)
        if phase.val_loader is not None:
            phase.val_loader.to(trainer.strategy.root_device)
        in_the_middle = resumed is not None and "loops" in resumed
        self.conductor.begin(phase, number, epochs, self.module, going_on=in_the_middle)
        if in_the_middle:  # Lightning forgets the loader's state where it stops between two epochs (docs/core.md)
            phase.loader.load_state_dict(resumed["callbacks"]["Conductor"]["loader"])
        if self.config["trainer"]["compile"]:
            self.module.compile()
        file = place(self.folder.path, phase.name, "last.ckpt") if in_the_middle else None
        trainer.fit(self.module, phase.loader, phase.val_loader, ckpt_path=file, weights_only=True if file else None)

    def measure(self) -> None:
        """The metrics of every split with known answers, by the chosen weights."""
        self.module.results = evaluate(self.config, self.module, self.data.evaluation_loaders())

    def draw(self) -> None:
        """The homework's figures and the network, on disk and in TensorBoard."""
        if self.config["trainer"]["precision"] == "64-true":
            self.module.float()  # a figure feeds what it draws in single precision
        for name, figure in self.module.figures(self.data, self.history):
            self.show(name, figure)
        if example := self.data.spec.get("input"):
            self.show("network", network_figure(self.module, torch.zeros(1, *example)))

    def show(self, name: str, figure: Figure) -> None:
        """Keep a figure as figures/<name>.png and under the same name in TensorBoard."""
        if not self.chief:
            return
        target = self.folder.path / "figures" / f"{name}.png"
        target.parent.mkdir(exist_ok=True)
        if (layout := figure.get_layout_engine()) is not None:
            layout.set(rect=(0, 0.03, 1, 0.97))  # room for the line that says what the data is
        figure.text(0.995, 0.005, self.data.source.name, ha="right", va="bottom", fontsize=6, color="0.45")
        figure.savefig(target, dpi=110)
        self.history.figure(name, figure, self.conductor.step)

    def animate(self, name: str, frames: np.ndarray, rate: float) -> None:
        """Keep frames as figures/<name>.gif, with what the data is as its comment, and under the same name in TensorBoard."""
        if self.chief:
            content = animation.gif(frames, rate, self.data.source.name)
            self.folder.write_bytes(f"figures/{name}.gif", content)
            self.history.animation(name, content, self.conductor.step)

    def keep(self, name: str, header: tuple[str, ...], rows: list[tuple]) -> None:
        """Write a table as <name>.csv."""
        if self.chief:
            self.folder.write_text(f"{name}.csv", as_csv(header, rows))

    def finish(self) -> None:
        """metrics.json, the hparams row, the table, and what to type next."""
        metrics, bad = report.metrics(self.main, self.module.results)
        self.folder.write_json("metrics.json", metrics)
        if self.main["name"] in bad or metrics["main"]["value"] is None:
            raise UserError(f"the main metric {self.main['name']} has no finite value; a smaller optimizer.lr may help")
        self.history.final(report.hparams_columns(self.config, self.folder.facts), report.hparams_metrics(metrics))
        self.end(status="finished")
        report.closing(self.config, self.folder, metrics, self.conductor.seconds)
