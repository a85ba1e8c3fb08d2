"""Keys, options and types are answered in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml2020.commands.resume import _read as read_resume
from ml2020.core.config import load
from ml2020.core.errors import TypedError

TASK = "task=hw03_cnn"


def sentence(*words: str, multirun: bool = False) -> str:
    with pytest.raises(TypedError) as raised:
        load("train", list(words), multirun)
    text = str(raised.value)
    assert "\n" not in text and raised.value.status == 2
    return text


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("model.label_smothing=0.1", "did you mean model.label_smoothing? (conf/model/hw03_cnn.yaml)"),
        ("trainer.max_epoch=3", "did you mean trainer.max_epochs"),
        ("lr=0.1", "did you mean optimizer.lr"),
        ("sed=1", "did you mean seed"),
        ("modle.tta=flip", "did you mean model.tta"),
        ("data.augment.rotat=3", "did you mean data.augment.rotate"),
    ],
)
def test_a_wrong_key_is_answered_with_the_nearest_one(typed: str, expected: str):
    text = sentence(TASK, typed)
    assert text.startswith(f"There is no key {typed.split('=')[0]}")
    assert expected in text


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("trainer.max_epochs=x", "takes a whole number"),
        ("trainer.max_epochs=2.5", "takes a whole number"),
        ("trainer.max_epochs=null", "cannot be null"),
        ("trainer.channels_last=3", "takes true or false"),
        ("optimizer.lr=fast", "takes a number"),
        ("model.net.channels_per_stage=32", "takes a list"),
        ("model.tta=filp", "did you mean flip?"),
        ("trainer.accelerator=gpus", "did you mean gpu?"),
        ("trainer.gpus=one", "takes a whole number or null"),
        ("trainer.threads=2.0", "takes a whole number or null"),
        ("name=[a]", "takes a word or null"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused(typed: str, expected: str):
    assert expected in sentence(TASK, typed)


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("+foo=1", "can be set, not added"),
        ("++trainer.foo=1", "can be set, not added"),
        ("~trainer", "can be set, not added"),
        ("hw03_cnn", "did you mean task=hw03_cnn?"),
        ("seed=1,2", "-m seed=1,2"),
        ("optimizer=adm", "did you mean adam"),
        ("model=hw03_cn", "did you mean hw03_cnn"),
        ("model._target_=os.system", "type model=... instead"),
        ("name=a b(", "between quotes"),
    ],
)
def test_other_slips_have_their_own_sentence(typed: str, expected: str):
    assert expected in sentence(TASK, typed)


def test_a_key_of_a_task_without_a_task_says_so():
    assert "none is chosen" in sentence("model.tta=flip")
    assert "say which task" in sentence("model=hw03_cnn")


def test_every_value_of_a_sweep_is_checked_before_the_first_job():
    assert "takes a number" in sentence(TASK, "optimizer.lr=0.1,fast", multirun=True)
    assert "did you mean hw03_cnn" in sentence(TASK, "model=hw03_mlp,hw03_cn", multirun=True)


def test_an_int_is_taken_for_a_float_and_a_word_of_digits_for_a_name():
    cfg, _ = load("train", [TASK, "optimizer.lr=1", "name=7"])
    assert cfg.optimizer.lr == 1


def test_what_a_model_brings_holds_unless_it_is_typed():
    cfg, choices = load("train", [TASK, "model=hw03_original"])
    assert choices["optimizer"] == "adam" and cfg.optimizer.lr == 1e-3
    assert cfg.data.augment.enabled is False and cfg.trainer.max_epochs == 15
    cfg, _ = load("train", [TASK, "model=hw03_original", "trainer.max_epochs=3", "data.augment.enabled=true"])
    assert cfg.trainer.max_epochs == 3 and cfg.data.augment.enabled is True


def test_a_typed_optimizer_drops_the_rate_that_was_brought_for_another():
    cfg, choices = load("train", [TASK, "optimizer=sgd"])
    assert choices["optimizer"] == "sgd" and cfg.optimizer.lr == 0.1


def test_quick_values_give_way_to_typed_ones():
    cfg, _ = load("train", [TASK, "quick=true", "trainer.max_epochs=5"])
    assert cfg.trainer.max_epochs == 5 and cfg.data.train_per_class == 40


def test_a_word_of_digits_stays_as_it_was_typed():
    cfg, _ = load("train", [TASK, "name=007", "data_dir=2020"])
    assert cfg.name == "007" and cfg.data_dir == "2020"


@pytest.mark.parametrize("name", ["0_optimizer.lr=0.1,seed=2", "1_model.net.dense=[4,5]", "it's (mine)", "a b"])
def test_a_path_that_is_there_needs_no_quotes(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    Path(name).mkdir()
    assert load("eval", [f"run={name}"])[0].run == name
    assert load("eval", [f"run={tmp_path / name}"])[0].run == str(tmp_path / name)
    assert read_resume([f"resume={name}"])[0] == Path(name)


def test_the_home_folder_may_be_typed_where_the_shell_leaves_it_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load("train", [TASK, "output_dir=~/runs", "quick=true"])[0].output_dir == str(tmp_path / "runs")
    assert load("eval", ["run=~/my runs/0_lr=0.1,seed=2"])[0].run == str(tmp_path / "my runs" / "0_lr=0.1,seed=2")


def test_a_typed_reference_is_resolved_and_its_type_checked():
    cfg, _ = load("train", [TASK, "seed=${data.seed}"])
    assert cfg.seed == 4
    assert "takes a whole number" in sentence(TASK, "seed=${optimizer.lr}")
    assert "leads nowhere" in sentence(TASK, "optimizer.lr=${nothing}")


def test_every_choice_of_files_of_a_sweep_is_checked_with_every_key():
    words = (TASK, "model=hw03_cnn,hw03_mlp", "model.net.convolutions=2")
    assert "no key model.net.convolutions with model=hw03_mlp" in sentence(*words, multirun=True)
    cfg, choices = load("train", [TASK, "model=glob(hw03_*)", "seed=3,4"], multirun=True)
    assert choices["model"] == "hw03_best" and cfg.seed == 3


def test_a_config_of_one_line_is_not_changed_by_another():
    load("train", [TASK])[0].trainer.max_epochs = 1
    assert load("train", [TASK])[0].trainer.max_epochs == 18
