"""Sums of powers of per-picture gradients, layer by layer, from one forward pass and the gradients at the layers' outputs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Layer:
    """What a layer saw and gave in one forward pass; `add` takes in g = d(sum_i d_i . f(x_i)) / d(output), of the output's shape.

    `names` are its parameters. `sums()` gives, by name, sum_i sum_k w_ik |gradient of picture i in direction k|^power.
    """

    def __init__(self, name: str, module: nn.Module, power: int, seen: Tensor, output: Tensor) -> None:
        self.module, self.power, self.output = module, power, output
        self.seen = seen.detach()
        self.names = {key: f"{name}.{key}" if name else key for key, p in module.named_parameters() if p.requires_grad}
        self.total: dict[str, Tensor] = {}

    def add(self, w: Tensor, g: Tensor) -> None:
        """w (n,), g as the output."""
        if "bias" in self.names:
            self._keep("bias", w @ self._powers(self.bias(g)))
        if "weight" in self.names:
            self.add_weight(w, g)

    def sums(self) -> Iterator[tuple[str, Tensor]]:
        """(name, sum) of each parameter that had a gradient."""
        for key, total in self.total.items():
            yield self.names[key], total.view_as(getattr(self.module, key))

    def bias(self, g: Tensor) -> Tensor:
        """(n, out): the gradient of the bias, picture by picture."""
        raise NotImplementedError

    def add_weight(self, w: Tensor, g: Tensor) -> None:
        raise NotImplementedError

    def _powers(self, x: Tensor) -> Tensor:
        return x.square() if self.power == 2 else x.abs().pow(self.power)

    def _keep(self, key: str, value: Tensor) -> None:
        self.total[key] = self.total[key] + value if key in self.total else value


class Dense(Layer):
    """A linear layer on (n, in): the gradient of picture i is g_i a_i', and a is the same for every direction."""

    def bias(self, g: Tensor) -> Tensor:
        return g

    def add_weight(self, w: Tensor, g: Tensor) -> None:
        self._keep("g", w[:, None] * self._powers(g))

    def sums(self) -> Iterator[tuple[str, Tensor]]:
        if "g" in self.total:
            self.total["weight"] = self.total.pop("g").T @ self._powers(self.seen)
        yield from super().sums()


class Convolution(Layer):
    """A convolution in two dimensions: a linear layer at every place, whose gradients are summed before they are squared."""

    def __init__(self, name: str, module: nn.Conv2d, power: int, seen: Tensor, output: Tensor) -> None:
        super().__init__(name, module, power, seen, output)
        places = F.unfold(self.seen, module.kernel_size, module.dilation, module.padding, module.stride)
        self.groups = module.groups
        self.places = places.view(len(seen) * self.groups, -1, places.shape[2])  # (n groups, in/groups kh kw, places)

    def bias(self, g: Tensor) -> Tensor:
        return g.sum((2, 3))

    def add_weight(self, w: Tensor, g: Tensor) -> None:
        by_group = g.reshape(len(g) * self.groups, -1, g.shape[2] * g.shape[3])
        gradients = torch.bmm(by_group, self.places.mT).view(len(g), -1)
        self._keep("weight", w @ self._powers(gradients))


class Norm(Layer):
    """Batch norm in eval mode: scale and shift of what its kept statistics make of the input."""

    def bias(self, g: Tensor) -> Tensor:
        return g.flatten(2).sum(2) if g.ndim > 2 else g

    def add_weight(self, w: Tensor, g: Tensor) -> None:
        module = self.module
        normal = F.batch_norm(self.seen, module.running_mean, module.running_var, eps=module.eps)
        self._keep("weight", w @ self._powers(self.bias(g * normal)))


def _kind(module: nn.Module, seen: Tensor) -> type[Layer] | None:
    """Which class takes the layer, None where none does."""
    if type(module) is nn.Linear and seen.ndim == 2:
        return Dense
    if type(module) is nn.Conv2d and module.padding_mode == "zeros" and not isinstance(module.padding, str):
        return Convolution
    if type(module) in (nn.BatchNorm1d, nn.BatchNorm2d) and module.track_running_stats:
        return Norm
    return None


@contextmanager
def record(net: nn.Module, power: int, enabled: bool = True) -> Iterator[list[Layer]]:
    """Watch one forward pass of `net`: afterwards the list holds the layers that can be taken at once.

    A layer that was used twice, or shares a weight with another, is left out: its gradients add up before they are squared.
    """
    layers: list[Layer] = []
    calls: Counter[nn.Module] = Counter()
    owners = Counter(id(p) for module in net.modules() for p in module._parameters.values() if p is not None)

    def hook(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        calls[module] += 1
        kind = _kind(module, args[0])
        if kind is None or not output.requires_grad:
            return output
        layers.append(kind(names[module], module, power, args[0], output))
        return output.clone()  # so that what follows may change it in place

    names = {module: name for name, module in net.named_modules()}
    alone = [m for m in names if m._parameters and all(owners[id(p)] == 1 for p in m._parameters.values() if p is not None)]
    handles = [module.register_forward_hook(hook) for module in alone if enabled]
    try:
        yield layers
    finally:
        for handle in handles:
            handle.remove()
    layers[:] = [layer for layer in layers if calls[layer.module] == 1]
