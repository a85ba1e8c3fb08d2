"""Exported networks: other programs get the numbers that the weights say."""

from __future__ import annotations

import importlib.util
import logging
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ml2020.commands.export import export
from ml2020.core.errors import UserError
from ml2020.core.folder import RunFolder
from ml2020.core.module import Module

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
FACTS = {"task": "hw99_lines", "model": "hw99_line", "seed": 0, "spec": {"classes": ["low", "high"]}}


class Line(Module):
    """Two lines through known points, with a dropout that would show if the network were not at rest."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.5))
        self.register_buffer("shift", torch.tensor([1.0, 0.0, -1.0]))
        with torch.no_grad():
            self.net[0].weight.copy_(torch.tensor([[1.0, 2.0, 3.0], [0.0, -1.0, 0.5]]))
            self.net[0].bias.copy_(torch.tensor([0.5, 0.0]))

    def forward(self, points: Tensor) -> Tensor:
        """(n, 3) in [-1, 1] -> heights (n, 2)."""
        return self.net(points - self.shift)


class Pair(Module):
    """Two inputs, two outputs, weights that may lie in channels_last."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 3, padding=1)
        self.names = nn.Embedding(4, 3)
        self.frozen = nn.BatchNorm2d(3)

    def forward(self, image: Tensor, name: Tensor) -> tuple[Tensor, Tensor]:
        maps = self.frozen(self.conv(image)).relu()
        return maps.mean((2, 3)) + self.names(name), maps.flatten(1)


def new_folder(path: Path) -> RunFolder:
    return RunFolder.create(path, FACTS, {"seed": 0})


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunFolder, list[tuple[str, ...]]]:
    """The two lines as files, traced and compared on one sample."""
    folder = new_folder(tmp_path_factory.mktemp("runs") / "run")
    return folder, export(folder, Line(), (torch.tensor([[0.5, 0.5, 0.5]]),))


POINTS = np.array([[1, 0, -1], [2, 1, 0], [1, 1, 1], [0, 0, 0], [1, 0, 1]], dtype=np.float32)
HEIGHTS = np.array([[0.5, 0], [6.5, -0.5], [8.5, 0], [2.5, 0.5], [6.5, 1]])  # by hand: weight (point - shift) + bias


@pytest.mark.parametrize("size", [1, 2, 5])
def test_both_files_give_the_numbers_worked_out_by_hand_for_any_batch(exported, size: int):
    folder, _ = exported
    session = onnxruntime.InferenceSession(folder.path / "export" / "model.onnx", providers=["CPUExecutionProvider"])
    (heights,) = session.run(["output"], {"points": POINTS[:size]})
    np.testing.assert_allclose(heights, HEIGHTS[:size], atol=1e-6)
    loaded = torch.export.load(folder.path / "export" / "model.pt2").module()
    np.testing.assert_allclose(loaded(torch.from_numpy(POINTS[:size])).detach().numpy(), HEIGHTS[:size], atol=1e-6)


def test_one_file_each_and_a_page_that_says_how_to_call_them(exported):
    folder, rows = exported
    assert sorted(file.name for file in (folder.path / "export").iterdir()) == ["README.txt", "model.onnx", "model.pt2"]
    assert not (folder.path / "export.tmp").exists()
    assert [row[0] for row in rows] == ["export/model.onnx", "export/model.pt2"] and all(int(row[1]) > 0 for row in rows)
    assert all(float(row[2]) < 1e-5 for row in rows)
    text = (folder.path / "export" / "README.txt").read_text()
    for words in ("hw99_lines (hw99_line)", "points  float32  (batch, 3)", "output  float32  (batch, 2)", "(n, 3) in [-1, 1]",
                  "low, high", f"torch {torch.__version__}", "session.run(None, {'points': points})"):  # fmt: skip
        assert words in text, words
    (entry,) = onnxruntime.InferenceSession(folder.path / "export" / "model.onnx").get_inputs()
    assert (entry.name, entry.shape) == ("points", ["batch", 3])


def test_several_inputs_and_outputs_and_the_module_stays_as_it_was(tmp_path: Path, capfd: pytest.CaptureFixture):
    torch.manual_seed(0)
    module = Pair().to(memory_format=torch.channels_last)
    module.train()
    module.frozen.eval()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    filters, levels = list(warnings.filters), (logging.root.level, logging.root.manager.disable)
    folder = new_folder(tmp_path / "run")
    with torch.inference_mode():
        example = (torch.randn(4, 2, 5, 5), torch.tensor([0, 3, 1, 2]))
        export(folder, module, example)
    assert capfd.readouterr() == ("", "")
    assert (list(warnings.filters), (logging.root.level, logging.root.manager.disable)) == (filters, levels)
    assert module.training and module.conv.training and not module.frozen.training
    assert module.conv.weight.is_contiguous(memory_format=torch.channels_last) and not module.conv.weight.is_contiguous()
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    session = onnxruntime.InferenceSession(folder.path / "export" / "model.onnx")
    assert [entry.name for entry in session.get_inputs()] == ["image", "name"]
    image, name = (value.clone().numpy() for value in example)
    answers = session.run(None, {"image": np.concatenate([image] * 2), "name": np.concatenate([name] * 2)})
    with torch.no_grad():
        wanted = module.eval()(*example)
    for answer, ours in zip(answers, wanted, strict=True):
        np.testing.assert_allclose(answer, np.concatenate([ours.numpy()] * 2), atol=1e-5)


def test_a_file_that_answers_otherwise_is_refused_and_an_earlier_one_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = new_folder(tmp_path / "run")
    folder.write_text("export/model.onnx", "an earlier export")

    def write_and_spoil(program, inputs, file, **options):
        real(program, inputs, file, **options)
        model = onnx.load(file)
        (bias,) = [entry for entry in model.graph.initializer if "bias" in entry.name]
        bias.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(bias) + np.float32([0.0, 0.01]), bias.name))
        onnx.save(model, file)

    real = torch.onnx.export
    monkeypatch.setattr(torch.onnx, "export", write_and_spoil)
    with pytest.raises(UserError, match=r"model\.onnx differs from the network by 1\.0e-02 where the largest output is 6\.5e\+00"):
        export(folder, Line(), (torch.tensor([[2.0, 1.0, 0.0]]),))
    assert [file.read_text() for file in (folder.path / "export").iterdir()] == ["an earlier export"]
    assert not (folder.path / "export.tmp").exists()


@pytest.mark.parametrize("name", ["onnx", "onnxruntime", "onnxscript"])
def test_a_missing_package_is_one_sentence_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda wanted: None if wanted == name else real(wanted))
    folder = new_folder(tmp_path / "run")
    with pytest.raises(UserError, match=rf"^export needs {name}; type pip install -e '\.\[export\]'$"):
        export(folder, Line(), (torch.zeros(1, 3),))
    assert not (folder.path / "export").exists() and not (folder.path / "export.tmp").exists()


def test_a_network_that_cannot_be_traced_is_one_sentence(tmp_path: Path):
    class Branching(Line):
        def forward(self, points: Tensor) -> Tensor:
            return points if points.sum() > 0 else -points

    folder = new_folder(tmp_path / "run")
    with pytest.raises(UserError, match=r"^the network cannot be exported: ") as caught:
        export(folder, Branching(), (torch.ones(2, 3),))
    assert "\n" not in str(caught.value) and not (folder.path / "export").exists()


def test_the_file_of_torch_needs_nothing_of_this_project(exported, monkeypatch: pytest.MonkeyPatch):
    for name in [*sys.modules]:
        if name.split(".")[0] in ("ml2020", "pytorch_lightning"):
            monkeypatch.setitem(sys.modules, name, None)  # importing it fails
    loaded = torch.export.load(exported[0].path / "export" / "model.pt2").module()
    np.testing.assert_allclose(loaded(torch.tensor([[2.0, 1.0, 0.0]])).detach().numpy(), [[6.5, -0.5]], atol=1e-6)
