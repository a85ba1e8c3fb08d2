"""report.html: what a reader sees, for runs that ended in every way."""

from __future__ import annotations

import base64
import re
import subprocess
import sys
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from ml2020.commands.page import differing, write_page
from ml2020.core.config import load
from ml2020.core.folder import RunFolder

VOID = {"meta", "img", "br", "wbr"}
PIXEL = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
FACTS = {
    "task": "hw03_cnn", "model": "hw03_cnn", "data_option": "hw03_sample", "command": "python train.py task=hw03_cnn seed=0", "seed": 0,
    "git": "0123456789abcdef+changes", "versions": {"python": "3.12.1", "torch": "2.15.0"}, "device": "cpu", "threads": 2,
    "machine": {"system": "Linux x86_64", "processor": "a processor", "cores": 2}, "parameters": 1234567,
    "data": {"name": "some dots", "kind": "rendered", "licence": "CC0", "counts": {"for training": 5000, "for the test": 7}},
}  # fmt: skip
METRICS = {
    "main": {"name": "val/acc", "goal": "max", "value": 0.625},
    "train": {"acc": 0.75, "loss": 0.5},
    "val": {"acc": 0.625, "loss": None},
    "nonfinite": ["val/loss"],
}
HISTORY = (
    "step,epoch,phase,seconds,train/loss,train/lr,val/acc\n"
    "5,0,fit,1,2.0,0.1,\n5,0,fit,1,,,0.25\n10,1,fit,2,nan,0.2,\n10,1,fit,2,,,0.625\n15,2,tune,3,1.5,0.1,\n15,2,tune,3,,,0.5\n"
)


class Page(HTMLParser):
    """The elements of a page, and its text; refuses what is not well nested."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.drawn: list[str] = []
        self.cells: list[list[str]] = []
        self.source = file.read_text(encoding="utf8")
        self.feed(self.source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.cells.append([])
        elif tag in ("td", "th"):
            self.cells[-1].append("")

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data
        if "text" in self.open:
            self.drawn.append(data)
        if {"td", "th"} & set(self.open):
            self.cells[-1][-1] += data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@cache
def composed(*words: str) -> tuple[DictConfig, dict[str, str | None]]:
    return load("train", list(words))


@pytest.fixture(autouse=True, scope="module")
def composed_once():
    """The same words are composed once: that takes longer than all else here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ml2020.commands.page.load", lambda root, words: composed(*words))
        yield


def config_of(*words: str) -> dict[str, Any]:
    return OmegaConf.to_container(composed("task=hw03_cnn", *words)[0], resolve=True)


def make_run(path: Path, config: dict[str, Any], status: str = "finished", facts: dict[str, Any] = FACTS) -> RunFolder:
    folder = RunFolder.create(path, facts, config)
    folder.update(status=status, started="2020-04-01T12:34:56+0200", seconds=1234.5)
    return folder


def complete(path: Path, config: dict[str, Any], **facts: Any) -> RunFolder:
    folder = make_run(path, config, facts=FACTS | facts)
    folder.write_json("metrics.json", METRICS)
    folder.write_text("metrics.csv", HISTORY)
    (path / "figures").mkdir()
    (path / "figures" / "two_walks.gif").write_bytes(PIXEL)
    (path / "figures" / "samples.png").write_bytes(b"png")
    return folder


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    """A finished run on rendered data."""
    return Page(write_page(complete(tmp_path_factory.mktemp("runs") / "run", config_of())))


def test_the_page_asks_nothing_of_the_network_and_runs_nothing(page: Page):
    for tag, attributes in page.elements:
        assert tag not in ("script", "link", "iframe", "object")
        for name in ("src", "href", "xlink:href", "srcset", "data", "action"):
            assert (attributes.get(name) or "#").startswith(("#", "data:image/")), (tag, attributes)
        assert not any(name.startswith("on") for name in attributes)
    style = page.source[page.source.index("<style>") : page.source.index("</style>")]
    assert "prefers-color-scheme: dark" in style and "@import" not in style and "url(" not in style


def test_it_says_what_was_trained_on_what_and_how(page: Page):
    for words in (
        "A convolutional network names eleven kinds of picture", "hw03_cnn, 1,234,567 parameters", "on some dots (rendered)", "seed 0",
        "rendered: drawn by this project, not the course's data", "5,000 for training, 7 for the test", "CC0", "finished", "1,234 s",
        "2020-04-01 12:34 UTC+0200", "cpu, CPU threads: 2", "a processor", "python 3.12.1, torch 2.15.0",
        "0123456789abcdef, with changes that were not committed", "python train.py task=hw03_cnn model=hw03_original",
        "python train.py task=hw03_cnn seed=0",
    ):  # fmt: skip
        assert words in page.text, words
    assert "quick=true" not in page.text


def test_the_table_is_the_tasks_and_every_metric_is_folded_below(page: Page):
    assert ["training accuracy (plain pictures) train/acc", "0.750"] in page.cells
    assert ["validation accuracy val/acc", "0.625"] in page.cells
    assert not any("test accuracy" in row[0] for row in page.cells)  # nothing was measured there
    assert ["acc", "0.75", "0.625"] in page.cells and ["loss", "0.5", "not finite"] in page.cells
    assert len(page.named("details")) == 1 and "All 4 metrics" in page.text


@pytest.mark.parametrize("kind", ["rendered", "files", "course"])
def test_the_originals_figures_stand_beside_the_courses_data_only(tmp_path: Path, kind: str):
    page = Page(write_page(complete(tmp_path / "run", config_of(), data=FACTS["data"] | {"kind": kind})))
    assert ("original 0.435" in page.text) == (kind == "course")
    assert (["training accuracy (plain pictures) train/acc", "0.750", "original 0.969"] in page.cells) == (kind == "course")


def test_curves_are_drawn_a_panel_a_group_with_ids_of_their_own(page: Page):
    captions = [text for text in ("accuracy", "loss", "learning rate") if f"<b>{text}</b>" in page.source]
    assert captions == ["accuracy", "loss", "learning rate"] and len(page.named("svg")) == 3
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids)) > 20
    used = re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', page.source)
    assert used and {first or second for first, second in used} <= set(ids)
    assert page.drawn.count("0.625") == 1 and page.drawn.count("tune") == 3  # the best value, and where a phase begins
    assert {"val/acc", "train/loss"} <= set(page.drawn)
    assert "currentColor" in page.source and "#010101" not in page.source and "#0300" not in page.source


def test_pictures_are_inside_and_those_of_the_data_name_its_licence(page: Page):
    samples, walks = page.named("img")
    assert samples["src"] == "data:image/png;base64," + base64.b64encode(b"png").decode()
    assert walks == {"alt": "two walks", "src": "data:image/gif;base64," + base64.b64encode(PIXEL).decode()}
    assert "samples · pictures of the data; licence: CC0" in page.text and page.text.count("licence: CC0") == 1


def test_what_differs_from_the_default_is_listed_exactly(tmp_path: Path):
    assert differing(config_of(), FACTS) == []
    typed = ("output_dir=/elsewhere", "optimizer.lr=0.5", "model.net.channels_per_stage=[8,16]", "trainer.clip_norm=1", "name=mine")
    assert differing(config_of(*typed), FACTS) == [
        ("trainer.clip_norm", "1", "0.0"),
        ("optimizer.lr", "0.5", str(config_of()["optimizer"]["lr"])),
        ("model.net.channels_per_stage", "[8, 16]", "[32, 64, 128, 192, 256]"),
        ("output_dir", "/elsewhere", "outputs"),
        ("name", "mine", "null"),
    ]
    page = Page(write_page(complete(tmp_path / "run", config_of(*typed))))
    assert [row for row in page.cells if row[0] == "optimizer.lr"] == [["optimizer.lr", "0.5", str(config_of()["optimizer"]["lr"])]]


def test_another_model_comes_first_and_then_its_keys():
    rows = differing(config_of("model=hw03_mlp"), FACTS | {"model": "hw03_mlp"})
    assert rows[0] == ("model", "hw03_mlp", "hw03_cnn")
    assert ("model.net.norm", "—", "true") in rows and ("model.net._target_", "ml2020.tasks.hw03_cnn.model.MLP") in [
        r[:2] for r in rows
    ]
    assert not any(key.startswith(("task.", "model.brings")) for key, *_ in rows)


def test_a_quick_run_says_that_its_figures_mean_nothing(tmp_path: Path):
    page = Page(write_page(complete(tmp_path / "run", config_of("quick=true"))))
    assert "Its figures mean nothing" in page.text and ["quick", "true", "false"] in page.cells


def test_a_run_that_failed_at_once_shows_its_sentence(tmp_path: Path):
    facts = {key: FACTS[key] for key in ("task", "model", "data_option", "command", "seed")} | {
        "error": "no file /x, says <the reader>"
    }
    page = Page(write_page(make_run(tmp_path / "run", config_of(), "failed", facts)))
    assert "no file /x, says <the reader>" in page.text and "failed" in page.text
    assert "No final metrics" in page.text and "No step was logged" in page.text and not page.named("img")


def test_an_interrupted_run_says_how_it_goes_on(tmp_path: Path):
    folder = make_run(tmp_path / "run", config_of(), "running")
    folder.write_text("metrics.csv", HISTORY + "20,3,tune,4,1.")  # killed while it wrote a row
    assert "is running" in Page(write_page(folder)).text
    folder.unlock()
    page = Page(write_page(RunFolder.open(folder.path)))
    assert "is interrupted" in page.text and f"python train.py resume={folder.path}" in page.text and len(page.named("svg")) == 3


def test_a_task_that_is_not_known_here_shows_its_whole_config(tmp_path: Path):
    config = config_of()
    config["task"] |= {"name": "hw99_gone"}
    page = Page(write_page(complete(tmp_path / "run", config)))
    assert "not known here" in page.text and "channels_per_stage:" in page.text and not any("default" in row for row in page.cells)


def test_nothing_from_the_files_becomes_markup(tmp_path: Path):
    evil = '<script>alert("1")</script><img src=http://x onerror=y>\'$x$'
    config = config_of("name=x")
    config["name"] = evil
    config["task"] |= {"title": evil, "table": {"val/acc": evil, evil: "words"}, "board": {evil: ["val/acc", "<b>"]}, "next": [evil]}
    facts = {key: evil for key in ("model", "command", "device", "git", "error")}
    data = {"name": evil, "kind": evil, "licence": evil, "counts": {evil: 3}}
    folder = complete(tmp_path / "run", config, data=data, versions={evil: evil}, machine={"processor": evil}, **facts)
    folder.write_json("metrics.json", METRICS | {"val": {"acc": 0.5, evil: 0.5}})
    folder.write_text("metrics.csv", HISTORY.replace("train/loss", "<b>").replace("tune", "<script>&"))
    page = Page(write_page(folder))
    assert page.named("script") == [] and all(image["src"].startswith("data:image/") for image in page.named("img"))
    assert page.text.count(evil) >= 10 and "<script>&" in page.text


def test_the_page_needs_no_torch_and_leaves_nothing_half_written(tmp_path: Path):
    folder = complete(tmp_path / "run", config_of())
    folder.unlock()
    code = (
        "import sys; from pathlib import Path; from ml2020.core.folder import RunFolder; from ml2020.commands.page import write_page\n"
        "print(write_page(RunFolder.open(Path(sys.argv[1])))); sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(folder.path)], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.strip()) == (0, str(folder.path / "report.html")), done.stderr
    assert not list(folder.path.glob("*.tmp"))
    first = (folder.path / "report.html").read_bytes()
    write_page(RunFolder.open(folder.path))
    assert (folder.path / "report.html").read_bytes() == first  # the same run gives the same page
