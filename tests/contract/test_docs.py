"""What the pages promise: commands that compose, links that lead somewhere, a credit for every picture."""

from __future__ import annotations

import ast
import fnmatch
import re
import shlex
from pathlib import Path

import pytest

from ml2020.core.conf import options
from ml2020.core.config import load

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "LICENSES.md", *sorted(ROOT.glob("docs/*.md")), *sorted(ROOT.glob("experiments/*/README.md"))]
COMMANDS = {
    line
    for page in PAGES
    for line in re.findall(r"python train\.py ([^`\n]*?)(?:\s{2,}.*|`.*|\s+#.*)?$", page.read_text(), re.M)
    if "task=" in line and "--cfg" not in line
}


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_of_the_pages_composes(command: str):
    words = shlex.split(command)
    cfg, _ = load("train", [word for word in words if word != "-m"], multirun="-m" in words)
    assert cfg.task.name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_somewhere(page: Path):
    targets = [t for t in re.findall(r"\]\(([^)#]+)", page.read_text()) if not t.startswith("http")]
    assert [t for t in targets if not (page.parent / t).exists()] == []


def test_every_picture_has_its_line_in_licenses():
    patterns = [
        word.strip()
        for row in (ROOT / "LICENSES.md").read_text().splitlines()
        if row.startswith("| ")
        for word in row.split("|")[1].split(",")
    ]
    pictures = [
        p.relative_to(ROOT)
        for folder in ("docs", "experiments")
        for p in (ROOT / folder).rglob("*.*")
        if p.suffix in (".png", ".svg", ".gif")
    ]
    assert pictures
    assert [str(p) for p in pictures if not any(fnmatch.fnmatch(str(p), pattern) for pattern in patterns)] == []


@pytest.mark.parametrize("task", options("task"))
def test_a_task_has_one_word_for_its_folder_its_page_and_its_configs(task: str):
    assert (ROOT / "src" / "ml2020" / "tasks" / task / "model.py").is_file()
    assert (ROOT / "docs" / f"{task}.md").is_file()
    assert f"| {task} |" in (ROOT / "README.md").read_text()


def imports(file: Path) -> set[str]:
    tree = ast.parse(file.read_text())
    named = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    return {
        name
        for name in named | {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
        if name.startswith("ml2020")
    }


def test_imports_go_one_way():
    # commands -> studies -> core -> nothing of ours; tasks -> core, data, nn; data, nn -> core's errors and progress.
    source = ROOT / "src" / "ml2020"
    for file in source.rglob("*.py"):
        room, _, rest = str(file.relative_to(source)).partition("/")
        own = f"ml2020.tasks.{rest.split('/')[0]}" if room == "tasks" else f"ml2020.{room}"
        allowed = {
            "core": (),
            "studies": ("ml2020.core",),
            "commands": ("ml2020.core", "ml2020.studies", "ml2020.data.cache"),
            "data": ("ml2020.core",),
            "nn": ("ml2020.core",),
            "tasks": ("ml2020.core", "ml2020.data", "ml2020.nn"),
        }.get(room, ())
        assert all(name.startswith((own, *allowed)) for name in imports(file)), file


def test_nobody_asks_lightning_for_the_number_of_steps():
    # Asking before the fit drops the loader's state silently (docs/core.md).
    assert not [f for f in (ROOT / "src").rglob("*.py") if "estimated_stepping" + "_batches" in f.read_text()]
