"""network.png: the layers of a network with their output shapes and parameters."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn


@dataclass
class Layer:
    """One leaf of a network as it was called."""

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int


def layers(module: nn.Module, *example: Tensor) -> list[Layer]:
    """The leaves in the order of their calls, with the shapes of their outputs for one sample; of several outputs the first."""
    called: list[Layer] = []

    def note(name: str) -> object:
        """The hook that writes down a leaf's call."""

        def hook(leaf: nn.Module, inputs: tuple, output: object) -> None:
            while isinstance(output, tuple):  # a packed sequence is one too
                output = output[0]
            if isinstance(output, Tensor):
                count = sum(p.numel() for p in leaf.parameters(recurse=False))
                called.append(Layer(name, type(leaf).__name__, tuple(output.shape[1:]), count))

        return hook

    leaves = [(name, leaf) for name, leaf in module.named_modules() if not list(leaf.children()) and name]
    handles = [leaf.register_forward_hook(note(name)) for name, leaf in leaves]
    training = module.training
    try:
        with torch.no_grad():
            device = next(module.parameters(), example[0]).device
            module.eval()(*(part.to(device) for part in example))
    finally:
        module.train(training)
        for handle in handles:
            handle.remove()
    return called


def network_figure(module: nn.Module, *example: Tensor) -> Figure:
    """A row a layer, for one sample, `example`: name, kind, output shape, parameters, and a bar of its share of all parameters."""
    rows = [layer for layer in layers(module, *example) if layer.kind not in ("Identity",)]
    total = sum(layer.parameters for layer in rows)
    most = max((layer.parameters for layer in rows), default=1) or 1
    figure = Figure(figsize=(7.5, 0.6 + 0.24 * len(rows)))
    axes = figure.add_axes((0.02, 0.02, 0.96, 0.94))
    axes.axis("off")
    axes.set(xlim=(0, 10), ylim=(len(rows) + 0.5, -1.2))
    text = {"va": "center", "fontsize": 8, "family": "monospace"}
    for x, word in ((0, "layer"), (3, "kind"), (5.2, "output"), (6.9, "parameters")):
        axes.text(x, -0.7, word, weight="bold", **text)
    for y, layer in enumerate(rows):
        shape = " x ".join(str(side) for side in layer.shape)
        axes.text(0, y, layer.name.removeprefix("net."), **text)
        axes.text(3, y, layer.kind, **text)
        axes.text(5.2, y, shape, **text)
        axes.text(7.9, y, f"{layer.parameters:,}" if layer.parameters else "", ha="right", **text)
        axes.barh(y, 1.9 * layer.parameters / most, left=8.1, height=0.7, color="tab:blue")
    axes.text(0, len(rows), f"{total:,} parameters; for one input of {' x '.join(str(s) for s in example[0].shape[1:])}", **text)
    return figure
