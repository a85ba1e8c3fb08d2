"""`ml2020 clean`: it says what could go, and removes what was named, nothing else."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ml2020.commands.clean import cache_folder
from ml2020.commands.cli import main

MakeRun = Callable[..., Path]
KEY = "hw03_sample-0123456789abcdef"


def tree(root: Path = Path()) -> set[str]:
    return {str(path) for path in root.rglob("*")}


def make_cache(name: str = KEY) -> Path:
    place = Path("cache") / name
    place.mkdir(parents=True)
    (place / "key.json").write_text("{}")
    (place / "train_x.npy").write_bytes(b"0" * 2000)
    return place


def test_without_words_it_says_what_and_how_large_and_removes_nothing(make_run: MakeRun, capsys: pytest.CaptureFixture):
    make_run("good")
    (make_run("bad", status="failed") / "metrics.csv").write_bytes(b"0" * 3_000_000)
    make_run("stopped", status="running")
    make_run("look", {"quick": True})
    (make_run("half") / "metrics.tmp").write_bytes(b"0" * 1500)
    make_cache()
    before = tree()
    assert main(["clean"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[:-1]] == [[k, "1"] for k in ("failed", "interrupted", "quick", "tmp", "cache")]
    assert "3.0 MB" in lines[0] and "1.5 kB" in lines[3]
    assert "nothing has been removed" in lines[-1] and "ml2020 clean failed yes" in lines[-1]
    assert tree() == before


def test_with_words_it_lists_exactly_what_would_go(make_run: MakeRun, capsys: pytest.CaptureFixture):
    make_run("good"), make_run("bad", status="failed"), make_run("stopped", status="interrupted")
    before = tree()
    assert main(["clean", "failed", "output_dir=outputs"]) == 0
    out = capsys.readouterr().out
    assert "outputs/hw03_cnn/bad" in out and "good" not in out and "stopped" not in out
    assert out.splitlines()[-1] == "to remove them: ml2020 clean output_dir=outputs failed yes"
    assert tree() == before


def test_with_yes_it_removes_that(make_run: MakeRun, capsys: pytest.CaptureFixture):
    make_run("good"), make_run("bad", status="failed"), make_run("look", command="python train.py quick=true")
    (make_run("stopped", status="running") / "checkpoints").mkdir()
    make_cache()
    assert main(["clean", "yes", "failed", "interrupted", "quick"]) == 0
    assert [path.name for path in Path("outputs/hw03_cnn").iterdir()] == ["good"]
    assert Path("cache", KEY).is_dir()
    assert capsys.readouterr().out.count("removed outputs/hw03_cnn/") == 3


def test_a_quick_run_that_failed_is_removed_once(make_run: MakeRun, capsys: pytest.CaptureFixture):
    (make_run("bad", {"quick": True}, status="failed") / "a.tmp").touch()
    assert main(["clean", "failed", "quick", "tmp", "yes"]) == 0
    assert capsys.readouterr().out.count("removed") == 1


def test_half_written_files_go_and_their_run_stays(make_run: MakeRun):
    run = make_run("one")
    (run / "checkpoints").mkdir()
    for name in ("metrics.tmp", "checkpoints/last.ckpt.tmp", "notes.txt"):
        (run / name).touch()
    assert main(["clean", "tmp", "yes"]) == 0
    assert {path.name for path in run.rglob("*")} == {"config.yaml", "run.json", "metrics.json", "checkpoints", "notes.txt"}


def test_a_run_that_goes_on_is_never_touched(make_run: MakeRun, capsys: pytest.CaptureFixture):
    for status in ("running", "failed", "waiting"):
        run = make_run(status, {"quick": True}, status=status)
        (run / "last.ckpt.tmp").touch()
        lock = (run / ".lock").open("w")
        fcntl.flock(lock, fcntl.LOCK_EX)
        before = tree()
        assert main(["clean", "failed", "interrupted", "quick", "tmp", "yes"]) == 0
        assert tree() == before and "nothing to remove" in capsys.readouterr().out
        lock.close()
        shutil.rmtree(run)


def test_a_sweep_that_goes_on_keeps_its_failed_jobs(make_run: MakeRun):
    job = make_run("sweeps/today/0_lr=9", status="failed")
    with (job.parent / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert main(["clean", "failed", "yes"]) == 0
        assert job.is_dir()
    assert main(["clean", "failed", "yes"]) == 0
    assert not job.exists() and (job.parent / ".lock").exists()


def test_a_lock_taken_in_between_keeps_the_folder(make_run: MakeRun, monkeypatch, capsys: pytest.CaptureFixture):
    from ml2020.commands import clean

    run = make_run("bad", status="failed")
    make_run("worse", status="failed")
    monkeypatch.setattr(clean, "in_use", lambda path: False)
    with (run / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert main(["clean", "failed", "yes"]) == 1
    assert run.is_dir() and not run.with_name("worse").exists()
    assert "1 of 2 could not be removed: outputs/hw03_cnn/bad (in use)" in capsys.readouterr().err


def test_links_are_not_followed(make_run: MakeRun):
    elsewhere = make_run("real", status="failed").rename("elsewhere")
    Path("outputs/hw03_cnn/link").symlink_to(elsewhere.resolve())
    run = make_run("bad", status="failed")
    (run / "data").symlink_to(elsewhere.resolve())
    (run / "file.tmp").symlink_to((elsewhere / "run.json").resolve())
    assert main(["clean", "failed", "tmp", "yes"]) == 0
    assert not run.exists() and len(list(elsewhere.iterdir())) == 3
    assert Path("outputs/hw03_cnn/link").is_symlink()


def test_what_is_no_run_of_ours_is_never_touched(make_run: MakeRun):
    (make_run("broken", status="failed") / "run.json").write_text("{")
    Path("outputs/hw03_cnn/notes").mkdir()
    Path("outputs/hw03_cnn/notes/a.tmp").touch()
    Path("outputs/other").mkdir()
    Path("outputs/other/run.json").write_text('{"status": "failed"}')
    Path("outputs/other/config.yaml").write_text("a: 1")
    Path("cache/downloads").mkdir(parents=True)
    Path("cache/hw03_sample-0123456789abcdef.lock").touch()
    before = tree()
    assert main(["clean", "failed", "interrupted", "quick", "tmp", "cache", "yes"]) == 0
    assert tree() == before


def test_the_cache_goes_but_for_what_is_being_made(outputs: Path, capsys: pytest.CaptureFixture):
    made, half = make_cache(), make_cache("hw03_pictures-ffff456789abcdef.half")
    with half.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert main(["clean", "cache", "yes"]) == 1
    assert not made.exists() and half.is_dir() and "(in use)" in capsys.readouterr().err
    assert main(["clean", "cache", "yes"]) == 0
    assert not half.exists()


def test_the_cache_is_where_the_data_looks_for_it(outputs: Path, monkeypatch: pytest.MonkeyPatch):
    Path("typed").mkdir()
    assert cache_folder("typed") == Path("typed")
    assert cache_folder(None) == Path.cwd() / "cache"
    monkeypatch.delenv("ML2020_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_folder(None) == Path("/somewhere/ml2020")


def test_where_there_is_nothing_it_says_so(outputs: Path, capsys: pytest.CaptureFixture):
    assert main(["clean"]) == 0 and main(["clean", "failed", "yes"]) == 0 and main(["clean", "cache"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out == [
        "nothing to remove under outputs, and the cache is empty",
        "nothing to remove (failed) under outputs",
        "nothing to remove (cache)",
    ]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["yes"], "say what to remove: ml2020 clean failed | interrupted | quick | tmp | cache, then yes"),
        (["fialed", "yes"], "ml2020 clean knows no fialed; did you mean failed?"),
        (["all", "yes"], "ml2020 clean knows no all; there are cache, failed"),
        (["finished"], "ml2020 clean knows no finished"),
        (["--yes"], "did you mean yes?"),
        (["failed", "--force"], "--force is not an option of ml2020 clean"),
        (["yes=true"], "ml2020 clean has no key yes; did you mean yes?"),
        (["failed=true"], "ml2020 clean has no key failed; did you mean failed?"),
        (["output_dir=nowhere", "failed"], "there is no folder nowhere"),
        (["cache_dir=nowhere"], "there is no folder nowhere"),
        (["outputs/hw03_cnn/bad", "yes"], "not folders; to remove this one run: rm -r outputs/hw03_cnn/bad"),
        (["outputs", "yes"], "not folders; for what is in it: ml2020 clean output_dir=outputs"),
    ],
)
def test_a_slip_removes_nothing(make_run: MakeRun, capsys: pytest.CaptureFixture, words: list[str], sentence: str):
    make_run("bad", status="failed")
    before = tree()
    assert main(["clean", *words]) == 2
    assert sentence in capsys.readouterr().err and tree() == before
