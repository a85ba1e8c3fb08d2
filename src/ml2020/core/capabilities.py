"""What a homework can do, and the sentence where it cannot.

Everything works unless the YAML of the task, or of one of its models, says otherwise:

    cannot:
      predict: homework 15 has no submission
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ml2020.core.errors import TypedError

# What is asked for, by the trainer's keys. predict and export are asked for by eval.py do=, resume by train.py resume=.
ASKED = {
    "ddp": lambda t: t["devices"] > 1 or (t["gpus"] or 0) not in (0, 1),
    "precision": lambda t: t["precision"] != "32-true",
    "ema": lambda t: t["ema_decay"] > 0,
    "accumulate": lambda t: t["accumulate"] > 1,
    "clip": lambda t: t["clip_norm"] > 0,
    "early_stopping": lambda t: t["patience"] > 0,
    "channels_last": lambda t: t["channels_last"],
    "compile": lambda t: t["compile"],
}
NAMES = (*ASKED, "resume", "predict", "export")
_TYPED = {"ddp": "trainer.devices", "ema": "trainer.ema_decay", "clip": "trainer.clip_norm", "early_stopping": "trainer.patience"}


def missing(config: Mapping[str, Any]) -> dict[str, str]:
    """{capability: why not} of a task and its model. Raises ValueError for a name that is none: the YAML is wrong."""
    said = dict(config["task"].get("cannot") or {}) | dict((config.get("model") or {}).get("cannot") or {})
    if strange := set(said) - set(NAMES):
        raise ValueError(f"cannot: names {sorted(strange)[0]}; there are {', '.join(NAMES)}")
    return said


def check(config: Mapping[str, Any]) -> None:
    """Refuse trainer settings that the homework cannot have. Raises TypedError."""
    for name, why in missing(config).items():
        if name in ASKED and ASKED[name](config["trainer"]):
            raise TypedError(f"{config['task']['name']} cannot have {_TYPED.get(name, f'trainer.{name}')}: {why}")


def refuse(config: Mapping[str, Any], name: str, typed: str) -> None:
    """Refuse what was typed if the homework cannot do `name`. Raises TypedError."""
    if why := missing(config).get(name):
        raise TypedError(f"{config['task']['name']} cannot {typed}: {why}")
