"""experiments/NAME: what finished runs showed, copied from their folders by the program, never typed."""

from __future__ import annotations

import csv
import json
import re
import shlex
import shutil
import statistics
from pathlib import Path
from typing import Any

import yaml
from PIL import Image

from ml2020.core import report
from ml2020.core.conf import CONF
from ml2020.core.errors import TypedError, UserError
from ml2020.core.folder import RunFolder
from ml2020.studies.study import read

LARGE = 300_000  # bytes of a picture
_SAME = ("task", "model", "data_option")


def record(paths: list[Path], name: str | None = None, root: Path | None = None) -> Path:
    """Write README.md, table.csv, facts and figures of one run, or of several that differ in their seed, to `root`/NAME.

    Without a name it is called by task, model and data. Facts and figures are the first run's; the table has a column a run, the mean
    and the standard deviation. Raises TypedError or UserError for what is no run, not finished, or of another kind than the first.
    """
    if len(paths) == 1 and (paths[0] / "study.json").is_file():
        return record_study(paths[0], name, root)
    folders = [_finished(path) for path in paths]
    facts = folders[0].facts
    for folder in folders[1:]:
        if [folder.facts[key] for key in _SAME] != [facts[key] for key in _SAME]:
            raise TypedError(f"{folder.path} is a run of another task, model or data than {folders[0].path}; record them one by one")
    name = name or "_".join(dict.fromkeys(facts[key] for key in _SAME))
    rows = _rows(folders)
    page = _page(name, folders, rows)  # all is read before an earlier record of this name is emptied
    target = _empty(name, root)
    (target / "figures").mkdir(parents=True)
    for figure in _figures(folders[0]):
        _keep(figure, target / "figures" / figure.name)
    for file in sorted(folders[0].path.glob("*.csv")):  # the history, the submission, and tables that the model kept
        shutil.copyfile(file, target / file.name)
    kept = {key: value for key, value in facts.items() if key not in ("spec", "schema", "overrides")}
    kept["command"] = portable(kept["command"])
    (target / "run.json").write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
    with (target / "table.csv").open("w", newline="") as stream:
        csv.writer(stream, lineterminator="\n").writerows(rows)
    (target / "README.md").write_text(page)
    return target


def _empty(name: str, root: Path | None) -> Path:
    """The emptied folder of a record."""
    if not re.fullmatch(r"\w[\w.-]*", name):  # no .. above all: the folder is emptied
        raise TypedError(f"{name} cannot be the name of a folder; use letters, digits, - and _")
    target = (root or Path(__file__).resolve().parents[3] / "experiments") / name
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    return target


def _keep(file: Path, target: Path) -> None:
    """Copy a file; a large png is written with 256 colors, which is a third of the bytes: records stay in the history for good."""
    if file.suffix == ".png" and file.stat().st_size > LARGE:
        Image.open(file).convert("RGB").quantize(256).save(target, optimize=True)
    else:
        shutil.copyfile(file, target)


def record_study(path: Path, name: str | None = None, root: Path | None = None) -> Path:
    """Write README.md, table.csv, sweep.csv and figure.png of a finished study to `root`/NAME, by default under the study's name."""
    said = read(path)
    folders = [_finished(job) for job in sorted(job.parent for job in path.glob("*/run.json"))]
    if not folders or not (path / "table.csv").is_file():
        raise UserError(f"{path} has no table yet; to bring the study to its end: python train.py resume={path}")
    with (path / "table.csv").open(newline="") as stream:
        rows = list(csv.reader(stream))
    target = _empty(name or path.name, root)
    for file in ("table.csv", "figure.png"):
        if (path / file).is_file():
            _keep(path / file, target / file)
    with (path / "sweep.csv").open(newline="", encoding="utf8") as stream:
        jobs = list(csv.DictReader(stream))
    with (target / "sweep.csv").open("w", newline="", encoding="utf8") as stream:
        writer = csv.DictWriter(stream, list(jobs[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(job | {"overrides": portable(job["overrides"])} for job in jobs)
    (target / "README.md").write_text(_study_page(target, said, folders, rows))
    return target


def _study_page(target: Path, said: dict[str, Any], folders: list[RunFolder], rows: list[list[str]]) -> str:
    facts = folders[0].facts
    hours = sum(folder.facts["seconds"] for folder in folders) / 3600
    resumed = sum(bool(folder.facts.get("resumed")) for folder in folders)
    commits = sorted({str(folder.facts["git"]) for folder in folders})
    names = rows[0][1:-1:2]
    cells = [[row[0], *(_with_spread(*row[i : i + 2]) for i in range(1, len(row) - 1, 2)), row[-1]] for row in rows[1:]]
    lines = [
        f"# {target.name}",
        "",
        f"    {portable(shlex.join(['python', 'train.py', *said['typed']]))}",
        "",
        f"Written by `ml2020 record` from the folders of {len(folders)} jobs. Mean ± standard deviation over the seeds.",
        "",
        f"- Data: {facts['data']['name']} ({facts['data']['kind']}; {facts['data']['licence']}), "
        + ", ".join(f"{count:,} {words}" for words, count in facts["data"]["counts"].items())
        + " in the first job",
        f"- Took {hours:.1f} hours of {facts['threads']} thread(s) together; {resumed} job(s) were stopped and resumed",
        f"- {facts['machine']['processor']}; " + ", ".join(f"{package} {version}" for package, version in facts["versions"].items()),
        f"- Commit {', '.join(commits)}",
        "",
        "| arm | " + " | ".join(name.removesuffix(" mean") for name in names) + " | seeds |",
        "|" + " --- |" * (len(names) + 2),
        *("| " + " | ".join(row) + " |" for row in cells),
        "",
        "What an arm types:",
        "",
        *(f"- {label or 'the default'}: `{' '.join(words) or 'nothing'}`" for label, words in said["study"]["arms"].items()),
        *(f"- grid: `{key}` over {values}" for key, values in said["study"]["grid"].items()),
        "",
        *(["![figure](figure.png)", ""] if (target / "figure.png").is_file() else []),
    ]
    return "\n".join(lines)


def _with_spread(mean: str, spread: str) -> str:
    return f"{mean} ± {spread}" if spread else mean


def portable(command: str) -> str:
    """A command without the folders of one machine: where the data lay is PATH, where the run went does not matter."""
    words = [re.sub(r"^(data_dir|data\.path)=.*", r"\1=PATH", word) for word in command.split()]
    return " ".join(word for word in words if not word.startswith(("output_dir=", "cache_dir=", "name=", "trainer.threads=")))


def _finished(path: Path) -> RunFolder:
    if not path.is_dir():
        raise TypedError(f"there is no folder {path}")
    folder = RunFolder.open(path)
    if folder.facts["status"] != "finished":
        raise UserError(f"{path} is {folder.facts['status']}, not finished; only finished runs are recorded")
    return folder


def _figures(folder: RunFolder) -> list[Path]:
    """The figures that may be published: pictures of somebody else's files stay where they are."""
    file = CONF / "task" / f"{folder.facts['task']}.yaml"
    task = yaml.safe_load(file.read_text())["task"] if file.is_file() else {}
    hidden = task.get("shows_data", []) if folder.facts["data"]["kind"] in ("course", "files") else []
    return [figure for figure in sorted((folder.path / "figures").glob("*")) if figure.stem not in hidden]


def _rows(folders: list[RunFolder]) -> list[list[Any]]:
    """Header, then metric, a value a run, and for several runs their mean and standard deviation."""
    tables = [report.flat(folder.metrics()) for folder in folders]
    many = len(folders) > 1
    header = ["metric", *_heads(folders)] + ["mean", "sd"] * many
    rows: list[list[Any]] = [header]
    for metric in tables[0]:
        values = [table[metric] for table in tables if table.get(metric) is not None]
        if len(values) == len(tables):
            summary = [statistics.mean(values), statistics.stdev(values)] if many else []
            rows.append([metric, *(f"{value:.4f}" for value in [*values, *summary])])
    return rows


def _heads(folders: list[RunFolder]) -> list[str]:
    """What tells the runs apart: their seeds, or where those are the same the words that not all of them were typed with."""
    if len(folders) == 1 or len({folder.facts["seed"] for folder in folders}) > 1:
        return [f"seed {folder.facts['seed']}" for folder in folders]
    typed = [[word for word in folder.facts["overrides"] if not word.startswith(("name=", "output_dir="))] for folder in folders]
    everywhere = set.intersection(*map(set, typed))
    return [" ".join(word for word in words if word not in everywhere) or "-" for words in typed]


def _page(name: str, folders: list[RunFolder], rows: list[list[Any]]) -> str:
    facts = folders[0].facts
    data, machine = facts["data"], facts["machine"]
    counts = ", ".join(f"{count:,} {words}" for words, count in data["counts"].items())
    seconds = ", ".join(f"{folder.facts['seconds']:,.0f}" for folder in folders)
    figures = [file.name for file in _figures(folders[0])]
    lines = [
        f"# {name}",
        "",
        *(f"    {portable(folder.facts['command'])}" for folder in folders),
        "",
        f"Written by `ml2020 record` from the folders of {len(folders)} run(s).",
        "",
        f"- Data: {data['name']} ({data['kind']}; {data['licence']}): {counts}",
        f"- Model: {facts['model']}, {facts['parameters']:,} parameters",
        f"- Took {seconds} s on {facts['device']} with {facts['threads']} thread(s), {machine['processor']}",
        f"- Commit {facts['git']}, " + ", ".join(f"{package} {version}" for package, version in facts["versions"].items()),
        "",
        "| " + " | ".join(rows[0]) + " |",
        "|" + " --- |" * len(rows[0]),
        *("| " + " | ".join(row) + " |" for row in rows[1:]),
        "",
        *(f"![{Path(figure).stem}](figures/{figure})" for figure in figures),
        "",
    ]
    return "\n".join(lines)
