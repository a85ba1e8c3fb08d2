"""experiments/NAME: what a finished run showed, copied from its folder by the program, never typed."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path
from typing import Any

from ml2020.core.errors import TypedError, UserError
from ml2020.core.folder import RunFolder


def record(path: Path, name: str | None = None, root: Path | None = None) -> Path:
    """Write README.md, table.csv, facts and figures of the run in `path` to `root`/NAME; gives that folder.

    Without a name it is called by the run's task, model and data. A record that is there is replaced by a run of the same name only.
    """
    if not path.is_dir():
        raise TypedError(f"there is no folder {path}")
    folder = RunFolder.open(path)
    if folder.facts["status"] != "finished":
        raise UserError(f"{path} is {folder.facts['status']}, not finished; only finished runs are recorded")
    name = name or "_".join(dict.fromkeys([folder.facts["task"], folder.facts["model"], folder.facts["data_option"]]))
    if not re.fullmatch(r"[\w.-]+", name):
        raise TypedError(f"{name} cannot be the name of a folder; use letters, digits, - and _")
    target = (root or Path(__file__).resolve().parents[3] / "experiments") / name
    metrics = json.loads((path / "metrics.json").read_text())
    shutil.rmtree(target, ignore_errors=True)
    (target / "figures").mkdir(parents=True)
    for figure in sorted((path / "figures").glob("*")):
        shutil.copyfile(figure, target / "figures" / figure.name)
    for file in ("metrics.json", "metrics.csv", "submission.csv"):
        if (path / file).is_file():
            shutil.copyfile(path / file, target / file)
    facts = {key: value for key, value in folder.facts.items() if key not in ("spec", "schema")}
    (target / "run.json").write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
    with (target / "table.csv").open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["metric", "value"])
        writer.writerows(_table(metrics))
    (target / "README.md").write_text(_page(name, folder.facts, metrics, sorted(f.name for f in (target / "figures").iterdir())))
    return target


def _table(metrics: dict[str, Any]) -> list[tuple[str, float]]:
    return [(f"{split}/{key}", value) for split, values in metrics.items() if split not in ("main", "nonfinite") for key, value in values.items()]


def _page(name: str, facts: dict[str, Any], metrics: dict[str, Any], figures: list[str]) -> str:
    data, machine = facts["data"], facts["machine"]
    counts = ", ".join(f"{count:,} {words}" for words, count in data["counts"].items())
    main = metrics["main"]
    lines = [
        f"# {name}",
        "",
        f"    {facts['command']}",
        "",
        f"One run, seed {facts['seed']}, written by `ml2020 record` from the run's folder.",
        "",
        f"- Main metric: {main['name']} = {main['value']:.4f}",
        f"- Data: {data['name']} ({data['kind']}; {data['licence']}): {counts}",
        f"- Model: {facts['model']}, {facts['parameters']:,} parameters",
        f"- Took {facts['seconds']:,.0f} s on {facts['device']} with {facts['threads']} thread(s), {machine['processor']}",
        f"- Commit {facts['git']}, " + ", ".join(f"{package} {version}" for package, version in facts["versions"].items()),
        "",
        "| metric | value |",
        "| --- | --- |",
        *(f"| {metric} | {value:.4f} |" for metric, value in _table(metrics) if value is not None),
        "",
        *(f"![{Path(figure).stem}](figures/{figure})" for figure in figures),
        "",
    ]
    return "\n".join(lines)
