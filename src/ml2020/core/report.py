"""The words of a run: headline, closing table, metrics.json, the hparams page. Nothing here computes."""

from __future__ import annotations

import math
from typing import Any

from ml2020.core import terminal
from ml2020.core.folder import RunFolder


def headline(config: dict[str, Any], facts: dict[str, Any]) -> str:
    """Which homework, which model, which seed."""
    return f"{facts['model']}, {facts['parameters']:,} parameters · seed {config['seed']}"


def data_line(facts: dict[str, Any]) -> str:
    """What it is trained on, and what that data is."""
    data = facts["data"]
    counts = ", ".join(f"{count:,} {split}" for split, count in data["counts"].items())
    return f"on {data['name']} ({data['kind']}): {counts}"


def metrics(main: dict[str, str], results: dict[str, dict[str, float]]) -> tuple[dict[str, Any], list[str]]:
    """The content of metrics.json, and the names of metrics that are not finite."""
    nonfinite = []
    content: dict[str, Any] = {}
    for split, values in results.items():
        content[split], bad = split_finite(values)
        nonfinite += [f"{split}/{name}" for name in bad]
    split, _, name = main["name"].partition("/")
    content = {"main": main | {"value": content.get(split, {}).get(name)}} | content
    return content | ({"nonfinite": nonfinite} if nonfinite else {}), nonfinite


def flat(content: dict[str, Any]) -> dict[str, float | None]:
    """{split/name: value} of a metrics.json; a word where a number belongs is left out."""
    splits = {split: values for split, values in content.items() if split not in ("main", "nonfinite")}
    return {
        f"{split}/{key}": value
        for split, values in splits.items()
        for key, value in values.items()
        if value is None or isinstance(value, int | float)
    }


def split_finite(values: dict[str, float]) -> tuple[dict[str, float | None], list[str]]:
    """Numbers for JSON: what is not finite becomes null and is named."""
    bad = [name for name, value in values.items() if not math.isfinite(value)]
    return {name: None if name in bad else value for name, value in values.items()}, bad


def value_of(content: dict[str, Any], name: str) -> float | None:
    """The metric `split/name` of a metrics.json."""
    split, _, key = name.partition("/")
    return content.get(split, {}).get(key)


def rows(config: dict[str, Any], facts: dict[str, Any], content: dict[str, Any]) -> list[tuple[str, ...]]:
    """(words, value, remark) of the closing table, in the order of the task's YAML."""
    task = config["task"]
    known = {name: value_of(content, name) for name in task["table"]}
    remarks = (task.get("reference") or {}) if facts["data"]["kind"] == "course" else {}
    shown = [(words, f"{known[name]:.3f}", remarks.get(name, "")) for name, words in task["table"].items() if known[name] is not None]
    return shown if any(row[2] for row in shown) else [row[:2] for row in shown]


def closing(config: dict[str, Any], folder: RunFolder, content: dict[str, Any], seconds: float) -> None:
    """The table, the folder, what to look at and what to type next."""
    terminal.table(rows(config, folder.facts, content))
    figures = sorted(file.name for file in (folder.path / "figures").glob("*.*"))
    terminal.say(f"{folder.path}   {seconds:.0f} s")
    if figures:
        terminal.say(f"figures: {', '.join(figures)}")
    terminal.say("next: make board" + "".join(f"\n      {line}" for line in config["task"].get("next") or []))


def what_to_look_at(config: dict[str, Any]) -> str:
    """The text panel of TensorBoard, in Markdown."""
    task = config["task"]
    lines = [f"## {task['title']}", "", *(f"- {line}" for line in task.get("look") or [])]
    commands = "\n".join(f"    {line}" for line in task.get("next") or [])
    return "\n".join(lines) + ("\n\nTo try:\n\n" + commands if commands else "")


def hparams_columns(config: dict[str, Any], facts: dict[str, Any]) -> dict[str, Any]:
    """The fixed columns of the hparams page: the same for every run, plain values, no None."""
    optimizer = config["optimizer"]
    return {
        "task": config["task"]["name"],
        "model": facts["model"],
        "data": facts["data_option"],
        "optimizer": optimizer["_target_"].rpartition(".")[2],
        "lr": float(optimizer["lr"]),
        "weight_decay": float(optimizer.get("weight_decay") or 0.0),
        "batch_size": int(config["data"].get("batch_size") or 0),
        "max_epochs": int(config["trainer"]["max_epochs"]),
        "seed": int(config["seed"]),
        "typed": " ".join(facts["overrides"]) or "(nothing)",
        "main": config["task"]["main"]["name"],
    }


def hparams_metrics(content: dict[str, Any]) -> dict[str, float]:
    """The fixed metrics of the hparams page: the main metric, and the same measure on the test split where there is one."""
    name = content["main"]["name"].partition("/")[2]
    test = content.get("test", {}).get(name)
    return {"final/main": content["main"]["value"]} | ({"final/test": test} if test is not None else {})
