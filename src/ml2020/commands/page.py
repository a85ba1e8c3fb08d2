"""eval.py do=report: a run's folder as one HTML page that can be mailed. Reads files only: needs neither torch nor the data."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ml2020.commands.page_curves import curves
from ml2020.core.conf import dotted
from ml2020.core.config import load
from ml2020.core.errors import UserError
from ml2020.core.folder import RunFolder

_KINDS = {
    "course": "the course's own data",
    "same kind": "data of the same kind as the course's, not the course's own",
    "package": "data that comes with a Python package, not the course's",
    "rendered": "drawn by this project, not the course's data",
    "generated": "made up by this project, not the course's data",
    "files": "the user's own files",
}
_OTHER = "not the course's data"
_PICTURES = {".png": "image/png", ".gif": "image/gif", ".jpg": "image/jpeg"}
_PLACES = ("output_dir", "data_dir", "cache_dir", "data.path", "data.cache_dir", "name", "trace")  # listed last: they change no figure
_PROSE = re.compile(r"task\.(?!main\.)|(model|data)\.brings\b")  # words of the task's own file, and what shows under other keys


def write_page(folder: RunFolder) -> Path:
    """Write report.html into the run's folder, whatever its status, and give its path.

    The page holds its style and pictures in itself, asks nothing of the network and runs no script. Raises UserError where the config
    of the run cannot be read.
    """
    config, metrics = folder.config(), _metrics(folder)
    title = config["task"].get("title") or config["task"]["name"]
    parts = [
        *_head(folder, config, title),
        '<div class="sides"><section>',
        *_results(config, folder, metrics),
        "</section><section>",
        *_facts(folder),
        "</section></div>",
        *_curves(config, folder.path / "metrics.csv"),
        *_changes(config, folder.facts),
        *_pictures(config, folder),
        *_next(config, folder),
    ]
    style = Path(__file__).with_name("page.css").read_text(encoding="utf8")
    folder.write_text("report.html", _SKELETON.format(title=_safe(title), style=style, body="\n".join(parts)))
    return folder.path / "report.html"


_SKELETON = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
{style}</style></head><body>
{body}
</body></html>
"""


def _safe(value: Any) -> str:
    return html.escape(str(value), quote=True)


def _metrics(folder: RunFolder) -> dict[str, Any]:
    """metrics.json, or nothing where the run did not come so far."""
    try:
        return folder.metrics()
    except UserError:
        return {}


def _head(folder: RunFolder, config: dict[str, Any], title: str) -> Iterator[str]:
    """Title, status, model and data in a sentence, and what a reader must know before the figures."""
    facts, status = folder.facts, folder.status
    yield f'<header><div class="where">{_safe(config["task"]["name"])} · {_safe(folder.path.resolve().name)}</div>'
    yield f"<h1>{_safe(title)}</h1>"
    about = [f"{_safe(facts.get('model'))}" + (f", {facts['parameters']:,} parameters" if "parameters" in facts else "")]
    if data := facts.get("data"):
        about.append(f"on {_safe(data['name'])} ({_safe(data['kind'])})")
    about.append(f"seed {_safe(config['seed'])}")
    yield f'<p><span class="status {_safe(status)}">{_safe(status)}</span> · {" · ".join(about)}</p></header>'
    if error := facts.get("error"):
        yield f'<p class="note failed"><b>The run ended with an error.</b> {_safe(error)}</p>'
    elif status != "finished":
        yield f'<p class="note">The run is {_safe(status)}; what stands here is as far as it came.</p>'
    if config.get("quick"):
        yield '<p class="note">Made with <code>quick=true</code>: a look at how it runs. Its figures mean nothing.</p>'


def _results(config: dict[str, Any], folder: RunFolder, metrics: dict[str, Any]) -> Iterator[str]:
    """The task's table, with the original's figures on the course's own data only, and every other metric folded."""
    task, kind = config["task"], (folder.facts.get("data") or {}).get("kind")
    reference = (task.get("reference") or {}) if kind == "course" else {}
    yield "<h2>Results</h2>"
    if not metrics:
        yield '<p class="soft">No final metrics: the run did not come so far.</p>'
        return
    splits = {split: values for split, values in metrics.items() if split not in ("main", "nonfinite")}
    flat = {f"{split}/{name}": value for split, values in splits.items() for name, value in values.items()}
    table = task.get("table") or {}
    beside = "<th>for comparison</th>" if any(name in reference for name in table) else ""
    yield f'<div class="wide"><table><tr><th>metric</th><th class="number">value</th>{beside}</tr>'
    for name, words in table.items():
        if name in flat:
            row = ' class="main"' if name == task["main"]["name"] else ""
            yield f'<tr{row}><td>{_safe(words)} <code class="key">{_safe(name)}</code></td>{_number(flat[name], ".3f")}'
            yield f'<td class="beside">{_safe(reference.get(name, ""))}</td></tr>' if beside else "</tr>"
    yield "</table></div>"
    names = list(dict.fromkeys(name for values in splits.values() for name in values))
    yield f'<details><summary>All {len(flat)} metrics</summary><div class="wide"><table>'
    yield "<tr><th>metric</th>" + "".join(f'<th class="number">{_safe(split)}</th>' for split in splits) + "</tr>"
    for name in names:
        cells = (_number(values[name], ".6g") if name in values else "<td></td>" for values in splits.values())
        yield f"<tr><td><code>{_safe(name)}</code></td>{''.join(cells)}</tr>"
    yield "</table></div></details>"


def _number(value: float | None, form: str) -> str:
    return f'<td class="number">{value:{form}}</td>' if value is not None else '<td class="number bad">not finite</td>'


def _facts(folder: RunFolder) -> Iterator[str]:
    """Who made the run with what; a run that failed early knows less."""
    facts = folder.facts
    data, machine, started, commit = facts.get("data"), facts.get("machine") or {}, facts.get("started"), facts.get("git")
    counts = ", ".join(f"{count:,} {words}" for words, count in data["counts"].items()) if data else None
    rows = {
        "data": data["name"] if data else None,
        "kind": f"{data['kind']}: {_KINDS.get(data['kind'], _OTHER)}" if data else None,
        "samples": counts,
        "licence": data["licence"] if data else None,
        "started": f"{started[:10]} {started[11:16]} UTC{started[19:]}" if started else None,
        "took": f"{facts['seconds']:,.0f} s" if "seconds" in facts else None,
        "device": f"{facts['device']}, CPU threads: {facts.get('threads')}" if "device" in facts else None,
        "machine": ", ".join(str(machine[key]) for key in ("processor", "system") if machine.get(key)),
        "versions": ", ".join(f"{name} {version}" for name, version in (facts.get("versions") or {}).items()),
        "commit": commit.replace("+changes", ", with changes that were not committed") if commit else None,
    }
    yield "<h2>The run</h2><dl>"
    yield from (f"<dt>{name}</dt><dd>{_safe(value)}</dd>" for name, value in rows.items() if value)
    yield f"</dl>{_commands([facts.get('command', '')])}"


def _commands(lines: list[str]) -> str:
    return "<pre>" + "".join(f"<code>{_safe(line)}</code>" for line in lines) + "</pre>"


def _changes(config: dict[str, Any], facts: dict[str, Any]) -> Iterator[str]:
    """What was chosen otherwise than by default."""
    rows = differing(config, facts)
    if rows is None:
        yield "<details><summary>The whole config (its task is not known here, so nothing says what was changed)</summary>"
        yield f"<pre>{_safe(OmegaConf.to_yaml(OmegaConf.create(config)))}</pre></details>"
        return
    yield "<h2>Changed from the task's default</h2>"
    if not rows:
        yield '<p class="soft">Nothing: this is the default of the task.</p>'
        return
    yield '<div class="wide"><table><tr><th>key</th><th>this run</th><th>default</th></tr>'
    for key, value, default in rows:
        breaking = _safe(key).replace(".", ".<wbr>")  # long keys break at their dots
        yield f'<tr><td><code>{breaking}</code></td><td>{_safe(value)}</td><td class="soft">{_safe(default)}</td></tr>'
    yield "</table></div>"
    if any("—" in row for row in rows):
        yield '<p class="soft">—: there is no such key with this model or data, or there was none when the run was made.</p>'


def differing(config: dict[str, Any], facts: dict[str, Any]) -> list[tuple[str, str, str]] | None:
    """(key, value, default) of what is not as `task=NAME` alone would have it; None where that task cannot be composed here.

    The options of model and data come first, the places of files last.
    """
    try:
        cfg, choices = load("train", [f"task={config['task']['name']}"])
        default = dotted(OmegaConf.to_container(cfg, resolve=True))
    except (UserError, OmegaConfBaseException):
        return None
    options = {group: (facts.get(fact), choices[group]) for group, fact in (("model", "model"), ("data", "data_option"))}
    rows = [(group, str(chosen), str(usual)) for group, (chosen, usual) in options.items() if chosen and chosen != usual]
    own = dotted(config)
    keys = [key for key in dict.fromkeys([*own, *default]) if own.get(key) != default.get(key)]  # no such key is as good as null
    shown = sorted((key for key in keys if not _PROSE.match(key)), key=_PLACES.__contains__)
    return rows + [(key, *(_typed(side[key]) if key in side else "—" for side in (own, default))) for key in shown]


def _typed(value: Any) -> str:
    """A value as it would be typed."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _curves(config: dict[str, Any], file: Path) -> Iterator[str]:
    """The history, a panel a group of the task's board."""
    task = config["task"]
    main = task["main"]
    panels = list(curves(file, task.get("board") or {main["name"]: [main["name"]]}, main))
    yield "<h2>Curves</h2>"
    if not panels:
        yield '<p class="soft">No step was logged.</p>'
        return
    yield '<div class="curves">'
    for title, svg, small in panels:
        yield "<figure class='small'>" if small else "<figure>"
        yield f"<figcaption><b>{_safe(title)}</b></figcaption>{svg}</figure>"
    yield "</div>"


def _pictures(config: dict[str, Any], folder: RunFolder) -> Iterator[str]:
    """Everything under figures/, inside the page; what shows the data itself says whose it is."""
    files = [file for file in sorted((folder.path / "figures").glob("*")) if file.suffix in _PICTURES]
    hidden, data = config["task"].get("shows_data") or [], folder.facts.get("data") or {}
    if files:
        yield '<h2>Figures</h2><div class="pictures">'
        for file in files:
            name = _safe(file.stem.replace("_", " "))
            whose = f" · pictures of the data; licence: {_safe(data.get('licence', 'unknown'))}" if file.stem in hidden else ""
            content = base64.b64encode(file.read_bytes()).decode("ascii")
            yield f"<figure><figcaption><b>{name}</b>{whose}</figcaption>"
            yield f'<img alt="{name}" src="data:{_PICTURES[file.suffix]};base64,{content}"></figure>'
        yield "</div>"


def _next(config: dict[str, Any], folder: RunFolder) -> Iterator[str]:
    """What to type next, and where the page comes from."""
    goes_on = [f"python train.py resume={folder.path}"] if folder.status == "interrupted" else []
    lines = [*goes_on, *(config["task"].get("next") or []), "make board"]
    yield f"<h2>What to type next</h2>{_commands(lines)}"
    yield "<footer>Written from the files of the run by <code>python eval.py do=report</code>; the numbers stand in metrics.json, the"
    yield "history in metrics.csv, the config in config.yaml, all else in run.json.</footer>"
