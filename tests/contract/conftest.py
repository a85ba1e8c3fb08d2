"""How wrong input is typed in the tests of the promises: in this process, in an empty folder, with an eye on what changes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from ml2020.commands.cli import main
from ml2020.commands.evaluate import evaluate
from ml2020.commands.train import train

COMMANDS = {"train.py": train, "eval.py": evaluate, "ml2020": main}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a file, `file`, and a folder that is no run, `folder`; every default points into it."""
    monkeypatch.chdir(tmp_path)
    for name in ("ML2020_OUTPUT_DIR", "ML2020_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    Path("file").write_text("a file")
    Path("folder").mkdir()
    return tmp_path


@pytest.fixture
def told(capsys: pytest.CaptureFixture) -> Callable[..., tuple[int, str]]:
    """told("train.py", *words): the exit status, and the one sentence on standard error."""

    def run(command: str, *words: str) -> tuple[int, str]:
        capsys.readouterr()
        status = COMMANDS[command](list(words))
        said = capsys.readouterr().err.splitlines()
        assert len(said) == 1 and "Traceback" not in said[0] and "trace=true" not in said[0], said
        return status, said[0]

    return run


@pytest.fixture(scope="session")
def contents() -> Callable[[Path], dict[str, str]]:
    """contents(folder): every file and folder beneath it, with a mark that changes with what is in it."""

    def marks(folder: Path) -> dict[str, str]:
        return {
            str(place.relative_to(folder)): hashlib.sha256(place.read_bytes()).hexdigest() if place.is_file() else "folder"
            for place in sorted(folder.rglob("*"))
        }

    return marks


@pytest.fixture
def refused(here: Path, told: Callable[..., tuple[int, str]], contents: Callable[[Path], dict[str, str]]) -> Callable[..., str]:
    """refused(words, status): the one sentence that training them ends with, which has the status and leaves nothing changed."""

    def check(words: list[str], status: int) -> str:
        before = contents(here)
        code, said = told("train.py", *words)
        assert code == status, said
        assert contents(here) == before
        return said

    return check
