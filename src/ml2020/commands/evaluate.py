"""eval.py: measure a finished run again, or write the course's submission file. Its folder and nothing else is needed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from ml2020.commands.guard import guarded
from ml2020.core import capabilities
from ml2020.core.errors import TypedError

if TYPE_CHECKING:
    from ml2020.core.data import DataModule
    from ml2020.core.folder import RunFolder
    from ml2020.core.module import Module


def evaluate(argv: list[str] | None = None) -> int:
    """`python eval.py run=... do=...`; gives the exit status."""
    words = sys.argv[1:] if argv is None else argv

    def work() -> None:
        """The page of help, or what `do=` says."""
        if not words or {"-h", "--help"} & set(words):
            from ml2020.commands.help import eval_page

            print(eval_page())
            return
        if flags := [word for word in words if word.startswith("-")]:
            raise TypedError(f"{flags[0]} is not an option of eval.py; see python eval.py --help")
        from ml2020.core.config import load

        cfg, _ = load("eval", words)
        perform(cfg)

    return guarded(work, trace="trace=true" in words)


def perform(cfg: DictConfig) -> None:
    """Do what `do=` says with the run in `run=`."""
    from ml2020.core.folder import RunFolder

    if not cfg.run:
        raise TypedError("say which run: run=outputs/<task>/<date>_<time>")
    path = Path(cfg.run)
    if not path.is_dir():
        raise TypedError(f"there is no folder {path}")
    folder = RunFolder.open(path)
    if cfg.do == "report":
        from ml2020.commands.page import write_page

        print(write_page(folder))
        return
    changes = {"data.path": cfg.data_path, "data.cache_dir": cfg.cache_dir, "trainer.gpus": cfg.gpus}
    config = folder.whole_config()
    capabilities.refuse(config, cfg.do, f"do={cfg.do}")
    for key, value in changes.items():
        if value is not None:
            _change(config, key, value)
    {"test": _test, "predict": _predict, "export": _export}[cfg.do](config, folder)


def _change(config: dict[str, Any], key: str, value: Any) -> None:
    group, name = key.split(".")
    if name not in config[group]:
        raise TypedError(f"{key.replace('.', '_')}= has no meaning for this run: its data has no {name}")
    config[group][name] = value


def _reopen(config: dict[str, Any], folder: RunFolder) -> tuple[DataModule, Module]:
    """Data and model of the run, with the weights that it tested, on the device that it names."""
    from ml2020.core import devices, terminal
    from ml2020.core.assemble import restore

    config["trainer"] |= {"devices": 1, "num_nodes": 1}
    devices.set_threads(config["trainer"]["threads"] or folder.facts.get("threads"))
    data, module = restore(config, folder.path)
    if data.fingerprint != folder.facts.get("data", {}).get("fingerprint"):
        terminal.warn("the data is not what the run was trained on: its files, its generator or a package has changed")
    return data, module


def _test(config: dict[str, Any], folder: RunFolder) -> None:
    """Every split with known answers, measured again."""
    data, module = _reopen(config, folder)
    from ml2020.core import assemble, report, terminal

    content, _ = report.metrics(config["task"]["main"], assemble.evaluate(config, module, data.evaluation_loaders()))
    terminal.say(f"{folder.path}: {report.headline(config, folder.facts)}")
    terminal.say(report.data_line(folder.facts))
    terminal.table(report.rows(config, folder.facts, content))


def _predict(config: dict[str, Any], folder: RunFolder) -> None:
    """The file that the course asks for: submission.csv, unless the homework writes another."""
    data, module = _reopen(_in_single_precision(config), folder)
    import torch

    from ml2020.core import assemble, terminal

    with torch.inference_mode():
        device = assemble.make_trainer(config).strategy.root_device
        module.to(device).eval()
        name, content, words = module.submission(data)
    folder.write_bytes(name, content)
    terminal.say(f"{folder.path / name}: {words}")


def _export(config: dict[str, Any], folder: RunFolder) -> None:
    """The network as ONNX and as torch.export's program."""
    data, module = _reopen(_in_single_precision(config), folder)
    from ml2020.commands.export import export
    from ml2020.core import terminal

    loader = next(iter(data.evaluation_loaders().values()))
    terminal.table([("file", "KB", "largest difference"), *export(folder, module, module.export_example(next(iter(loader))))])
    terminal.say(str(folder.path / "export"))


def _in_single_precision(config: dict[str, Any]) -> dict[str, Any]:
    """What goes into a network outside Lightning's loops is not made double by it."""
    return config | {"trainer": config["trainer"] | {"precision": "32-true"}} if config["trainer"]["precision"] == "64-true" else config
