"""The help pages, written from the YAML files themselves. Imports neither Hydra nor torch."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

from ml2020.core.conf import CONF, options


def tasks() -> dict[str, str]:
    """{name: title} of every homework that has a file in conf/task/."""
    return {file.stem: _title(file) for file in sorted((CONF / "task").glob("*.yaml"))}


def _title(file: Path) -> str:
    found = re.search(r"^\s+title:\s*(.+?)\s*$", file.read_text(), re.M)
    return found[1].strip("\"'") if found else ""


def _listed(words: list[str], indent: int) -> str:
    return textwrap.fill(" ".join(words), 79 - indent).replace("\n", "\n" + " " * indent)


def train_page() -> str:
    """What `python train.py --help` prints."""
    lines = ["python train.py task=NAME [key=value ...]   one homework, from data to pictures", "", "Homeworks"]
    lines += [f"  task={name:<13} {title}" for name, title in tasks().items()]
    lines += ["", "Choices (each is a file: conf/<group>/<option>.yaml holds its keys)"]
    for group in ("model", "data", "optimizer", "scheduler", "experiment"):
        if found := options(group):
            lines.append(f"  {group + '=':<13} {_listed(found, 16)}")
    lines += [
        "",
        "Keys of every run",
        "  seed=0  quick=true  name=WORD  output_dir=outputs  data_dir=data  trace=true",
        "  trainer.gpus=1  trainer.max_epochs=20  trainer.threads=2  optimizer.lr=0.001",
        "",
        "Examples",
        "  python train.py task=hw03_cnn",
        "  python train.py task=hw03_cnn quick=true             about 20 seconds",
        "  python train.py task=hw03_cnn model=hw03_original seed=1",
        "  python train.py task=hw03_cnn data=hw03_food11 data_dir=PATH trainer.gpus=1",
        "  python train.py -m task=hw03_cnn optimizer.lr=0.001,0.004 seed=0,1",
        "  python train.py experiment=hw03_why_overfit     a study: table and figure",
        "  python train.py resume=FOLDER                   go on with a run or study",
        "",
        "  python train.py task=hw03_cnn --cfg job              every key and its value",
        "  python eval.py --help   ml2020 list   make board     what to do with a run",
    ]
    return "\n".join(lines)


def eval_page() -> str:
    """What `python eval.py --help` prints."""
    return "\n".join(
        [
            "python eval.py run=FOLDER do=test|predict|report|export",
            "",
            "  do=test       measure every split with known answers again",
            "  do=predict    write submission.csv into the folder, in the course's format",
            "  do=report     report.html: curves, figures and metrics on one page",
            "  do=export     export/: the network as ONNX and for torch.export, checked",
            "",
            "  data_path=PATH   where the data of the run is now, if it has moved",
            "  cache_dir=PATH   decoded and rendered data, if not where the run had it",
            "  gpus=0           measure on the CPU what was trained on a GPU",
            "",
            "Example",
            "  python eval.py run=outputs/hw03_cnn/2026-11-23_10-00-00 do=test",
        ]
    )
