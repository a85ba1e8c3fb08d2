"""`python train.py -m sweep=optuna ...`: a search for good values, trial by trial, in a folder that can be resumed and shared.

The trials, their values and reports stand in a journal in the folder, so several processes (or machines on one file system) can work on
one search; what a trial trained stands in its own folder, as for every job.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ml2020.core import terminal
from ml2020.core.config import parse
from ml2020.core.errors import TypedError, UserError, at_least
from ml2020.core.folder import RunFolder, in_use
from ml2020.core.pruning import open_study
from ml2020.studies import summary
from ml2020.studies.jobs import Job, attempt, prepare, train_job, wait_for, warm_up
from ml2020.studies.launch import through_launcher
from ml2020.studies.objectives import Objective, objectives_of, values_of_run
from ml2020.studies.space import as_word, distributions, ranges
from ml2020.studies.sweep import new_folder
from ml2020.studies.watch import Watch

SCHEMA = 1


def new_search(cfg: Any, typed: list[str]) -> None:
    """Begin a search over the ranges that were typed, else those of the experiment's study, else those of the task."""
    from omegaconf import OmegaConf

    options = OmegaConf.to_container(cfg.sweep)
    for key, least in (("n_trials", 1), ("warmup", 0), ("startup", 1), ("seed", 0)):
        at_least(least, options[key], f"sweep.{key}")
    space, fixed = ranges(cfg, typed)
    main = OmegaConf.to_container(cfg.task.main)
    wanted = objectives_of(options["objectives"], main)
    if len(wanted) > 1 and options["pruner"] != "none":
        options["pruner"] = "none"  # several objectives have no median
    folder = new_folder(cfg)
    first = Job(0, "", [*fixed, *(f"{key}={text}" for key, text in probe(cfg, space).items())], folder / "0")
    warm_up(first.composed[0], [o.input_line for o in parse(typed).for_hydra])
    open_study_module()
    folder.mkdir(parents=True, exist_ok=True)
    said = {"schema": SCHEMA, "typed": typed, "fixed": fixed, "space": space, "main": main, "options": options}
    RunFolder(folder).write_json("search.json", said)
    Search(folder, said).work([o.input_line for o in parse(typed).for_hydra])


def probe(cfg: Any, space: dict[str, str]) -> dict[str, str]:
    """The lowest value of every range: a config that is checked before anything is made."""
    return {key: as_word(one.choices[0] if hasattr(one, "choices") else one.low) for key, one in distributions(space).items()}


def open_study_module() -> None:
    """Refuse a search without optuna before its folder is there."""
    try:
        import optuna  # noqa: F401
    except ImportError:
        raise UserError("a search needs optuna; run: pip install optuna") from None


def resume_search(folder: Path, changes: dict[str, Any], launcher: list[str]) -> None:
    """`resume=FOLDER [sweep.n_trials=n]` of a search: unfinished trials go on, then new ones follow until there are n in all."""
    if "max_epochs" in changes:
        raise TypedError("trainer.max_epochs cannot be changed in a search that goes on")
    said = read(folder)
    if (trials := changes.pop("n_trials", None)) is not None:
        said["options"]["n_trials"] = trials
        RunFolder(folder).write_json("search.json", said)
    Search(folder, said).work(launcher or [o.input_line for o in parse(said["typed"]).for_hydra], changes)


def read(folder: Path) -> dict[str, Any]:
    """search.json: what was typed, the ranges and the options. Raises UserError where it cannot be read."""
    try:
        said = json.loads((folder / "search.json").read_text())
        if isinstance(said["space"], dict) and isinstance(said["fixed"], list) and int(said["options"]["n_trials"]) > 0:
            distributions(said["space"])
            return said
    except (OSError, ValueError, KeyError, TypeError, RecursionError, TypedError):
        pass
    raise UserError(f"{folder / 'search.json'} cannot be read as the plan of a search")


class Search:
    """A search in a folder; this process may be one of several that work on it."""

    def __init__(self, folder: Path, said: dict[str, Any]) -> None:
        self.folder, self.said, self.options = folder, said, said["options"]
        self.space = distributions(said["space"])
        self.objectives: list[Objective] = objectives_of(self.options["objectives"], said["main"])
        directions = ["minimize" if one.goal == "min" else "maximize" for one in self.objectives]
        self.study = open_study(folder, directions=directions)

    def work(self, for_hydra: list[str], changes: dict[str, Any] | None = None) -> None:
        """Trials until there are as many as asked for, and the summary."""
        count = self.options["n_trials"]
        terminal.say(f"{count} trials, in {self.folder}", style="bold")
        with terminal.log_to(self.folder / "sweep.log"), summary.on_stop(self.folder):
            with Watch([], count) as watch:
                through_launcher(lambda launch: self.rounds(launch, watch, for_hydra, changes or {}), train_job, self.folder, for_hydra)
            summary.close(self.folder)
            say_more(self.folder)

    def rounds(self, launch: Any, watch: Watch, for_hydra: list[str], changes: dict[str, Any]) -> None:
        """What earlier processes left, then one batch of new trials after the other."""
        batch = self.left_behind()
        while batch or (batch := self.ask(at_once(self.options["at_once"], for_hydra))):
            for job in batch:
                prepare(job, changes, self.options["n_trials"])
            watch.add(batch)
            attempt([job for job in batch if RunFolder.open(job.folder).status == "waiting"], launch)
            for job in batch:
                self.tell(job)
            batch = []
        for job in map(self.job, self.trials("RUNNING")):  # of other processes, which tell their values themselves
            if (job.folder / "run.json").is_file():
                wait_for(job.folder)

    def left_behind(self) -> list[Job]:
        """Trials without an end that no process works on."""
        return [job for job in map(self.job, self.trials("RUNNING")) if not in_use(job.folder)]

    def trials(self, *states: str) -> list[Any]:
        return [trial for trial in self.study.get_trials(deepcopy=False) if trial.state.name in states]

    def ask(self, most: int) -> list[Job]:
        """At most so many new trials; none where there are as many as asked for."""
        with alone(self.folder):
            left = self.options["n_trials"] - len(self.study.get_trials(deepcopy=False))
            return [self.job(self.drawn()) for _ in range(min(most, left))]

    def drawn(self) -> Any:
        """A new trial. Its random numbers depend on its number alone: a search that was stopped draws what it would have drawn."""
        import optuna

        seed = self.options["seed"] * 100_003 + len(self.study.get_trials(deepcopy=False))
        learn = optuna.samplers.TPESampler(seed=seed, n_startup_trials=self.options["startup"])
        self.study.sampler = learn if self.options["sampler"] == "tpe" else optuna.samplers.RandomSampler(seed=seed)
        return self.study.ask(self.space)

    def job(self, trial: Any) -> Job:
        """The job of a trial."""
        words = [f"{key}={as_word(value)}" for key, value in trial.params.items()]
        label = " ".join(f"{key}={value:.4g}" if isinstance(value, float) else f"{key}={value}" for key, value in trial.params.items())
        facts = {"trial": {"number": trial.number, "startup": self.options["startup"], "warmup": self.options["warmup"]}}
        facts = facts if self.options["pruner"] == "median" else {}
        return Job(trial.number, label, [*self.said["fixed"], *words], self.folder / f"{trial.number}", facts)

    def tell(self, job: Job) -> None:
        """How a trial ended."""
        import optuna

        folder = RunFolder.open(job.folder)
        values, state = None, {"finished": "COMPLETE", "pruned": "PRUNED"}.get(folder.status, "FAIL")
        if state == "COMPLETE":
            values = values_of_run(folder, self.objectives)
            state = state if values else "FAIL"
        trial = next(trial for trial in self.study.get_trials(deepcopy=False) if trial.number == job.number)
        if not trial.state.is_finished():
            self.study.tell(job.number, values, state=optuna.trial.TrialState[state])


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """No other process asks for trials meanwhile."""
    with (folder / ".ask").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def at_once(said: int | None, for_hydra: list[str]) -> int:
    """Trials asked for together: as said, else as many as joblib has workers, else 1."""
    if said is not None:
        return max(1, said)
    if "hydra/launcher=joblib" not in for_hydra:
        return 1
    typed = [word.partition("=")[2] for word in for_hydra if word.startswith("hydra.launcher.n_jobs=")]
    workers = int(typed[-1]) if typed else -1
    return workers if workers > 0 else os.cpu_count() or 1


def say_more(folder: Path) -> None:
    """What only a search can say: which keys mattered, what pruning saved, and with several objectives the best compromises."""
    said = read(folder)
    search = Search(folder, said)
    shares = importances(search)
    if shares:
        terminal.say("importance: " + ", ".join(f"{key} {share:.2f}" for key, share in shares.items()))
    runs = [RunFolder.open(path.parent).facts for path in folder.glob("*/run.json")]
    steps = {status: [facts["steps"] for facts in runs if facts["status"] == status] for status in ("finished", "pruned")}
    if steps["pruned"] and steps["finished"]:
        taken, whole = sum(map(sum, steps.values())), max(steps["finished"]) * sum(map(len, steps.values()))
        terminal.say(f"pruning: {len(steps['pruned'])} trials broken off; {taken:,} steps taken, {whole:,} without it")
    content = json.loads((folder / "sweep.json").read_text()) | {"importances": shares}
    if len(search.objectives) > 1:
        content["pareto"] = pareto(search)
    RunFolder(folder).write_json("sweep.json", content)


def importances(search: Search) -> dict[str, float]:
    """Share of each key in the variance of the first objective (fANOVA), largest first; {} where there are too few trials."""
    import optuna

    done = search.trials("COMPLETE")
    if len(done) < 4 or len(search.space) < 2:
        return {}
    target = None if len(search.objectives) == 1 else lambda trial: trial.values[0]
    try:
        return optuna.importance.get_param_importances(search.study, target=target)
    except (RuntimeError, ValueError):  # all trials alike
        return {}


def pareto(search: Search) -> list[dict[str, Any]]:
    """The trials that no other beats in every objective: said, drawn (pareto.png) and given."""
    from ml2020.studies.picture import pareto_picture

    names = [one.name for one in search.objectives]
    best = sorted(search.study.best_trials, key=lambda trial: trial.values)
    terminal.say("no other trial is better in every objective:")
    terminal.table([("trial", *names), *((str(t.number), *(f"{v:.4g}" for v in t.values)) for t in best)])
    points = [trial.values for trial in search.trials("COMPLETE")]
    pareto_picture(points, [trial.values for trial in best], names).savefig(search.folder / "pareto.png", dpi=110)
    return [{"folder": str(trial.number), "values": list(trial.values), "params": trial.params} for trial in best]
