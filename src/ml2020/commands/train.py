"""python train.py: from the words of a command line to a run, a study, a sweep, or the rest of an interrupted one.

Order matters: keys, options and types are answered before torch is imported, and before anything is created.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from ml2020.commands.guard import guarded
from ml2020.core import processes, terminal
from ml2020.core.errors import TypedError

_LAUNCHER = ("hydra/launcher=", "hydra.launcher.")
_HYDRA_FLAGS = (
    "--cfg",
    "-c",
    "--info",
    "-i",
    "--shell-completion",
    "-sc",
    "--hydra-help",
    "--version",
    "--package",
    "-p",
    "--resolve",
)


def train(argv: list[str] | None = None) -> int:
    """`python train.py ...`; gives the exit status."""
    words = sys.argv[1:] if argv is None else argv
    return guarded(lambda: _train(words), trace="trace=true" in words)


def _train(words: list[str]) -> None:
    flags = [word for word in words if word.startswith("-")]
    typed = [word for word in words if not word.startswith("-")]
    if not words or "--help" in flags or "-h" in flags:
        from ml2020.commands.help import train_page

        print(train_page())
    elif flags in (["--cfg"], ["-c"]) and "job" in typed:
        _show_config([word for word in typed if word != "job"])
    elif flags in (["--cfg"], ["-c"]) and not {"hydra", "all"} & set(typed):
        raise TypedError(f"{flags[0]} needs one of job, hydra, all right behind it: python train.py task=hw03_cnn --cfg job")
    elif any(flag.split("=")[0] in _HYDRA_FLAGS for flag in flags):
        _through_hydra(words)
    elif strange := [flag for flag in flags if flag not in ("-m", "--multirun")]:
        raise TypedError(f"{strange[0]} is not an option of train.py; see python train.py --help")
    elif any(word.startswith("resume=") for word in typed):
        if flags:
            raise TypedError("resume= takes no -m: the folder knows whether it is a run, a study or a sweep")
        from ml2020.commands.resume import resume

        resume(typed)
    elif flags:
        _sweep(typed)
    else:
        _one(typed)


def _one(typed: list[str]) -> None:
    """A single run, or the study of an experiment."""
    from ml2020.core.config import plain
    from ml2020.core.folder import new_run

    here = processes.place()
    if here.rank:  # started by torchrun or Slurm: the first process composes, and tells the others which folder
        from ml2020.core.run import carry_out

        processes.join()
        return carry_out(Path(processes.told(None)))
    launcher = [word for word in typed if word.startswith(_LAUNCHER)]
    cfg, choices = _checked([word for word in typed if word not in launcher])
    if cfg.study is not None:
        if here.world > 1:
            raise TypedError("a study starts its own processes; type it without torchrun or srun")
        from ml2020.studies.study import run_study

        _checked(typed, multirun=True)  # the launcher's words
        return run_study(cfg, choices, typed)
    if launcher:
        raise TypedError(f"{launcher[0]} is for sweeps (-m) and studies; a single run takes trainer.devices, trainer.gpus and the like")
    if cfg.sweep.method != "grid":
        raise TypedError("sweep= is for sweeps; type python train.py -m, then the same words")
    config = plain(cfg)
    processes.check_world(config["trainer"])  # torchrun ends the other processes when this one ends; so does srun --kill-on-bad-exit
    folder = new_run(config, choices, typed)
    terminal.say(f"{config['task']['name']} · {config['task']['title']}", style="bold")  # something to read while torch is loading
    from ml2020.core.run import start

    if here.world > 1:
        processes.join()
        processes.told(str(folder.path))
    start(folder)


def _checked(typed: list[str], multirun: bool = False) -> tuple[Any, dict[str, str | None]]:
    from ml2020.core.conf import options
    from ml2020.core.config import load

    cfg, choices = load("train", typed, multirun=multirun)
    if cfg.task is None:
        raise TypedError(f"say which task: task=..., one of {', '.join(options('task'))}")
    return cfg, choices


def _show_config(words: list[str]) -> None:
    """`--cfg job`, as Hydra's own, but with what a model or data brings along."""
    from omegaconf import OmegaConf

    from ml2020.core.config import load

    print(OmegaConf.to_yaml(load("train", words)[0]), end="")


def _sweep(typed: list[str]) -> None:
    """`-m`: many jobs, each trained in a process of its own; a failing one stops no other."""
    cfg, _ = _checked(typed, multirun=True)
    from ml2020.core.config import parse

    if several := [o.input_line for o in parse(typed).groups if o.key_or_group in ("task", "experiment") and o.is_sweep_override()]:
        raise TypedError(f"{several[0]} names several homeworks, whose metrics cannot be ranked; type a line for each")
    if strange := [o.input_line for o in parse(typed).for_hydra if not o.input_line.startswith(_LAUNCHER)]:
        raise TypedError(f"{strange[0]} has no meaning here; of Hydra's keys hydra/launcher and hydra.launcher.* can be typed")
    if processes.place().world > 1:
        raise TypedError("a sweep starts its own processes; type it without torchrun or srun")
    if cfg.study is not None and cfg.sweep.method != "optuna":
        raise TypedError("an experiment with a study: block sweeps by itself; type it without -m")
    from ml2020.studies.sweep import new_sweep

    new_sweep(cfg, typed)


def _through_hydra(words: list[str]) -> None:
    """Give Hydra control: to show configs, to complete words."""
    import hydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from ml2020.core.conf import CONF
    from ml2020.core.config import load, parse

    parse([word for word in words if "=" in word and not word.startswith("-")])
    sys.argv = [sys.argv[0], *words]
    try:
        hydra.main(version_base="1.3", config_path=str(CONF), config_name="train")(lambda cfg: None)()
    except (HydraException, OmegaConfBaseException) as error:
        load("train", [w for w in words if "=" in w and not w.startswith("-")], multirun=True)  # words the mistake
        raise TypedError(str(error).splitlines()[0]) from error
