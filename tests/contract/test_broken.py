"""Broken and hostile files are one sentence: pictures, zips, the cache, and every file of a run's folder.

Nothing in them is run, nothing is written outside, and what was in the folder of the run stays as it was (promises 5 and 10).
"""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from ml2020.commands.cli import main
from ml2020.commands.train import train
from ml2020.core.folder import RunFolder
from ml2020.data.cache import cached
from ml2020.data.folders import decode, list_pictures

Told = Callable[..., tuple[int, str]]
Contents = Callable[[Path], dict[str, str]]
# A network of some hundred parameters: a second of work.
TINY = ["task=hw03_cnn", "data=hw03_food11", "data.image_size=8", "model.net.channels_per_stage=[4]", "model.tta=none"]
TINY += ["trainer.threads=1", "trainer.max_epochs=1"]


def picture(size: tuple[int, int] = (20, 20), kind: str = "png", colour: tuple[int, int, int] = (200, 40, 40)) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size, colour).save(stream, kind)
    return stream.getvalue()


def bomb() -> bytes:
    """A png of a hundred bytes that says it has 60,000 x 60,000 pixels."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")


def zipped(food: Path, damage: Callable[[bytes], bytes] = lambda raw: raw, **more: bytes) -> Path:
    target = food.parent / "packed.zip"
    with zipfile.ZipFile(target, "w") as archive:
        for file in sorted(food.rglob("*.jpg")):
            archive.write(file, file.relative_to(food).as_posix())
        for name, content in more.items():
            archive.writestr(name, content)
    target.write_bytes(damage(target.read_bytes()))
    return target


def only_class_0(food: Path) -> None:
    for file in food.glob("[tv]*/*.jpg"):
        if not file.name.startswith("0_"):
            file.unlink()


def put(name: str, content: bytes) -> Callable[[Path], None]:
    def write(food: Path) -> None:
        (food / name).write_bytes(content)

    return write


PICTURES: list[tuple[str, Callable[[Path], Path | None], str]] = [
    ("a jpg cut short", put("training/0_0.jpg", picture((90, 90), "jpeg")[:400]), "training/0_0.jpg cannot be read as a picture"),
    ("a png cut short", put("training/0_99.png", picture()[:60]), "training/0_99.png cannot be read as a picture"),
    ("a text called jpg", put("training/0_0.jpg", b"hello"), "it is something else, or damaged at its beginning"),
    ("an empty jpg", put("evaluation/0000.jpg", b""), "evaluation/0000.jpg cannot be read as a picture"),
    ("more pixels than memory", put("training/0_99.png", bomb()), "it claims more pixels than the 178,956,970 that are safe to decode"),
    ("no label", put("training/dinner.jpg", picture()), "training/dinner.jpg has no class; it should be called class_number.jpg"),
    ("a class for validation only", put("validation/11_0.jpg", picture()), "the validation pictures have a class 11 that no training"),
    ("one class", only_class_0, "holds one class only, 0; at least two are needed"),
    ("an empty folder", lambda food: [shutil.rmtree(part) for part in food.iterdir()] and None, "holds no training pictures"),
    ("no training", lambda food: shutil.rmtree(food / "training"), "holds no training pictures (training/<class>_<number>.jpg"),
    ("a link to nowhere", lambda food: (food / "training/0_99.jpg").symlink_to("x"), "0_99.jpg cannot be read: No such file"),
    ("a folder called zip", lambda food: food.rename(food.with_suffix(".zip")), "food.zip cannot be read: Is a directory"),
    ("a picture for a folder", lambda food: food / "training/0_0.jpg", "is neither a folder nor a zip file"),
    ("a folder that is gone", lambda food: food / "nowhere", "there is no folder"),
    (
        "a zip cut short",
        lambda food: zipped(food, lambda raw: raw[:3000]),
        "packed.zip cannot be read as a zip file; it may be cut short",
    ),
    ("an empty zip", lambda food: zipped(food, lambda raw: b""), "packed.zip cannot be read as a zip file"),
    ("a zip with wrong bytes", lambda food: zipped(food, lambda raw: raw[:300] + bytes(99) + raw[399:]), "cannot be read as a picture"),
    ("a zip that climbs", lambda food: zipped(food, **{"../training/0_99.jpg": b"evil"}), "../training/0_99.jpg cannot be read as a"),
]


@pytest.mark.parametrize(("breaks", "sentence"), [case[1:] for case in PICTURES], ids=[case[0] for case in PICTURES])
def test_broken_pictures_are_one_sentence(
    breaks: Callable[[Path], Path | None], sentence: str, here: Path, food: Path, told: Told, contents: Contents
):
    place = breaks(food)
    if place is None:
        place = food if food.exists() else food.with_suffix(".zip")
    before = contents(here)
    status, said = told("train.py", *TINY, f"data.path={place}")
    assert status == 1 and sentence in said
    assert contents(here) == before


@pytest.mark.parametrize("name", ["../../evil.jpg", "../evil.jpg", "/evil.jpg", "C:/evil.jpg"])
def test_a_zip_writes_nothing_outside(name: str, here: Path, food: Path, contents: Contents):
    place = zipped(food, **{name: picture()})
    deep = here / "some" / "where"
    deep.mkdir(parents=True)
    place = place.rename(deep / "packed.zip")
    before = contents(here)
    assert len(decode(list_pictures(str(place)), 8, "crop")["train"]) == 39
    assert contents(here) == before and not Path("/evil.jpg").exists()


def test_a_picture_of_one_pixel_is_a_picture(food: Path):
    (food / "training" / "0_0.jpg").write_bytes(picture((1, 1), "png"))
    for fit in ("crop", "stretch"):
        assert decode(list_pictures(str(food)), 8, fit)["train"][0].reshape(3, -1).T.tolist() == [[200, 40, 40]] * 64


class Touch:
    """Makes the file `evil` when a pickle of it is loaded."""

    def __reduce__(self) -> tuple:
        return os.system, ("touch evil",)


def broken_cache(how: str, place: Path) -> None:
    match how:
        case "pickled":
            (place / "a.npy").write_bytes(pickle.dumps(Touch()))
        case "an array of objects":
            np.save(place / "a.npy", np.array([Touch()], dtype=object), allow_pickle=True)
        case "cut short":
            (place / "a.npy").write_bytes((place / "a.npy").read_bytes()[:-100])
        case "empty":
            (place / "a.npy").write_bytes(b"")
        case "missing":
            (place / "a.npy").unlink()
        case "without its key":
            (place / "key.json").unlink()
        case "with a strange key":
            (place / "key.json").write_text("[1]")


@pytest.mark.parametrize(
    "how", ["pickled", "an array of objects", "cut short", "empty", "missing", "without its key", "with a strange key"]
)
def test_a_damaged_cache_is_made_again(how: str, here: Path):
    made = []

    def make() -> dict[str, np.ndarray]:
        made.append(how)
        return {"a": np.arange(500), "b": np.ones(3)}

    cached("cache", "thing", {"n": 1}, make)
    (place,) = (path for path in Path("cache").iterdir() if path.is_dir())
    broken_cache(how, place)
    for _ in range(2):
        arrays = cached("cache", "thing", {"n": 1}, make)
        assert arrays["a"].sum() == 499 * 250 and set(arrays) == {"a", "b"}
    assert len(made) == 2 and not Path("evil").exists()


def test_a_cache_that_cannot_be_is_one_sentence(here: Path, food: Path, told: Told, contents: Contents):
    before = contents(here)
    status, said = told("train.py", *TINY, f"data.path={food}", "cache_dir=file")
    assert status == 1 and "the cache file cannot be written" in said and "cache_dir= chooses another folder" in said
    assert contents(here) == before


def test_a_loss_that_is_not_finite_fails_the_run_and_keeps_its_folder(here: Path, food: Path, told: Told):
    status, said = told("train.py", *TINY, f"data.path={food}", "data.batch_size=4", "trainer.max_epochs=3", "optimizer.lr=1e9")
    assert status == 1 and "a smaller optimizer.lr" in said
    (path,) = Path("outputs/hw03_cnn").iterdir()
    facts = json.loads((path / "run.json").read_text())
    assert facts["status"] == "failed" and facts["error"] == said


# The folder of a run.


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run, as run.py left it; the tests break copies."""
    root = tmp_path_factory.mktemp("finished")
    for split, count in (("training", 12), ("validation", 6)):
        (root / "food" / split).mkdir(parents=True)
        for i in range(count):
            (root / "food" / split / f"{i % 2}_{i}.png").write_bytes(picture(colour=(20 * i, 250 * (i % 2), 5 * i)))
    assert train([*TINY, f"data.path={root / 'food'}", f"output_dir={root / 'out'}", f"cache_dir={root / 'cache'}"]) == 0
    (path,) = (root / "out" / "hw03_cnn").iterdir()
    return path


@pytest.fixture
def run(finished: Path, here: Path) -> Path:
    """A copy of the finished run, at `run` in the working folder."""
    shutil.copytree(finished, "run", ignore=shutil.ignore_patterns("figures"))
    return here / "run"


EVIL = {"_target_": "os.system", "_args_": ["touch evil"], "command": "touch evil"}
GONE = "<gone>"  # a word, so that every process of the tests gives the case one name


def change(folder: Path, key: str, value: Any) -> None:
    """Set a dotted key of config.yaml."""
    config = yaml.safe_load((folder / "config.yaml").read_text())
    *above, last = key.split(".")
    node = config
    for part in above:
        node = node[part]
    if value == GONE:
        del node[last]
    else:
        node[last] = value
    (folder / "config.yaml").write_text(yaml.safe_dump(config))


FILES: list[tuple[str, str, bytes | None, int, str]] = [
    ("run.json", "missing", None, 2, "run is not the folder of a run"),
    ("run.json", "empty", b"", 1, "run/run.json cannot be read as the JSON of a run"),
    ("run.json", "not JSON", b"{x", 1, "cannot be read as the JSON"),
    ("run.json", "a list", b"[1]", 1, "cannot be read as the JSON"),
    ("run.json", "binary", b"\xff\xfe\x00", 1, "cannot be read as the JSON"),
    ("run.json", "without keys", b"{}", 1, "cannot be read as the JSON"),
    ("run.json", "deep", b"[" * 100_000, 1, "cannot be read as the JSON"),
    ("run.json", "with few keys", b'{"status": "finished", "task": "hw03_cnn"}', 1, "run/run.json has no model that fits"),
    ("config.yaml", "missing", None, 2, "run is not the folder of a run"),
    ("config.yaml", "empty", b"", 1, "run/config.yaml cannot be read as the config of a run"),
    ("config.yaml", "a list", b"- 1", 1, "cannot be read as the config"),
    ("config.yaml", "a word", b"hello", 1, "cannot be read as the config"),
    ("config.yaml", "binary", b"\xff\x00\x01", 1, "cannot be read as the config"),
    ("config.yaml", "with code", b"!!python/object/apply:os.system ['touch evil']", 1, "cannot be read as the config"),
    ("config.yaml", "with code inside", b"seed: !!python/object/apply:os.system ['touch evil']", 1, "cannot be read as the config"),
]


@pytest.mark.parametrize("words", [["eval.py", "run=run"], ["train.py", "resume=run", "trainer.max_epochs=2"]], ids=["eval", "resume"])
@pytest.mark.parametrize(("name", "how", "content", "status", "sentence"), FILES)
def test_a_broken_file_of_a_run_is_one_sentence(
    words: list[str], name: str, how: str, content: bytes | None, status: int, sentence: str, run: Path, told: Told, contents: Contents
):
    (run / name).unlink() if content is None else (run / name).write_bytes(content)
    before = contents(run.parent)
    code, said = told(*words)
    assert sentence in said and code == status
    assert contents(run.parent) == before


NOT_ALLOWED = "is not allowed, or not there; a config may name classes and functions of ml2020.tasks"
CONFIGS: list[tuple[str, Any, int, str]] = [
    ("model", EVIL, 1, f"_target_ os.system {NOT_ALLOWED}"),
    ("data", EVIL, 1, f"_target_ os.system {NOT_ALLOWED}"),
    ("data.augment", EVIL, 1, f"_target_ os.system {NOT_ALLOWED}"),
    ("model.net.dense", [1, {"inside": [EVIL]}], 1, f"_target_ os.system {NOT_ALLOWED}"),
    ("optimizer._target_", "os.system", 1, NOT_ALLOWED),
    ("scheduler._target_", "builtins.eval", 1, NOT_ALLOWED),
    ("model._target_", "ml2020.core.folder.shutil.rmtree", 1, NOT_ALLOWED),
    ("model._target_", "ml2020.data.folders.os.system", 1, NOT_ALLOWED),
    ("model._target_", "ml2020.data.folders.ThreadPoolExecutor", 1, NOT_ALLOWED),
    ("model._target_", "ml2020.data.cache._write", 1, NOT_ALLOWED),
    ("model._target_", "ml2020.commands.train.train", 1, NOT_ALLOWED),
    ("model._target_", "torch.nn.modules.module.torch.os.system", 1, NOT_ALLOWED),
    ("model._target_", "torch.nn.modules.module.warnings", 1, NOT_ALLOWED),
    ("model._target_", "torch.load", 1, NOT_ALLOWED),
    ("model._target_", "ml2020.tasks.hw03_cnn.model.Nothing", 1, NOT_ALLOWED),
    ("model._target_", "ml2020.tasks.${oc.env:HOME}.x", 1, NOT_ALLOWED),
    ("model._target_", 5, 1, "run/config.yaml has no model._target_ that fits"),
    ("model.label_smoothing", '${oc.create:{_target_:os.system,command:"touch evil"}}', 2, "model.label_smoothing must lie between"),
    ("model.net", GONE, 1, "missing a required argument: 'net'; it may be another version's"),
    ("model.colour", 1, 1, "got an unexpected keyword argument 'colour'"),
    ("optimizer.lr", GONE, 1, "run/config.yaml has no optimizer.lr that fits: it is of another version, or was changed by hand"),
    ("optimizer.lr", "fast", 1, "has no optimizer.lr that fits"),
    ("trainer.max_epochs", GONE, 1, "has no trainer.max_epochs that fits"),
    ("trainer.max_epochs", "ten", 1, "has no trainer.max_epochs that fits"),
    ("trainer", 5, 1, "cannot be read as the config of a run"),
    ("task.main", GONE, 1, "has no task.main.name that fits"),
    ("seed", "x", 1, "has no seed that fits"),
    ("model.net.dropout", 7, 2, "model.net.dropout must lie between 0 and 0.95, not 7"),
]


@pytest.mark.parametrize(("key", "value", "status", "sentence"), CONFIGS, ids=lambda value: str(value)[:40])
def test_a_config_from_elsewhere_runs_nothing(
    key: str, value: Any, status: int, sentence: str, run: Path, told: Told, contents: Contents
):
    change(run, key, value)
    before = contents(run.parent)
    code, said = told("train.py", "resume=run", "trainer.max_epochs=2")
    assert sentence in said and code == status
    if key.partition(".")[0] in ("model", "data", "seed"):  # what eval.py builds
        assert told("eval.py", "run=run") == (code, said)
    assert contents(run.parent) == before


def saved(content: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream)
    return stream.getvalue()


def of_another_shape(raw: bytes) -> bytes:
    content = torch.load(io.BytesIO(raw), weights_only=True)
    average = (content.get("callbacks", {}).get("Conductor", {}).get("average") or {}).get("tensors", {})
    for weights in (content["state_dict"], average):
        weights |= {name: torch.zeros(3, 3) for name in weights if name.startswith("net.0")}
    return saved(content)


CHECKPOINTS: list[tuple[str, Callable[[bytes], bytes | None], str]] = [
    ("cut short", lambda raw: raw[: len(raw) // 2], "cannot be read: it is torn, or no checkpoint"),
    ("empty", lambda raw: b"", "cannot be read: it is torn, or no checkpoint"),
    ("a text", lambda raw: b"hello", "cannot be read: it is torn, or no checkpoint"),
    ("a pickle with code", lambda raw: pickle.dumps(Touch()), "cannot be read: it holds code, which is not run"),
    ("weights with code", lambda raw: saved({"state_dict": {"a": Touch()}}), "cannot be read: it holds code, which is not run"),
    ("a list", lambda raw: saved([1, 2]), "is not a checkpoint of a run"),
    ("weights that are a list", lambda raw: saved({"state_dict": [1]}), "is not a checkpoint of a run"),
    ("weights that are numbers", lambda raw: saved({"state_dict": {"a": 1}}), "is not a checkpoint of a run"),
    ("of another shape", of_another_shape, "has the shape [3, 3], not"),
    ("missing", lambda raw: None, "last.ckpt"),
]


@pytest.mark.parametrize("words", [["eval.py", "run=run"], ["train.py", "resume=run", "trainer.max_epochs=2"]], ids=["eval", "resume"])
@pytest.mark.parametrize("breaks", [case[1:] for case in CHECKPOINTS], ids=[case[0] for case in CHECKPOINTS])
def test_a_broken_checkpoint_is_one_sentence_and_its_code_is_not_run(
    words: list[str], breaks: tuple[Callable[[bytes], bytes | None], str], run: Path, told: Told, contents: Contents
):
    for file in (run / "checkpoints").glob("*.ckpt"):
        content = breaks[0](file.read_bytes())
        file.unlink() if content is None else file.write_bytes(content)
    before = contents(run.parent)
    status, said = told(*words)
    assert breaks[1] in said and status == 1
    after = contents(run.parent)
    changed = {name for name in after | before if after.get(name) != before.get(name)}
    assert all(name.startswith(("run/train.log", "run/events.out.")) for name in changed)  # told there, cut back to the checkpoint


def test_weights_alone_are_nothing_to_go_on_from(run: Path, told: Told):
    for file in (run / "checkpoints").glob("*.ckpt"):
        file.write_bytes(saved({"state_dict": torch.load(file, weights_only=True)["state_dict"]}))
    status, said = told("train.py", "resume=run", "trainer.max_epochs=2")
    assert status == 1 and "last.ckpt holds weights, but not where the run stood" in said


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"typed": 3}', '{"typed": [], "study": {"arms": 1, "grid": {}}}'])
@pytest.mark.parametrize("words", [("train.py", "resume=study"), ("ml2020", "record", "study")], ids=["resume", "record"])
def test_a_broken_study_is_one_sentence(content: str, words: tuple[str, ...], here: Path, told: Told):
    Path("study").mkdir()
    Path("study", "study.json").write_text(content)
    assert told(*words) == (1, "study/study.json cannot be read as the JSON of a study")


@pytest.mark.parametrize("content", [None, "", '{"main":', "[1]", '{"main": 3}', '{"val": {"acc": []}}'])
def test_broken_metrics_stop_a_record_and_nothing_else(content: str | None, run: Path, finished: Path, told: Told, contents: Contents):
    (run / "metrics.json").unlink() if content is None else (run / "metrics.json").write_text(content)
    before = contents(run.parent)
    assert told("ml2020", "record", "run", "name=broken_metrics") == (1, "run holds no readable metrics.json")
    assert main(["compare", "run", str(finished)]) == 0 and main(["runs", "output_dir=."]) == 0
    assert contents(run.parent) == before
    assert not (Path(__file__).parents[2] / "experiments" / "broken_metrics").exists()


def test_a_run_that_may_not_be_read_is_one_sentence(run: Path, told: Told):
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    (run / "run.json").chmod(0)
    assert told("eval.py", "run=run") == (1, "run/run.json cannot be read as the JSON of a run")


def test_a_resume_that_cannot_begin_leaves_the_folder_as_it_was(run: Path, told: Told, contents: Contents):
    config = RunFolder.open(run).config()
    shutil.move(config["data"]["path"], "elsewhere")
    before = contents(run.parent)
    try:
        status, said = told("train.py", "resume=run", "trainer.max_epochs=2")
        assert status == 1 and "there is no folder" in said and contents(run.parent) == before
    finally:
        shutil.move("elsewhere", config["data"]["path"])


@pytest.mark.parametrize("name", ["..", ".", ".hidden", "a/b", "../evil"])
def test_a_record_stays_in_its_own_folder(name: str, run: Path, told: Told, contents: Contents, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("ml2020.commands.record.shutil.rmtree", lambda *args, **kwargs: pytest.fail("a folder was emptied"))
    before = contents(run.parent)
    status, said = told("ml2020", "record", "run", f"name={name}")
    assert status == 2 and said == f"{name} cannot be the name of a folder; use letters, digits, - and _"
    assert contents(run.parent) == before
