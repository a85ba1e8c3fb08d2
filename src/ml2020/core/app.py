"""The two commands, train.py and eval.py: from the words of a command line to a run and an exit status.

Order matters: keys, options and types are answered before torch is imported, and before anything is created.
"""

from __future__ import annotations

import os
import re
import sys
import traceback
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from ml2020.core.errors import TypedError, UserError, at_least

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


def evaluate(argv: list[str] | None = None) -> int:
    """`python eval.py run=... do=...`; gives the exit status."""
    words = sys.argv[1:] if argv is None else argv

    def work() -> None:
        if not words or words[0] in ("-h", "--help"):
            from ml2020.core.help import eval_page

            print(eval_page())
            return
        from ml2020.core.config import load

        cfg, _ = load("eval", words)
        from ml2020.core.evaluation import perform

        perform(cfg)

    return guarded(work, trace="trace=true" in words)


def guarded(work: Callable[[], None], trace: bool = False) -> int:
    """Run `work` and word what ends it: 0, 2 for what was typed, 1 for all else, 128 + n after signal n."""
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # Hydra raises instead of printing, and the error is worded here
    try:
        work()
    except UserError as error:
        if trace:
            traceback.print_exc()
        print(error, file=sys.stderr)
        return error.status
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 1
    except Exception as error:
        if trace:
            traceback.print_exc()
        first = str(error).strip().splitlines() or ["no message"]
        print(f"{type(error).__name__}: {first[0]} (trace=true shows where)", file=sys.stderr)
        return 1
    return 0


def _train(words: list[str]) -> None:
    flags = [word for word in words if word.startswith("-")]
    typed = [word for word in words if not word.startswith("-")]
    if not words or "--help" in flags or "-h" in flags:
        from ml2020.core.help import train_page

        print(train_page())
        return
    if flags == ["--cfg"] and "job" in typed:
        return _show_config([word for word in typed if word != "job"])
    if any(flag.split("=")[0] in _HYDRA_FLAGS for flag in flags):
        return _through_hydra(words)
    if strange := [flag for flag in flags if flag not in ("-m", "--multirun")]:
        raise TypedError(f"{strange[0]} is not an option of train.py; see python train.py --help")
    from ml2020.core.conf import options
    from ml2020.core.config import load

    cfg, choices = load("train", typed, multirun=bool(flags))
    if cfg.task is None:
        raise TypedError(f"say which task: task=..., one of {', '.join(options('task'))}")
    if flags:
        return _through_hydra(words)
    _start(cfg, choices, words, None)


def _show_config(words: list[str]) -> None:
    """`--cfg job`, as Hydra's own, but with what a model or data brings along."""
    from omegaconf import OmegaConf

    from ml2020.core.config import load

    print(OmegaConf.to_yaml(load("train", words)[0]), end="")


def _start(cfg, choices: dict[str, str | None], words: list[str], folder: Path | None) -> None:
    """Hand a checked config to the run. From here on torch is there."""
    from omegaconf import OmegaConf

    config = OmegaConf.to_container(cfg, resolve=True)
    at_least(0, config["seed"], "seed")
    if not re.fullmatch(r"[\w.-]*", config["name"] or ""):
        raise TypedError(f"name={config['name']} goes into the name of a folder; use letters, digits, - and _")
    if folder is None:
        name = f"{datetime.now():%Y-%m-%d_%H-%M-%S}" + (f"_{config['name']}" if config["name"] else "")
        folder = Path(config["output_dir"]) / config["task"]["name"] / name
    facts = {
        "command": " ".join(["python train.py", *words]),
        "overrides": [word for word in words if not word.startswith("task=")],
        "model": choices["model"],
        "data_option": choices["data"],
    }
    from ml2020.core import terminal

    terminal.say(f"{config['task']['name']} · {config['task']['title']}", style="bold")  # something to read while torch is loading
    from ml2020.core.run import run

    run(config, folder, facts)


def _through_hydra(words: list[str]) -> None:
    """Give Hydra control: to show configs, to complete words, to sweep."""
    import hydra
    from hydra.core.hydra_config import HydraConfig
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from ml2020.core.conf import CONF
    from ml2020.core.config import load, parse

    parse([word for word in words if "=" in word and not word.startswith("-")])

    def job(_) -> None:
        hydra_config = HydraConfig.get()
        cfg, choices = load("train", list(hydra_config.overrides.task))
        _start(cfg, choices, list(hydra_config.overrides.task), Path(hydra_config.runtime.output_dir))

    sys.argv = [sys.argv[0], *words]
    try:
        hydra.main(version_base="1.3", config_path=str(CONF), config_name="train")(job)()
    except (HydraException, OmegaConfBaseException) as error:
        load("train", [w for w in words if "=" in w and not w.startswith("-")], multirun=True)  # words the mistake
        raise TypedError(str(error).splitlines()[0]) from error
