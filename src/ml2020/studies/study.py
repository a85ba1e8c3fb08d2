"""An experiment with a `study:` block: arms x grid x seeds, a table with means and spreads, and a figure."""

from __future__ import annotations

import csv
import importlib
import itertools
import json
import os
import statistics
from pathlib import Path
from typing import Any

import yaml

from ml2020.core import terminal
from ml2020.core.conf import CONF, dotted
from ml2020.core.config import parse
from ml2020.core.errors import TypedError, UserError
from ml2020.core.folder import RunFolder
from ml2020.studies import summary
from ml2020.studies.jobs import Job, check_all, command, run_jobs, safe

KEYS = ("arms", "grid", "seeds", "search", "table", "figure")


def run_study(cfg: Any, choices: dict[str, str | None], typed: list[str], launcher: list[str] | None = None) -> None:
    """Run what is missing of `python train.py experiment=NAME ...`, then write table and figure into the study's folder."""
    from omegaconf import OmegaConf

    name = choices["experiment"]
    study = check(OmegaConf.to_container(cfg.study), name)
    if cfg.quick:  # a quick study keeps the quick lengths
        short = set(cfg.task.get("quick") or {})
        study["arms"] = {label: [word for word in arm if word.partition("=")[0] not in short] for label, arm in study["arms"].items()}
    word = "_".join(filter(None, [name, cfg.name, "quick" if cfg.quick else None]))
    folder = Path(cfg.output_dir) / cfg.task.name / "sweeps" / word
    for_hydra = launcher or [o.input_line for o in parse(typed).for_hydra]
    jobs = plan(study, [word for word in typed if not word.startswith("hydra")], folder)
    check_all(jobs)
    terminal.say(f"{name}: {len(jobs)} jobs, in {folder}", style="bold")
    whole = RunFolder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with whole.locked(), terminal.log_to(folder / "study.log"):
        whole.write_json("study.json", {"schema": 1, "experiment": name, "typed": typed, "study": study})
        with summary.on_stop(folder):
            run_jobs(jobs, for_hydra)
        show(study, summary.close(folder, ranked_too=False), folder)


def resume_study(folder: Path, changes: dict[str, Any], launcher: list[str]) -> None:
    """`resume=FOLDER` of a study: the same words again; finished jobs stay as they are."""
    said = read(folder)
    if "max_epochs" in changes:
        raise TypedError("trainer.max_epochs cannot be changed in a study that goes on")
    if "n_trials" in changes:
        raise TypedError("sweep.n_trials is of a search; a study has a fixed list of jobs")
    words = [*said["typed"], *(f"trainer.{key}={value}" for key, value in changes.items())]
    from ml2020.core.config import load

    cfg, choices = load("train", [word for word in words if not word.startswith("hydra")])
    cfg.output_dir = str(folder.resolve().parents[2])
    run_study(cfg, choices, words, launcher)


def read(folder: Path) -> dict[str, Any]:
    """study.json: what was typed, and the block of the experiment. Raises UserError where it cannot be read."""
    try:
        said = json.loads((folder / "study.json").read_text())
        if isinstance(said["typed"], list) and isinstance(said["study"]["arms"], dict) and isinstance(said["study"]["grid"], dict):
            return said
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        pass
    raise UserError(f"{folder / 'study.json'} cannot be read as the JSON of a study")


def check(study: dict[str, Any], name: str) -> dict[str, Any]:
    """The block with its defaults. Raises TypedError for a key that a study does not have, or values of the wrong kind."""
    file = f"conf/experiment/{name}.yaml"
    if strange := set(study) - set(KEYS):
        raise TypedError(f"study: has no key {sorted(strange)[0]}; it takes {', '.join(KEYS)} ({file})")
    study = {"arms": None, "grid": {}, "seeds": [0], "search": {}, "table": [], "figure": None} | study
    if study["arms"] is None:
        study["arms"] = {"": []}
    if not isinstance(study["arms"], dict) or not all(isinstance(words, list) for words in study["arms"].values()):
        raise TypedError(f"study.arms takes label: [key=value, ...] ({file})")
    if not all(isinstance(values, list) and values for values in study["grid"].values()):
        raise TypedError(f"study.grid takes key: [value, ...] ({file})")
    if not isinstance(study["search"], dict) or not all(isinstance(text, str) for text in study["search"].values()):
        raise TypedError(f"study.search takes key: range, such as interval(0,1) ({file})")
    if study["figure"] is not None and not str(study["figure"]).startswith("ml2020.tasks."):
        raise TypedError(f"study.figure names a function of a homework's figures.py, not {study['figure']} ({file})")
    return study


def plan(study: dict[str, Any], typed: list[str], folder: Path) -> list[Job]:
    """The jobs, seed by seed, so that a study broken off in the middle has every arm."""
    said = {word.partition("=")[0] for word in typed}
    seeds = [int(word.partition("=")[2]) for word in typed if word.startswith("seed=")] or study[
        "seeds"
    ]  # one that is typed stands alone
    typed = [word for word in typed if not word.startswith("seed=")]
    jobs = []
    points = list(itertools.product(*([(key, value) for value in values] for key, values in study["grid"].items())))
    for seed in seeds:
        for (label, arm), point in itertools.product(study["arms"].items(), points):
            words = [*arm, *(f"{key}={_word(value)}" for key, value in point)]
            if clash := said & {word.partition("=")[0] for word in words}:
                raise TypedError(f"{sorted(clash)[0]}= cannot be typed here: it is what the study varies")
            title = ", ".join(filter(None, [label, *(f"{key.rpartition('.')[2]} {value}" for key, value in point)]))
            place = folder / f"{len(jobs):03}_{safe(title)}_seed{seed}"
            line = [*typed, *words, f"seed={seed}"]
            facts = {"label": title, "command": command(_alone(line))}
            jobs.append(Job(len(jobs), f"{title}, seed {seed}", line, place, facts))
    return jobs


def _alone(words: list[str]) -> list[str]:
    """What would be typed to run one job outside its study: instead of the experiment what its file says, unless a word says other."""
    line: dict[str, str] = {}
    for word in words:
        for said in _said_by(word.partition("=")[2]) if word.startswith("experiment=") else [word]:
            line[said.partition("=")[0]] = said
    return list(line.values())


def _said_by(experiment: str) -> list[str]:
    """The choices and values of an experiment's file as words of a command line."""
    content = yaml.safe_load((CONF / "experiment" / f"{experiment}.yaml").read_text())
    chosen = [choice for choice in content.pop("defaults", []) if isinstance(choice, dict)]
    words = [f"{group.rpartition('/')[2]}={option}" for choice in chosen for group, option in choice.items()]
    return words + [f"{key}={_word(value)}" for key, value in dotted(content).items() if not key.startswith("study.")]


def table(study: dict[str, Any], rows: list[dict[str, Any]]) -> list[list[str]]:
    """Header, then a row an arm in the order of the study: the mean and standard deviation over its seeds of each metric."""
    names = study["table"] or ["main"]
    lines = [["", *(f"{name} {what}" for name in names for what in ("mean", "sd")), "seeds"]]
    for label in dict.fromkeys(row["label"] for row in sorted(rows, key=lambda row: row["folder"])):
        own = [row for row in rows if row["label"] == label and row["status"] == "finished"]
        cells = []
        for name in names:
            values = [row[name] for row in own if row.get(name) is not None]
            mean = f"{statistics.mean(values):.4f}" if values else ""
            cells += [mean, f"{statistics.stdev(values):.4f}" if len(values) > 1 else ""]
        lines.append([label, *cells, str(len(own))])
    return lines


def show(study: dict[str, Any], rows: list[dict[str, Any]], folder: Path) -> None:
    """table.csv and figure.png in the study's folder, and the table on the terminal."""
    lines = table(study, rows)
    with (folder / "table.csv.tmp").open("w", newline="", encoding="utf8") as stream:
        csv.writer(stream, lineterminator="\n").writerows(lines)
    os.replace(folder / "table.csv.tmp", folder / "table.csv")
    terminal.table([tuple(line) for line in lines])
    if study["figure"]:
        from ml2020.core import history

        module, _, function = study["figure"].rpartition(".")
        drawn = [
            row | {"history": history.read(folder / row["folder"]), "path": folder / row["folder"]}
            for row in sorted(rows, key=lambda row: row["folder"])
        ]
        figure = getattr(importlib.import_module(module), function)(drawn, study["table"])
        figure.savefig(folder / "figure.png", dpi=110)
        terminal.say(f"{folder}/table.csv, figure.png; to keep them: ml2020 record {folder}")


def comment(name: str) -> str:
    """The first comment of an experiment's file: command, expected figure, time."""
    lines = (CONF / "experiment" / f"{name}.yaml").read_text().splitlines()
    return "\n".join(line.removeprefix("#").strip() for line in itertools.takewhile(lambda l: l.startswith("#"), lines[1:]))


def _word(value: Any) -> str:
    return value if isinstance(value, str) else yaml.safe_dump(value, default_flow_style=True).strip().removesuffix("...").strip()
