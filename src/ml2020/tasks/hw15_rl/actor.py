"""The network that acts, in numpy: for a few observations torch's calls cost more than the matrix products themselves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import nn

_SHAPES = {nn.Tanh: np.tanh, nn.ReLU: lambda x: np.maximum(x, 0.0)}


class Actor:
    """A perceptron of `net`'s present weights: linear layers with Tanh or ReLU between them. Made anew after every update."""

    def __init__(self, net: nn.Sequential | Sequence[nn.Module]) -> None:
        self.layers = []
        for layer in net:
            if isinstance(layer, nn.Linear):
                weight, bias = (w.detach().float().cpu().numpy() for w in (layer.weight, layer.bias))
                self.layers.append((weight.T, bias))
            else:
                self.layers.append(_SHAPES[type(layer)])

    def __call__(self, observations: np.ndarray) -> np.ndarray:
        """(n, d) float32 -> logits or values of the actions (n, actions)."""
        x = observations
        for layer in self.layers:
            x = x @ layer[0] + layer[1] if isinstance(layer, tuple) else layer(x)
        return x

    def greedy(self, observations: np.ndarray) -> np.ndarray:
        """The likeliest action of each observation, (n,)."""
        return self(observations).argmax(1)

    def sampler(self, rng: np.random.Generator, count: int, actions: int) -> Sampler:
        return Sampler(self, rng, count, actions)


class Sampler:
    """Draws actions from softmax(logits): the largest of logits plus Gumbel noise (Gumbel 1954). The noise is drawn in blocks."""

    BLOCK = 256

    def __init__(self, actor: Actor, rng: np.random.Generator, count: int, actions: int) -> None:
        self.actor, self.rng, self.shape = actor, rng, (self.BLOCK, count, actions)
        self.used = self.BLOCK

    def __call__(self, observations: np.ndarray) -> np.ndarray:
        """(m, d) -> actions (m,), m at most `count`."""
        if self.used == self.BLOCK:
            self.noise, self.used = self.rng.gumbel(size=self.shape).astype(np.float32), 0
        noise = self.noise[self.used, : len(observations)]
        self.used += 1
        return (self.actor(observations) + noise).argmax(1)
