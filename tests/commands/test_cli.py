"""The words of `ml2020`: pages, slips, exit statuses, and that nothing heavy is imported for them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from ml2020.commands.cli import VERBS, main

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"], ["help"], *[[verb, "--help"] for verb in VERBS], ["help", "runs"]])
def test_every_page_fits_eighty_columns(words: list[str], capsys: pytest.CaptureFixture):
    assert main(words) == 0
    page = capsys.readouterr().out
    assert "ml2020" in page and max(len(line) for line in page.splitlines()) <= 80


def test_the_page_names_every_verb(capsys: pytest.CaptureFixture):
    main(["--help"])
    page = capsys.readouterr().out
    assert all(f"  ml2020 {verb}" in page for verb in VERBS)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["lsit"], "there is no command ml2020 lsit; did you mean list?"),
        (["hw03_cnn"], "there is no command ml2020 hw03_cnn; there are clean, compare"),
        (["--version"], "there is no command ml2020 --version"),
        (["train", "task=hw03_cnn"], "type python train.py task=NAME"),
        (["predict"], "type python eval.py run=FOLDER do=predict"),
        (["board"], "type make board"),
        (["runs", "--all"], "--all is not an option of ml2020 runs; see ml2020 runs --help"),
        (["clean", "--yes"], "--yes is not an option of ml2020 clean; did you mean yes?"),
        (["runs", "ouput_dir=x"], "ml2020 runs has no key ouput_dir; did you mean output_dir=x?"),
        (["runs", "output_dir="], "output_dir= needs a value right behind it"),
        (["runs", "output_dir=nowhere"], "there is no folder nowhere"),
        (["runs", "output_dir=.", "output_dir=."], "output_dir= is given twice"),
        (["list", "hw3_cnn"], "there is no homework hw3_cnn; did you mean hw03_cnn?"),
        (["list", "task=hw03_cnn"], "ml2020 list has no key task"),
        (["summary"], "type ml2020 summary SWEEP"),
        (["summary", "nowhere"], "there is no folder nowhere"),
        (["record"], "type ml2020 record FOLDER"),
        (["record", "nowhere", "nmae=x"], "ml2020 record has no key nmae; did you mean name=x?"),
        (["record", "nowhere"], "there is no folder nowhere"),
        (["new"], "type ml2020 new NAME"),
        (["new", "hw16_mine", "my", "title"], "one name, such as hw16_mine, and a title between quotes"),
    ],
)
def test_a_slip_is_one_sentence_and_status_2(words: list[str], sentence: str, outputs: Path, capsys: pytest.CaptureFixture):
    assert main(words) == 2
    told = capsys.readouterr()
    assert sentence in told.err and len(told.err.splitlines()) == 1 and told.out == ""
    assert list(Path().iterdir()) == []


def test_the_list_keeps_the_homeworks_that_fit(capsys: pytest.CaptureFixture):
    assert main(["list", "hw03"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("hw03_cnn ") and any("model:" in line and "hw03_original" in line for line in lines)
    assert max(len(line) for line in lines) <= 80


def test_summary_is_given_the_folder_as_a_path(outputs: Path, monkeypatch: pytest.MonkeyPatch):
    seen = []
    stub = ModuleType("ml2020.studies.summary")
    stub.summarize = seen.append
    monkeypatch.setitem(sys.modules, "ml2020.studies.summary", stub)
    Path("sweep").mkdir()
    assert main(["summary", "sweep"]) == 0
    assert seen == [Path("sweep")]


def test_a_job_folder_with_an_equals_sign_is_a_folder(outputs: Path, capsys: pytest.CaptureFixture):
    Path("lr=0.1").mkdir()
    assert main(["record", "lr=0.1"]) == 2
    assert "lr=0.1 is not the folder of a run" in capsys.readouterr().err


def test_nothing_heavy_is_imported(tmp_path: Path):
    code = (
        "import sys\nfrom ml2020.commands.cli import main\n"
        "for words in (['--help'], ['list'], ['runs'], ['compare', 'a', 'b'], ['clean'], ['new', 'hw03_cnn'], ['record', 'a']):\n"
        "    main(words)\n"
        "print(sorted({'torch', 'pytorch_lightning', 'matplotlib'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


def test_a_reader_who_leaves_is_no_error():
    code = "import sys; from ml2020.commands.cli import main; sys.exit(main(['--help']))"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT)
    process.stdout.close()
    assert process.stderr.read() == b"" and process.wait() == 0
