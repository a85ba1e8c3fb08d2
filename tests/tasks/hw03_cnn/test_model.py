"""The networks of homework 3: sizes worked out by hand, metrics against scikit-learn."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from omegaconf import OmegaConf
from sklearn.metrics import accuracy_score, confusion_matrix, top_k_accuracy_score
from torch import nn

from ml2020.core.build import build
from ml2020.core.config import load
from ml2020.core.errors import TypedError
from ml2020.tasks.hw03_cnn.model import MLP, Classifier, ConvNet, ResidualBlock, ResNet

SPEC = {"input": [3, 16, 16], "classes": list("abcdefgh"), "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.25], "tested": "test"}
COURSE = [64, 128, 256, 512, 512]


def count(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def test_the_originals_network_has_its_parameters():
    # homeworks' figures: 12,830,859 in the original; the course's sample adds two numbers a channel for batch norm.
    net = ConvNet(3, 128, 11, channels_per_stage=COURSE, dense=[1024, 512], norm=False)
    assert count(net) == 12_830_859
    with_norm = ConvNet(3, 128, 11, channels_per_stage=COURSE, dense=[1024, 512], norm=True)
    biases = sum(COURSE)  # a convolution in front of batch norm needs none
    assert count(with_norm) == 12_833_803 - biases


def test_the_mlp_has_its_parameters():
    assert count(MLP(3, 48, 11, hidden=[10])) == 6912 * 10 + 10 + 2 * 10 + 10 * 11 + 11


@pytest.mark.parametrize("model", ["hw03_half_depth", "hw03_mlp"])
def test_the_compared_networks_are_of_about_the_same_size(model: str):
    def size(name: str) -> int:
        cfg, _ = load("train", ["task=hw03_cnn", f"model={name}"])
        return count(build(OmegaConf.to_container(cfg.model.net))(channels=3, size=48, classes=11))

    assert size(model) == pytest.approx(size("hw03_cnn"), rel=0.03)


def test_pooling_before_the_relu_is_the_courses_order():
    net = ConvNet(3, 8, 4, channels_per_stage=[5], norm=False)
    x = torch.randn(2, 3, 8, 8)
    conv = net[0][0]
    expected = F.max_pool2d(F.relu(conv(x)), 2)
    assert torch.equal(net[0](x), expected)


@pytest.mark.parametrize("size", [8, 33, 48])
@pytest.mark.parametrize(
    "net",
    [
        partial(ConvNet, channels_per_stage=[4, 8, 8, 8, 8]),
        partial(ConvNet, channels_per_stage=[4, 8, 8], dense=[7], pools=2, convolutions=2),
        partial(MLP, hidden=[9, 5]),
        partial(ResNet, channels_per_stage=[4, 8], blocks=2, drop_path=0.5),
    ],
)
def test_networks_take_any_size_and_give_logits(net: partial, size: int):
    assert net(channels=3, size=size, classes=6)(torch.rand(2, 3, size, size)).shape == (2, 6)


def test_stochastic_depth_keeps_the_mean():
    block = ResidualBlock(4, 4, 1, drop_path=0.5)
    x = torch.randn(1, 4, 6, 6).expand(20_000, -1, -1, -1)
    torch.manual_seed(0)
    with torch.no_grad():
        for norm in (block.norm1, block.norm2):
            norm.eval()
        block.drop_path = 0.0
        whole = block(x[:1]) - x[:1]
        block.drop_path = 0.5
        mean = (block(x) - x).mean(0, keepdim=True)
    torch.testing.assert_close(mean, whole, atol=0.02, rtol=0.05)


@pytest.fixture
def classifier() -> Classifier:
    torch.manual_seed(0)
    module = Classifier(partial(ConvNet, channels_per_stage=[8, 8]), label_smoothing=0.1)
    module.configure(SPEC)
    return module.eval()


def test_metrics_are_scikit_learns(classifier: Classifier):
    from types import SimpleNamespace

    x, labels = torch.rand(200, 3, 16, 16), torch.randint(0, 8, (200,))
    classifier._trainer = SimpleNamespace(testing=False)
    classifier._fabric = None
    with torch.no_grad():
        for i in range(0, 200, 64):
            classifier.evaluate_step((x[i : i + 64], labels[i : i + 64]))
        values = classifier.evaluate_end()
        probabilities = classifier(x).softmax(1).numpy()
    named = probabilities.argmax(1)
    assert float(values["acc"]) == pytest.approx(accuracy_score(labels, named))
    assert float(values["top5"]) == pytest.approx(top_k_accuracy_score(labels, probabilities, k=5))
    counts = confusion_matrix(labels, named, labels=range(8))
    assert np.array_equal(classifier.kept["val"]["confusion"].numpy(), counts)
    for i, name in enumerate(SPEC["classes"]):
        assert float(values[f"acc_{name}"]) == pytest.approx(counts[i, i] / counts[i].sum())


def test_normalisation_uses_the_training_pictures(classifier: Classifier):
    grey = torch.tensor(SPEC["mean"]).view(1, 3, 1, 1).expand(1, 3, 16, 16)
    assert torch.allclose(classifier(grey), classifier.net(torch.zeros(1, 3, 16, 16)))


def test_the_loss_with_smoothed_distributions_is_the_formula(classifier: Classifier):
    x, labels = torch.rand(4, 3, 16, 16), torch.tensor([0, 3, 5, 7])
    targets = 0.9 * F.one_hot(labels, 8).float() + 0.1 / 8
    by_hand = -(targets * classifier(x).log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(classifier.loss((x, F.one_hot(labels, 8).float())), by_hand)


@pytest.mark.parametrize("tta", ["flip", "views"])
def test_test_time_augmentation_of_a_mirrored_picture_is_the_same(classifier: Classifier, tta: str):
    classifier.tta = tta
    x = torch.rand(3, 3, 16, 16)
    torch.testing.assert_close(classifier.probabilities(x), classifier.probabilities(x.flip(-1)), atol=1e-5, rtol=1e-4)
    assert torch.allclose(classifier.probabilities(x).sum(1), torch.ones(3))


@pytest.mark.parametrize(("key", "value"), [("label_smoothing", 1.0), ("tta", "twice")])
def test_a_wrong_option_names_its_key(key: str, value: object):
    with pytest.raises(TypedError, match=f"model.{key}"):
        Classifier(partial(MLP, hidden=[4]), **{key: value})


@pytest.mark.parametrize("stages", [[], ["a"], [0], [3.5], 32])
def test_stages_that_are_no_whole_numbers_are_told(stages: object):
    with pytest.raises(TypedError, match=r"model\.net\.channels_per_stage must be a list of whole numbers"):
        ConvNet(3, 16, 4, channels_per_stage=stages)
