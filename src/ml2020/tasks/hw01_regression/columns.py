"""From nine hours of measurements to the columns of a linear model."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ml2020.core.errors import TypedError, one_of, suggestion, within

DIRECTIONS = ("WIND_DIREC", "WD_HR")  # degrees: 359 and 1 are neighbours


class Columns(nn.Module):
    """(n, 18, 9) windows as measured -> (n, width) standardised columns, in the precision of the windows.

    `hours`: how many of the last hours; `measurements`: "all" or a list of names; `wind`: directions as "degrees" or "circle", sine and
    cosine; `products`: squares and products of the last hour of "none", "all" or the measurements in a list. `names` says what a
    column is: ("PM2.5", 8) a measurement and its hour, ("PM2.5 x O3", 8) a product. `spec` is the data's (see data.Windows).
    """

    def __init__(
        self,
        spec: dict[str, Any],
        hours: int = 9,
        measurements: str | list[str] = "all",
        wind: str = "degrees",
        products: str | list[str] = "none",
    ) -> None:
        super().__init__()
        known = spec["measurements"]
        length = spec["input"][1]
        self.first = length - within(1, length, hours, "model.columns.hours")
        self.circle = one_of(("degrees", "circle"), wind, "model.columns.wind") == "circle"
        self.chosen = _chosen(measurements, known, "model.columns.measurements", ("all",))
        self.squared = _chosen(products, known, "model.columns.products", ("all", "none"))
        self.register_buffer("level", torch.tensor(spec["mean"], dtype=torch.float64))
        self.register_buffer("spread", torch.tensor(spec["std"], dtype=torch.float64))
        directions = [i for i in self.chosen if self.circle and known[i] in DIRECTIONS]
        self.plain = [i for i in self.chosen if i not in directions]
        self.directions = directions
        self.channels = [known[i] for i in self.plain] + [f"{part} {known[i]}" for part in ("sin", "cos") for i in directions]
        self.pairs = [(a, b) for k, a in enumerate(self.squared) for b in self.squared[k:]]
        self.names = [(channel, hour) for channel in self.channels for hour in range(self.first, length)]
        self.names += [(f"{known[a]} x {known[b]}", length - 1) for a, b in self.pairs]
        self.width = len(self.names)
        self.register_buffer("mean", torch.zeros(self.width, dtype=torch.float64))
        self.register_buffer("scale", torch.ones(self.width, dtype=torch.float64))

    def forward(self, windows: Tensor) -> Tensor:
        """(n, 18, 9) -> (n, width), with mean 0 and spread 1 over what was given to `measure`."""
        return (self.raw(windows) - self.mean) / self.scale

    def raw(self, windows: Tensor) -> Tensor:
        """(n, 18, 9) -> (n, width): each measurement standardised, the products not yet."""
        z = (windows - self.level[:, None]) / self.spread[:, None]
        parts = [z[:, self.plain, self.first :].flatten(1)]
        if self.directions:
            angle = torch.deg2rad(windows[:, self.directions, self.first :])
            parts += [angle.sin().flatten(1), angle.cos().flatten(1)]
        if self.pairs:
            one, other = (list(side) for side in zip(*self.pairs, strict=True))
            parts.append(z[:, one, -1] * z[:, other, -1])
        return torch.cat(parts, 1)

    def measure(self, windows: Tensor) -> None:
        """Take mean and spread of the columns from these windows: the training ones, never the validation's."""
        raw = self.raw(windows)
        self.standardise(raw.mean(0), raw.std(0, correction=0))

    def standardise(self, mean: Tensor, spread: Tensor) -> None:
        """Set mean and spread of the columns; one that does not vary stays at 0."""
        self.mean.copy_(mean)
        self.scale.copy_(torch.where(spread > 1e-9, spread, 1.0))


def _chosen(wanted: str | list[str], known: list[str], key: str, words: tuple[str, ...]) -> list[int]:
    """The places of the wanted measurements. Raises TypedError for a name that is none."""
    if isinstance(wanted, str):
        return {"all": list(range(len(known))), "none": []}[one_of(words, wanted, key)]
    upper = [name.upper() for name in known]
    for name in wanted:
        if str(name).upper() not in upper:
            raise TypedError(f"{key}: there is no measurement {name}{suggestion(str(name), known, 20)}")
    if not wanted or len(set(wanted)) < len(wanted):
        raise TypedError(f"{key} takes {' or '.join(words)} or a list of different measurements, such as [PM2.5,O3], not {wanted}")
    return [upper.index(str(name).upper()) for name in wanted]
