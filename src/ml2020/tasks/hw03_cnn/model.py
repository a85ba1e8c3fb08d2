"""Networks for pictures with one label, and how they are trained."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor, nn
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassConfusionMatrix

from ml2020.core.draws import Draws
from ml2020.core.errors import at_least, one_of, whole_numbers, within
from ml2020.core.loaders import TensorLoader
from ml2020.core.module import Module
from ml2020.data.augment import affine, affine_matrix
from ml2020.tasks.hw03_cnn import figures


class Classifier(Module):
    """A network that names the kind of a picture, trained by cross-entropy.

    `net` is called as net(channels=3, size=48, classes=11) and gives logits (n, classes) for pictures (n, 3, size, size), normalised.
    `tta` adds test-time augmentation: the mean probability of the picture and its mirror image ("flip"), or of ten views: the picture,
    two sizes and two small rotations, each mirrored too ("views").
    """

    def __init__(
        self,
        net: Callable[..., nn.Module],
        label_smoothing: float = 0.0,
        normalize: bool = True,
        tta: str = "flip",
        weights: str = "best",
    ) -> None:
        super().__init__()
        self.make_net = net
        self.label_smoothing = within(0, 0.9, label_smoothing, "model.label_smoothing")
        self.normalize = normalize
        self.tta = one_of(("none", "flip", "views"), tta, "model.tta")
        self.choose_by = one_of(("best", "last"), weights, "model.weights")

    def configure(self, spec: dict[str, Any]) -> None:
        """The network for pictures of `spec["input"]` and the classes of `spec["classes"]`, and its metrics."""
        channels, size, _ = spec["input"]
        self.classes, self.tested = spec["classes"], spec["tested"]
        self.net = self.make_net(channels=channels, size=size, classes=len(self.classes))
        mean, std = (torch.tensor(spec[k] if self.normalize else [float(k == "std")] * channels) for k in ("mean", "std"))
        self.register_buffer("mean", mean.view(1, -1, 1, 1).float())
        self.register_buffer("std", std.view(1, -1, 1, 1).float())
        self.metrics = MetricCollection(
            {
                "acc": MulticlassAccuracy(len(self.classes), average="micro"),
                "top5": MulticlassAccuracy(len(self.classes), average="micro", top_k=min(5, len(self.classes))),
                "confusion": MulticlassConfusionMatrix(len(self.classes)),
            },
            compute_groups=False,
        )
        self.acc_tta = MulticlassAccuracy(len(self.classes), average="micro")
        self.kept: dict[str, dict[str, Tensor]] = {}
        self.batches: list[tuple[Tensor, Tensor]] = []

    def forward(self, pictures: Tensor) -> Tensor:
        """(n, 3, s, s) in [0, 1] -> logits (n, classes)."""
        return self.net((pictures - self.mean) / self.std)

    def loss(self, batch: tuple[Tensor, ...]) -> Tensor:
        pictures, targets = batch  # (n, 3, s, s), (n, classes) distributions
        return F.cross_entropy(self(pictures), targets, label_smoothing=self.label_smoothing)

    def evaluate_step(self, batch: tuple[Tensor, ...]) -> None:
        pictures, labels = batch
        logits = self(pictures)
        self.metrics.update(logits, labels)
        self.batches.append((logits.float().softmax(1), labels))
        if self.tta != "none" and self.trainer.testing and self.split == self.tested:  # ten views cost ten times as much
            self.acc_tta.update(self.probabilities(pictures), labels)

    def evaluate_end(self) -> dict[str, Tensor]:
        """acc, top5, loss, acc_CLASS, and acc_tta where views were asked for."""
        values = self.metrics.compute()
        confusion = values.pop("confusion")
        probabilities, labels = (torch.cat(parts).cpu() for parts in zip(*self.batches, strict=True))
        values["loss"] = F.nll_loss(probabilities.clamp_min(1e-12).log(), labels)
        if self.acc_tta.update_called:
            values["acc_tta"] = self.acc_tta.compute()
        right = confusion.diag() / confusion.sum(1).clamp_min(1)
        values |= {f"acc_{name}": share for name, share in zip(self.classes, right, strict=True)}
        self.kept[self.split] = {"confusion": confusion.cpu(), "probabilities": probabilities, "labels": labels}
        self.metrics.reset(), self.acc_tta.reset(), self.batches.clear()
        return values

    def probabilities(self, pictures: Tensor) -> Tensor:
        """(n, classes): the mean over the views of test-time augmentation."""
        views = [pictures]
        if self.tta == "views":
            views += [turned(pictures, scale=scale) for scale in (0.85, 1.15)]
            views += [turned(pictures, angle=angle) for angle in (-0.15, 0.15)]
        if self.tta != "none":
            views += [view.flip(-1) for view in views]
        return torch.stack([self(view).float().softmax(1) for view in views]).mean(0)

    def predict_rows(self, loader: TensorLoader) -> tuple[tuple[str, str], list[tuple[int, int]]]:
        """The course's submission: header Id,Category and a row for each picture, in order."""
        named = torch.cat([self.probabilities(pictures.to(self.device)).argmax(1).cpu() for pictures, _ in loader])
        return ("Id", "Category"), [(number, int(label)) for number, label in enumerate(named)]

    def figures(self, data: Any, history: Any) -> Iterator[tuple[str, Figure]]:
        """Curves, confusion matrix, surest mistakes and augmented samples."""
        split, kept = self.tested, self.kept[self.tested]
        yield (
            "curves",
            figures.curves(history.series("train/loss"), history.series("val/loss"), history.series("val/acc")),
        )
        yield "confusion", figures.confusion(kept["confusion"].numpy(), self.classes, split)
        yield (
            "mistakes",
            figures.mistakes(data.splits[split][0].numpy(), kept["probabilities"].numpy(), kept["labels"].numpy(), self.classes),
        )
        pictures = data.splits["train"][0]
        index = torch.linspace(0, len(pictures) - 1, 10).long()
        views = torch.stack([data.augment(Draws(data.run_seed, epoch, index), pictures[index]) for epoch in range(5)])
        yield "samples", figures.samples(pictures[index].numpy(), views.numpy())


def turned(pictures: Tensor, scale: float = 1.0, angle: float = 0.0) -> Tensor:
    """All pictures (n, c, s, s) enlarged by `scale` and turned by `angle` radians."""
    one, zero = pictures.new_ones(len(pictures)), pictures.new_zeros(len(pictures))
    return affine(pictures, affine_matrix(one * angle, one * scale, zero, zero, zero, zero))


def block(inputs: int, outputs: int, norm: bool, pool: bool) -> nn.Sequential:
    """Convolution 3 x 3, pooling, batch norm, ReLU. Pooling first: the largest of four is the same behind a ReLU, and what
    follows has a quarter of the work."""
    layers = [nn.Conv2d(inputs, outputs, 3, padding=1, bias=not norm)]
    layers += [nn.MaxPool2d(2)] * pool + [nn.BatchNorm2d(outputs)] * norm
    return nn.Sequential(*layers, nn.ReLU(inplace=True))


class ConvNet(nn.Sequential):
    """Stages of convolutions, then dense layers.

    `channels_per_stage` [32, 64]: two stages, of `convolutions` each; the first `pools` of them end with a pooling that halves the
    side. `dense` [256]: hidden dense layers behind the flattened last map; [] averages the last map over its places instead (Lin et
    al. 2014).
    """

    def __init__(
        self,
        channels: int,
        size: int,
        classes: int,
        *,
        channels_per_stage: list[int],
        pools: int = 5,
        convolutions: int = 1,
        dense: list[int] | None = None,
        norm: bool = True,
        dropout: float = 0.0,
    ) -> None:
        whole_numbers(channels_per_stage, "model.net.channels_per_stage"), whole_numbers(dense or [], "model.net.dense", empty=True)
        at_least(1, convolutions, "model.net.convolutions"), within(0, 0.95, dropout, "model.net.dropout")
        at_least(0, pools, "model.net.pools")
        side, width = size, channels
        layers: list[nn.Module] = []
        for stage, outputs in enumerate(channels_per_stage):
            for i in range(convolutions):
                pool = i + 1 == convolutions and stage < pools and side >= 2
                layers.append(block(width, outputs, norm, pool))
                width, side = outputs, side // 2 if pool else side
        if dense:
            layers.append(nn.Flatten())
            width *= side * side
            for units in dense:
                layers += [nn.Linear(width, units), nn.ReLU(inplace=True), nn.Dropout(dropout)]
                width = units
        else:
            layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout)]
        super().__init__(*layers, nn.Linear(width, classes))


class MLP(nn.Sequential):
    """Dense layers on the flattened picture."""

    def __init__(self, channels: int, size: int, classes: int, *, hidden: list[int], dropout: float = 0.0) -> None:
        whole_numbers(hidden, "model.net.hidden"), within(0, 0.95, dropout, "model.net.dropout")
        widths = [channels * size * size, *hidden]
        layers: list[nn.Module] = [nn.Flatten()]
        for inputs, outputs in itertools.pairwise(widths):
            layers += [nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU(inplace=True), nn.Dropout(dropout)]
        super().__init__(*layers, nn.Linear(widths[-1], classes))


class ResidualBlock(nn.Module):
    """Two convolutions around a shortcut, norm and ReLU before each (He et al. 2016b), with stochastic depth (Huang et al. 2016)."""

    def __init__(self, inputs: int, outputs: int, stride: int, drop_path: float) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(inputs), nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm2, self.conv2 = nn.BatchNorm2d(outputs), nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.shortcut = None if stride == 1 and inputs == outputs else nn.Conv2d(inputs, outputs, 1, bias=False)
        self.stride, self.drop_path = stride, drop_path

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, s, s) -> (n, outputs, s / stride, s / stride)."""
        inner = F.relu(self.norm1(x))
        if self.shortcut is not None:
            x = self.shortcut(F.avg_pool2d(inner, self.stride, ceil_mode=True) if self.stride > 1 else inner)
        inner = self.conv2(F.relu(self.norm2(self.conv1(inner))))
        if self.training and self.drop_path:
            kept = (torch.rand(len(x), 1, 1, 1, device=x.device) >= self.drop_path).to(x.dtype)
            inner = inner * kept / (1 - self.drop_path)
        return x + inner


class ResNet(nn.Sequential):
    """A small pre-activation residual network: a stem that halves the side, stages of blocks, each but the first halving it again, an
    average over places, one dense layer."""

    def __init__(
        self,
        channels: int,
        size: int,
        classes: int,
        *,
        channels_per_stage: list[int],
        blocks: int = 1,
        dropout: float = 0.0,
        drop_path: float = 0.0,
    ) -> None:
        (
            whole_numbers(channels_per_stage, "model.net.channels_per_stage"),
            at_least(1, blocks, "model.net.blocks"),
            within(0, 0.95, dropout, "model.net.dropout"),
            within(0, 0.95, drop_path, "model.net.drop_path"),
        )
        width = channels_per_stage[0]
        total = blocks * len(channels_per_stage)
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.MaxPool2d(2)]
        for stage, outputs in enumerate(channels_per_stage):
            for i in range(blocks):
                depth = stage * blocks + i
                layers.append(ResidualBlock(width, outputs, 2 if i == 0 and stage else 1, drop_path * depth / max(1, total - 1)))
                width = outputs
        layers += [
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Dropout(dropout),
        ]
        super().__init__(*layers, nn.Linear(width, classes))
