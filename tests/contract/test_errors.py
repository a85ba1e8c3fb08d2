"""Bad input is one sentence on standard error and an exit status; nothing is made, written over or run (promises 5 and 10).

Status 2: what was typed is wrong, a folder too. Status 1: files, data, device, a run that failed.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

ROOT = Path(__file__).parents[2]
TASK = "task=hw03_cnn"
STUDY = "experiment=hw03_why_overfit"
Told = Callable[..., tuple[int, str]]
Contents = Callable[[Path], dict[str, str]]


# What is typed wrong: keys, options, flags, types, folders. Answered before torch is imported.

TYPED = [
    # keys
    ([TASK, "lr=0.1"], "There is no key lr; did you mean optimizer.lr?"),
    ([TASK, "optimzer.lr=1"], "did you mean optimizer.lr?"),
    ([TASK, "modell.tta=flip"], "did you mean model.tta?"),
    ([TASK, "trainer.max_epoch=3"], "did you mean trainer.max_epochs? (conf/trainer/default.yaml)"),
    ([TASK, "epochs=3"], "did you mean trainer.max_epochs?"),
    ([TASK, "data.augmnet=false"], "did you mean data.augment?"),
    ([TASK, "SEED=1"], "did you mean seed?"),
    ([TASK, "learning_rate=1"], "--cfg job behind the same words lists every key"),
    ([TASK, "seed.x=1"], "There is no key seed.x; did you mean seed?"),
    ([TASK, "model=hw03_mlp", "model.net.channels_per_stage=[32]"], "no key model.net.channels_per_stage with model=hw03_mlp"),
    ([TASK, "model.net.hidden=[3]"], "it is one of model=hw03_mlp"),
    ([TASK, "data=hw03_food11", "data.train_per_class=3"], "it is one of data=hw03_sample"),
    ([TASK, "optimizer=sgd", "optimizer.fused=true"], "it is one of optimizer=adam or optimizer=adamw"),
    ([TASK, "+foo=1"], "keys can be set, not added or removed; type foo=1"),
    ([TASK, "++trainer.gpus=1"], "keys can be set, not added"),
    ([TASK, "~model.tta"], "keys can be set, not added or removed"),
    (["model.tta=flip"], "model.tta belongs to a task, but none is chosen; begin with task="),
    ([TASK, "model._target_=os.system"], "model._target_ is chosen by the file of its group; type model=... instead"),
    ([TASK, "model.net._partial_=false"], "model.net._partial_ is chosen by the file"),
    ([TASK, "task.name=../x"], "task.name is chosen by the file of its group; type task=... instead"),
    ([TASK, "task.quick={}"], "task.quick is chosen by the file"),
    ([TASK, "model.brings.optimizer=sgd"], "is chosen by the file of its group"),
    ([TASK, "study={seeds:[1]}"], "study is chosen by the file of its group; type experiment=... instead"),
    ([STUDY, "study.seeds=[1]"], "study.seeds is chosen by the file of its group"),
    ([TASK, "data.augment={flip:3}"], "data.augment is a group of keys; set them one by one, such as data.augment.enabled=..."),
    ([TASK, "data.augment=null"], "data.augment is a group of keys"),
    ([TASK, "hydra.foo=1"], "hydra.foo=1 is for sweeps (-m)"),
    ([TASK, "hydra.run.dir=x"], "the folder of a single run is chosen by output_dir= and name="),
    (["-m", TASK, "hydra.foo=1", "seed=0,1"], "There is no key hydra.foo"),
    (["-m", TASK, "hydra/launcher=joblibb", "seed=0,1"], "did you mean joblib?"),
    ([TASK, "--cfg", "jobb"], "--cfg needs one of job, hydra, all right behind it"),
    ([TASK, "-c"], "-c needs one of job, hydra, all right behind it"),
    # groups and options
    (["tsk=hw03_cnn"], "There is no key tsk; did you mean task?"),
    ([TASK, "optimzer=adam"], "did you mean optimizer?"),
    (["task=hw3_cnn"], "There is no task=hw3_cnn; did you mean hw03_cnn? (conf/task/)"),
    ([TASK, "model=hw03_cn"], "did you mean hw03_cnn?"),
    ([TASK, "scheduler=cos"], "did you mean cosine?"),
    (["experiment=hw03_why"], "did you mean hw03_why_overfit?"),
    ([TASK, "model=null"], "There is no model=null; there are"),
    (["task="], "task= names none; there are"),
    (["task", "hw03_cnn"], "task is not key=value; did you mean task=hw03_cnn?"),
    (["hw03_cnn"], "did you mean task=hw03_cnn?"),
    (["seed=1"], "say which task: task=..."),
    (["quick=true"], "say which task: task=..."),
    (["model=hw03_cnn"], "say which task"),
    (["-m", "seed=0,1"], "say which task"),
    ([TASK, "task=hw03_cnn,hw03_cnn"], "for a sweep type python train.py -m task=hw03_cnn,hw03_cnn"),
    # types
    ([TASK, "trainer.max_epochs=ten"], "trainer.max_epochs takes a whole number, such as 18, not ten"),
    ([TASK, "trainer.max_epochs=1.5"], "takes a whole number"),
    ([TASK, "trainer.max_epochs=[1]"], "takes a whole number, such as 18, not [1]"),
    ([TASK, "trainer.max_epochs=true"], "not true"),
    ([TASK, "trainer.max_epochs=null"], "trainer.max_epochs cannot be null"),
    ([TASK, "trainer.max_epochs="], "trainer.max_epochs= needs a value right behind it"),
    ([TASK, "optimizer.lr=fast"], "optimizer.lr takes a number"),
    ([TASK, "optimizer.lr=true"], "optimizer.lr takes a number"),
    ([TASK, "model.normalize=yes"], "model.normalize takes true or false, not yes"),
    ([TASK, "model.net.channels_per_stage=64"], "takes a list, such as [32,64,128,192,256], not 64"),
    ([TASK, "model.tta=filp"], "model.tta takes none or flip or views, not filp; did you mean flip?"),
    ([TASK, "model.tta=null"], "not null; did you mean none?"),
    ([TASK, "trainer.gpus=one"], "trainer.gpus takes a whole number or null, not one"),
    ([TASK, "trainer.precision=16"], "takes 32-true or"),
    ([TASK, "data.seed=x"], "data.seed takes a whole number, such as 4, not x"),
    ([TASK, "quick=ture"], "quick takes true or false"),
    ([TASK, "seed=null"], "seed cannot be null"),
    ([TASK, "seed=${nothing}"], "seed=${nothing} leads nowhere"),
    ([TASK, "seed=${name}"], "seed cannot be null"),
    ([TASK, "name=${oc.env:HOME}/x"], "goes into the name of a folder"),
    # values that decide about folders and random numbers
    ([TASK, "seed=-1"], "seed must lie between 0 and 4294967295, not -1"),
    ([TASK, "seed=99999999999"], "seed must lie between"),
    ([TASK, "name=../x"], "name=../x goes into the name of a folder; use letters, digits, - and _"),
    ([STUDY, "name=../x"], "goes into the name of a folder"),
    ([TASK, f"name={'x' * 200}"], "at most 80"),
    ([TASK, "output_dir=file"], "file is a file, and runs go into a folder; type output_dir= with another one"),
    ([TASK, "output_dir=file/inside"], "file is a file, and runs go into a folder"),
    ([TASK, "output_dir="], "output_dir= needs a value"),
    ([TASK, "trainer.num_nodes=2"], "trainer.num_nodes=2 needs torchrun or srun"),
    # signs, flags, words
    ([TASK, "name='a"], "name='a cannot be read as key=value; a bracket or quote is open"),
    ([TASK, "model.net.dense=[1,2"], "model.net.dense=[1,2 cannot be read as key=value; a bracket or quote is open"),
    ([TASK, "name=(a)"], "put values with blanks or signs between quotes"),
    ([TASK, "seed==1"], "seed==1 cannot be read as key=value"),
    ([TASK, "=1"], "=1 is not key=value"),
    ([TASK, ""], "'' is not key=value"),
    ([TASK, "--verbose"], "--verbose is not an option of train.py; see python train.py --help"),
    (["--hlep"], "--hlep is not an option of train.py"),
    # sweeps and studies: every value is checked before the first job
    ([TASK, "seed=0,1"], "seed=0,1 names several values; for a sweep type python train.py -m seed=0,1"),
    (["-m", TASK, "optimizer.lr=0.1,fast"], "optimizer.lr takes a number"),
    (["-m", TASK, "model=hw03_mlp,hw03_cn"], "did you mean hw03_cnn?"),
    (["-m", TASK, "model.tta='flip','filp'"], "did you mean flip?"),
    (["-m", TASK, "seed=-1,0"], "seed must lie between"),
    (["-m", TASK, "model=hw03_cnn,hw03_mlp", "model.net.pools=2"], "no key model.net.pools with model=hw03_mlp"),
    (["-m", TASK, "model=glob(zz*)"], "model=glob(zz*) names none"),
    (["-m", TASK, "seed=glob(*)"], "glob() chooses among files"),
    (["-m", STUDY], "type it without -m"),
    ([STUDY, "seed=1.5"], "seed takes a whole number"),
    ([STUDY, "model.net.dropout=0.1"], "model.net.dropout= cannot be typed here: it is what the study varies"),
    # resume
    (["resume="], "say which folder: resume="),
    (["resume=nowhere"], "there is no folder nowhere"),
    (["resume=file"], "there is no folder file"),
    (["resume=folder"], "folder is not the folder of a run"),
    (["resume=a,b"], "resume=a,b names several values"),
    (["-m", "resume=folder"], "resume= takes no -m"),
    (["resume=folder", "seed=1"], "seed cannot be changed in a run that goes on; with resume= only trainer.max_epochs"),
    (["resume=folder", TASK], "task cannot be changed in a run that goes on"),
    (["resume=folder", "trainer.max_epoch=3"], "did you mean trainer.max_epochs?"),
    (["resume=folder", "trainer.max_epochs=0"], "takes a whole number of at least 1, not 0"),
    (["resume", "folder"], "resume is not key=value; did you mean resume=folder?"),
]
TYPED_EVAL = [
    (["do=test"], "say which run: run="),
    (["run="], "run= needs a value"),
    (["run=nowhere"], "there is no folder nowhere"),
    (["run=file"], "there is no folder file"),
    (["run=5"], "there is no folder 5"),
    (["run=~nobody_of_this_name/run"], "there is no folder ~nobody_of_this_name/run"),
    (["run=folder"], "folder is not the folder of a run"),
    (["run=folder", "do=tset"], "do takes test or predict or report or export, not tset; did you mean test?"),
    (["run=folder", "do=null"], "not null"),
    (["run=folder", "do=test,report"], "do=test,report names several values; give one"),
    (["rnu=folder"], "did you mean run?"),
    (["run=folder", "seed=1"], "There is no key seed; there are cache_dir, data_path, do, gpus, run, trace (conf/eval.yaml)"),
    (["run=folder", TASK], "There is no key task"),
    (["run=folder", "gpus=x"], "gpus takes a whole number or null"),
    (["run=folder", "+x=1"], "keys can be set, not added"),
    (["run=folder", "hydra.x=1"], "is no key of eval.py"),
    (["run", "folder"], "did you mean run=folder?"),
    (["--verbose"], "--verbose is not an option of eval.py; see python eval.py --help"),
]
TYPED_ML2020 = [
    (["lsit"], "did you mean list?"),
    (["train", TASK], "type python train.py task=NAME"),
    (["runs", "--all"], "--all is not an option of ml2020 runs"),
    (["runs", "output_dir=file"], "there is no folder file"),
    (["compare", "folder"], "with the folders of at least two runs"),
    (["compare", "folder", "nowhere"], "there is no folder nowhere"),
    (["record", "folder"], "folder is not the folder of a run"),
    (["record", "folder", "name="], "name= needs a value"),
    (["summary", "folder"], "folder is not the folder of a sweep"),
    (["clean", "everything"], "ml2020 clean knows no everything"),
    (["clean", "cache_dir=nowhere"], "there is no folder nowhere"),
    (["new", "../x"], "cannot be the name of a homework"),
]
COMMANDS = {"train.py": TYPED, "eval.py": TYPED_EVAL, "ml2020": TYPED_ML2020}
EVERY_TYPED = [(command, words, sentence) for command, cases in COMMANDS.items() for words, sentence in cases]


def as_line(value: Any) -> str | None:
    """The name of a case: its command line."""
    return " ".join(value) if isinstance(value, list) else None


@pytest.mark.parametrize(("command", "words", "sentence"), EVERY_TYPED, ids=as_line)
def test_a_typed_mistake_is_one_sentence_and_status_2(
    command: str, words: list[str], sentence: str, here: Path, told: Told, contents: Contents, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("ml2020.core.run.start", lambda folder: pytest.fail(f"{words} began to train"))
    monkeypatch.setattr("ml2020.studies.study.run_jobs", lambda *args: pytest.fail(f"{words} began a study"))
    before = contents(here)
    status, said = told(command, *words)
    assert sentence in said and status == 2
    assert contents(here) == before


def test_typed_mistakes_are_answered_without_torch(tmp_path: Path):
    lines = [(command, words) for command, words, _ in EVERY_TYPED[::8] if command != "ml2020"]
    code = (
        "import json, sys\nfrom ml2020.commands.train import train\nfrom ml2020.commands.evaluate import evaluate\n"
        "for command, words in json.loads(sys.argv[1]):\n"
        "    assert {'train.py': train, 'eval.py': evaluate}[command](words) == 2, words\n"
        "print(sorted({'torch', 'pytorch_lightning', 'matplotlib'} & set(sys.modules)))\n"
    )
    (tmp_path / "file").write_text(""), (tmp_path / "folder").mkdir()
    done = subprocess.run([sys.executable, "-c", code, json.dumps(lines)], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.stdout.splitlines()[-1:] == ["[]"], done.stderr
    assert len(done.stderr.splitlines()) == len(lines) > 10


@pytest.mark.parametrize(
    ("words", "sentence"),
    [(["train.py", TASK, "data.sed=1"], "did you mean data.seed?"), (["eval.py", "run=.", "do=tset"], "did you mean test?")],
)
def test_the_shell_sees_the_same(words: list[str], sentence: str, tmp_path: Path):
    done = subprocess.run([sys.executable, str(ROOT / words[0]), *words[1:]], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2 and sentence in done.stderr and len(done.stderr.splitlines()) == 1
    assert done.stdout == "" and not list(tmp_path.iterdir())


def test_a_number_of_processes_that_does_not_fit_is_told_at_once(
    here: Path, told: Told, contents: Contents, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("RANK", "0"), monkeypatch.setenv("WORLD_SIZE", "3")
    before = contents(here)
    status, said = told("train.py", TASK)
    assert status == 2 and "3 processes were started, but the trainer is set to 1; type trainer.devices=3" in said
    assert contents(here) == before


# Values out of their range, devices that are not there: answered by the class that owns the key, when it is built.

OUT_OF_RANGE = [
    (["data.batch_size=0"], 2, "data.batch_size must be at least 1, not 0"),
    (["data.seed=-1"], 2, "data.seed must be at least 0, not -1"),
    (["data.image_size=4"], 2, "data.image_size must lie between"),
    (["data.train_share=0"], 2, "data.train_share must lie between"),
    (["data.augment.flip=1.5"], 2, "data.augment.flip must lie between 0 and 1, not 1.5"),
    (["model.label_smoothing=1"], 2, "model.label_smoothing must lie between"),
    (["trainer.max_epochs=0"], 2, "trainer.max_epochs must be at least 1, not 0"),
    (["trainer.patience=-1"], 2, "trainer.patience must be at least 0, not -1"),
    (["trainer.keep=first"], 2, "trainer.keep takes best or last, not first"),
    (["trainer.ema_decay=1.0"], 2, "trainer.ema_decay must be below 1, not 1.0"),
    (["trainer.accumulate=0"], 2, "trainer.accumulate must be at least 1"),
    (["trainer.clip_norm=-1"], 2, "trainer.clip_norm must be at least 0"),
    (["trainer.threads=0"], 2, "trainer.threads must be at least 1, not 0"),
    (["trainer.precision=16-mixed"], 2, "trainer.precision=16-mixed needs a GPU"),
    (["trainer.devices=0"], 2, "trainer.devices must be at least 1, not 0"),
    (["trainer.gpus=-2"], 2, "trainer.gpus must be at least -1, not -2"),
    (["trainer.gpus=2", "trainer.devices=3"], 2, "trainer.gpus=2 and trainer.devices=3 disagree"),
    (["trainer.gpus=0", "trainer.accelerator=gpu"], 2, "trainer.gpus=0 and trainer.accelerator=gpu disagree"),
    (["trainer.gpus=1"], 1, "this machine has none that torch can use; type trainer.gpus=0"),
    (["trainer.accelerator=gpu"], 1, "this machine has none that torch can use"),
    (["data=hw03_food11"], 1, "there is no folder data/hw03; set data_dir=, or data.path="),
    (["data=hw03_food11", "data.path=file"], 1, "file is neither a folder nor a zip file"),
]
OUT_OF_RANGE_ON_PICTURES = [
    (["optimizer.lr=-1"], "optimizer.lr must be at least 0, not -1"),
    (["optimizer.lr=nan"], "optimizer.lr must be at least 0, not nan"),
    (["optimizer.weight_decay=-1"], "optimizer.weight_decay must be at least 0"),
    (["scheduler.warmup=2"], "scheduler.warmup must lie between 0.001 and 0.999, not 2"),
    (["scheduler=cosine", "scheduler.final=2"], "scheduler.final must lie between 0 and 1, not 2"),
    (["optimizer=sgd", "optimizer.momentum=-1"], "the optimizer refuses its options: Invalid momentum value: -1"),
    (["optimizer=sgd", "optimizer.momentum=0", "optimizer.nesterov=true"], "the optimizer refuses its options: Nesterov momentum"),
    (["model.net.dropout=2"], "model.net.dropout must lie between 0 and 0.95, not 2"),
    (["model.net.channels_per_stage=[]"], "must be a list of whole numbers of at least 1, such as [32,64], not []"),
    (["model.net.channels_per_stage=[0]"], "such as [32,64], not [0]"),
    (["model.net.channels_per_stage=[a]"], "such as [32,64], not ['a']"),
]


@pytest.mark.parametrize(("words", "status", "sentence"), OUT_OF_RANGE, ids=as_line)
def test_a_value_out_of_its_range_leaves_no_folder(
    words: list[str], status: int, sentence: str, here: Path, told: Told, contents: Contents
):
    if torch.cuda.is_available() and ("needs a GPU" in sentence or "this machine has none" in sentence):
        pytest.skip("this machine has a GPU")
    before = contents(here)
    code, said = told("train.py", TASK, *words)
    assert sentence in said and code == status
    assert contents(here) == before


@pytest.mark.parametrize(("words", "sentence"), OUT_OF_RANGE_ON_PICTURES, ids=as_line)
def test_so_does_one_of_the_network_and_the_optimizer(
    words: list[str], sentence: str, here: Path, food: Path, told: Told, contents: Contents
):
    before = contents(here)
    code, said = told("train.py", TASK, "data=hw03_food11", "data.path=food", "data.image_size=8", "trainer.threads=1", *words)
    assert sentence in said and code == 2
    assert contents(here) == before
