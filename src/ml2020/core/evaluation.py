"""eval.py: measure a finished run again, or write the course's submission file. Its folder and nothing else is needed."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import torch
from omegaconf import DictConfig

from ml2020.core import devices, report, terminal
from ml2020.core.errors import TypedError, UserError
from ml2020.core.run import evaluate, make_trainer, reopen, restore


def perform(cfg: DictConfig) -> None:
    """Do what `do=` says with the run in `run=`."""
    if not cfg.run:
        raise TypedError("say which run: run=outputs/<task>/<date>_<time>")
    path = Path(cfg.run).expanduser()
    if not path.is_dir():
        raise TypedError(f"there is no folder {path}")
    changes = {"data.path": cfg.data_path, "data.cache_dir": cfg.cache_dir, "trainer.gpus": cfg.gpus}
    config, folder = reopen(path, {key: value for key, value in changes.items() if value is not None})
    devices.set_threads(config["trainer"]["threads"] or folder.facts.get("threads"))
    data, module = restore(config, path)
    if data.fingerprint != folder.facts["data"]["fingerprint"]:
        terminal.warn("the data is not what the run was trained on: its files, its generator or a package has changed")
    if cfg.do == "test":
        results = evaluate(config, module, data.evaluation_loaders())
        content, _ = report.metrics(config["task"]["main"], results)
        terminal.say(f"{path}: {report.headline(config, folder.facts)}")
        terminal.say(report.data_line(folder.facts))
        terminal.table(report.rows(config, folder.facts, content))
    else:
        if not hasattr(module, "predict_rows"):
            raise TypedError(f"{config['task']['name']} writes no submission; it can do=test")
        with torch.inference_mode():
            trainer = make_trainer(config)
            module.to(trainer.strategy.root_device).eval()
            header, rows = module.predict_rows(data.predict_loader().to(trainer.strategy.root_device))
        folder.write_text("submission.csv", _as_csv([header, *rows]))
        terminal.say(f"{path / 'submission.csv'}: {len(rows):,} rows, {','.join(header)}")


def _as_csv(rows: list[tuple]) -> str:
    if len(rows) < 2:
        raise UserError("there is nothing to predict: the data has no pictures without labels")
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(rows)
    return stream.getvalue()
