"""How important each weight is to what a network has learnt: the Fisher information in six kinds, MAS, and SCP.

Notation: f(x) are the K logits of a picture, p = softmax(f), J = df/dtheta (K x weights). The gradient of log p_c is J'(e_c - p), and
every importance here but the slips is a mean over pictures of sums of powers of such products:

    (1/n) sum_i sum_k w_ik |J_i' d_ik|^power          w_ik >= 0, d_ik in R^K, power 2 (Fisher) or 1 (MAS)

No loop over pictures: one forward pass keeps the input a of every layer, one backward pass for each k gives g at the layers' outputs,
and the gradient of picture i at a linear layer is the outer product g_i a_i'. So the sum of its squares over i is (g^2)' (a^2), one
product of matrices, and because a does not depend on k, g^2 is summed over k first (Goodfellow 2015; Dangel et al. 2020). A convolution
is a linear layer at every place of its unfolded input (layers.py). What is neither goes by torch.func, a gradient for each picture.

Networks are put into eval mode meanwhile: with batch norm in training mode no picture has a gradient of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from ml2020.core.errors import TypedError, one_of
from ml2020.tasks.hw14_lifelong.layers import record

KINDS = ("exact", "sampled", "empirical", "predicted", "batched", "original")

Importance = dict[str, Tensor]  # by the name of a parameter, of its shape
Directions = Callable[[Tensor, slice], Iterator[tuple[Tensor, Tensor]]]  # logits (n, K) -> pairs w (n,), d (n, K)


def fisher(
    net: nn.Module,
    images: Tensor,
    labels: Tensor | None = None,
    kind: str = "exact",
    *,
    units: Sequence[int] | None = None,
    batch_size: int = 128,
    generator: torch.Generator | None = None,
    batch_statistics: bool = False,
) -> Importance:
    """The diagonal of the Fisher information at the weights of `net`, images (n, ...), labels (n,) int64.

    exact      (1/n) sum_i sum_c p_c(x_i) (grad log p_c(x_i))^2       the expectation over the network's own answers
    sampled    (1/n) sum_i (grad log p_c(x_i))^2, c drawn from p(x_i) its unbiased estimate with one draw a picture (`generator`)
    empirical  (1/n) sum_i (grad log p_y(x_i))^2                      with the true labels (Kunstner et al. 2019: not the same thing)
    predicted  (1/n) sum_i (grad log p_c(x_i))^2, c = argmax p(x_i)   as in the code of van de Ven and Tolias
    batched    (1/B) sum_b (mean over batch b of grad log p_y)^2      a slip: signs cancel within a batch
    original   (1/n) (sum_i sum_c grad log p_c(x_i))^2                a slip: signs cancel everywhere, and it grows with n

    Only empirical and batched need labels. `units`: the outputs that compete (all where None); labels are outputs. `batch_statistics`,
    for original alone: batch norm by the statistics of the pictures themselves, which are then taken as one batch; another slip.
    """
    one_of(KINDS, kind, "model.fisher")
    if labels is None and kind in ("empirical", "batched"):
        raise TypedError(f"model.fisher={kind} needs labels, and the task has none; exact, sampled and predicted do without")
    answers = None if labels is None else _places(labels, units)
    if kind in ("batched", "original"):
        return _by_sums(net, images, answers, kind, units, batch_size, batch_statistics)

    def directions(logits: Tensor, part: slice) -> Iterator[tuple[Tensor, Tensor]]:
        """Pairs of weights (n,) and slopes of log p (n, outputs) in the logits, over which the squares are summed up."""
        p, one = logits.softmax(1), torch.eye(logits.shape[1], dtype=logits.dtype, device=logits.device)
        if kind == "exact":
            for c in range(logits.shape[1]):
                yield p[:, c], one[c] - p
            return
        if kind == "sampled":
            c = torch.multinomial(p.cpu(), 1, generator=generator)[:, 0].to(p.device)
        else:
            c = answers[part] if kind == "empirical" else logits.argmax(1)
        yield torch.ones_like(p[:, 0]), one[c] - p

    return mean_power(net, images, directions, 2, units=units, batch_size=batch_size)


def mas(net: nn.Module, images: Tensor, *, units: Sequence[int] | None = None, batch_size: int = 128) -> Importance:
    """Memory aware synapses, (1/n) sum_i |grad ||f(x_i)||^2| (Aljundi et al. 2018, eq. 2 and 3): no labels needed."""

    def directions(logits: Tensor, part: slice) -> Iterator[tuple[Tensor, Tensor]]:
        """Pairs of weights (n,) and slopes of log p (n, outputs) in the logits, over which the squares are summed up."""
        yield torch.ones_like(logits[:, 0]), 2 * logits

    return mean_power(net, images, directions, 1, units=units, batch_size=batch_size)


def scp(
    net: nn.Module,
    images: Tensor,
    *,
    slices: int | None = 100,
    units: Sequence[int] | None = None,
    batch_size: int = 128,
    generator: torch.Generator | None = None,
) -> Importance:
    """Sliced Cramer preservation, mean over unit vectors v of (grad of v . mean_i f(x_i))^2 (Kolouri et al. 2020).

    The gradient of a slice is M'v with M the Jacobian of the mean logits: K backward passes serve any number of `slices`. With None the
    expectation over all unit vectors: (1/K) sum_k M_k^2. The course squared the gradient of the slices' mean, in which they cancel.
    """
    rows: list[Importance] = []
    with evaluating(net), torch.enable_grad():
        weights = _weights(net)
        for part in _parts(len(images), batch_size):
            total = _selected(net(images[part]), units).sum(0)
            for k, output in enumerate(total):
                found = torch.autograd.grad(output, tuple(weights.values()), retain_graph=k + 1 < len(total), allow_unused=True)
                if len(rows) <= k:
                    rows.append({name: torch.zeros_like(w) for name, w in weights.items()})
                for name, gradient in zip(weights, found, strict=True):
                    if gradient is not None:
                        rows[k][name] += gradient / len(images)
    outputs = len(rows)
    vectors = torch.eye(outputs) * outputs**-0.5
    if slices is not None:
        vectors = nn.functional.normalize(torch.randn(slices, outputs, generator=generator), dim=1) * slices**-0.5
    short = torch.linalg.qr(vectors.double(), mode="r").R.to(images)  # at most K rows that give the same sum of squares
    jacobian = {name: torch.stack([row[name].flatten() for row in rows]) for name in weights}  # (K, weights)
    return {name: (short @ jacobian[name]).square().sum(0).view_as(weight) for name, weight in weights.items()}


def mean_power(
    net: nn.Module,
    images: Tensor,
    directions: Directions,
    power: int,
    *,
    units: Sequence[int] | None = None,
    batch_size: int = 128,
    by_layers: bool = True,
) -> Importance:
    """(1/n) sum_i sum_k w_ik |J_i' d_ik|^power; `directions` gives (w (n,), d (n, K)) for the logits of a part of the pictures.

    `by_layers=False` takes every weight the general way, a gradient per picture.
    """
    with evaluating(net), torch.enable_grad():
        weights = _weights(net)
        sums = {name: torch.zeros_like(weight) for name, weight in weights.items()}
        for part in _parts(len(images), batch_size):
            with record(net, power, by_layers) as layers:
                logits = _selected(net(images[part]), units)
            rest = sorted(weights.keys() - {name for layer in layers for name in layer.names.values()})
            pairs = list(directions(logits.detach(), part))
            for w, d in pairs if layers else ():  # g of every layer, for one d
                found = torch.autograd.grad(logits, [layer.output for layer in layers], d, retain_graph=True, allow_unused=True)
                for layer, g in zip(layers, found, strict=True):
                    if g is not None:
                        layer.add(w, g)
            for layer in layers:
                for name, total in layer.sums():
                    sums[name] += total
            for w, d in pairs if rest else ():
                for name, gradients in _per_picture(net, images[part], d, rest, units).items():
                    sums[name] += torch.einsum("n,n...->...", w, gradients.abs().pow(power))
    return {name: total / len(images) for name, total in sums.items()}


def _per_picture(net: nn.Module, images: Tensor, d: Tensor, names: list[str], units: Sequence[int] | None) -> Importance:
    """J_i' d_i by torch.func, (n, *shape) for each of the named parameters."""
    fixed = {name: tensor.detach() for name, tensor in [*net.named_parameters(), *net.named_buffers()]}
    own = {name: fixed.pop(name) for name in names}

    def slope(own: Importance, image: Tensor, direction: Tensor) -> Tensor:
        return _selected(functional_call(net, own | fixed, (image[None],)), units)[0] @ direction

    return vmap(grad(slope), (None, 0, 0))(own, images, d)


def _by_sums(
    net: nn.Module,
    images: Tensor,
    answers: Tensor | None,
    kind: str,
    units: Sequence[int] | None,
    batch_size: int,
    batch_statistics: bool,
) -> Importance:
    """The two slips: the gradient of a sum over pictures, squared."""
    whole = kind == "original" and batch_statistics
    with evaluating(net, batch_statistics=whole), torch.enable_grad():
        weights = _weights(net)
        sums = {name: torch.zeros_like(weight) for name, weight in weights.items()}
        parts = list(_parts(len(images), len(images) if whole else batch_size))
        for part in parts:
            log_p = _selected(net(images[part]), units).log_softmax(1)
            sought = log_p.sum() if kind == "original" else log_p[torch.arange(len(log_p)), answers[part]].mean()
            for name, gradient in zip(weights, torch.autograd.grad(sought, tuple(weights.values()), allow_unused=True), strict=True):
                if gradient is not None:
                    sums[name] += gradient if kind == "original" else gradient**2
    if kind == "original":
        return {name: total**2 / len(images) for name, total in sums.items()}
    return {name: total / len(parts) for name, total in sums.items()}


@contextmanager
def evaluating(net: nn.Module, batch_statistics: bool = False) -> Iterator[None]:
    """eval mode for a while; with `batch_statistics` batch norm stays in training mode, but what it keeps is put back."""
    modes = {module: module.training for module in net.modules()}
    kept = [(buffer, buffer.clone()) for buffer in net.buffers()] if batch_statistics else []
    net.eval()
    for module in net.modules() if batch_statistics else ():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.train()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode
        for buffer, value in kept:
            buffer.copy_(value)


def _weights(net: nn.Module) -> dict[str, nn.Parameter]:
    return {name: weight for name, weight in net.named_parameters() if weight.requires_grad}


def _parts(count: int, batch_size: int) -> Iterator[slice]:
    return (slice(start, min(start + batch_size, count)) for start in range(0, count, batch_size))


def _selected(logits: Tensor, units: Sequence[int] | None) -> Tensor:
    return logits if units is None else logits[:, list(units)]


def _places(labels: Tensor, units: Sequence[int] | None) -> Tensor:
    """Labels as places among `units`. Raises ValueError for one that is not among them."""
    if units is None:
        return labels
    found = labels[:, None] == torch.tensor(units, device=labels.device)
    if not found.any(1).all():
        raise ValueError(f"label {int(labels[~found.any(1)][0])} is not among the units {list(units)}")
    return found.int().argmax(1)
