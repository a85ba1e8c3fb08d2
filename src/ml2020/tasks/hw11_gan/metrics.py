"""How far what is generated lies from what is real: distances on features of a trained network, copies, modes.

Features are those of EfficientNet-Lite0 by default, because its weights come with a package; a distance on them is not one on
Inception's, and one at 32 pixels is not one at 64. The Frechet distance is biased upwards by a number of samples below that of the
features, the kernel distance is not (Binkowski et al. 2018): numbers are comparable at equal counts only, so `compare` gives the counts
with them.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ml2020.core.errors import UserError
from ml2020.nn import lite0

# Pictures below this many pixels are enlarged to it, others are not: enlarged pictures are blurred alike, and lie far from all others.
LEAST = 32
INCEPTION = "weights-inception-2015-12-05-6726825d.pth"  # torch-fidelity's file; its name ends with the start of its sha256


def to_uint8(pictures: Tensor) -> Tensor:
    """Pictures in [-1, 1], as a network gives them, as uint8 of 0 to 255; beyond is cut.

    Raises UserError for what is not finite, which as bytes would be black pictures at a finite distance.
    """
    if not bool(pictures.isfinite().all()):
        raise UserError("the generator makes pictures that are not finite; a smaller optimizer.lr may help")
    return ((pictures.float() + 1) * 127.5).round().clamp(0, 255).byte()


# The network and its features.


@torch.no_grad()
def features(pictures: Tensor, network: str = "lite0") -> Tensor:
    """(n, d) float64 on the CPU, of pictures (n, 3, s, s), uint8 or float in [-1, 1]; computed where the pictures are."""
    extract = NETWORKS[network]()
    pictures = pictures if pictures.dtype == torch.uint8 else to_uint8(pictures)
    # At its first use a network is built, which draws weights: a resumed run builds it later, and would train with other noise.
    with torch.random.fork_rng([]), torch.autocast(pictures.device.type, enabled=False):
        return torch.cat([extract(part).double().cpu() for part in pictures.split(100)])


def _lite0() -> Callable[[Tensor], Tensor]:
    """Its features, each picture's brought to the length sqrt(d): a kernel of (cosine + 1)^3.

    As they are, their lengths differ by more than their directions, and say mostly how sharp a picture is: at 64 pixels the distances
    rose while a generator's first blurs became faces.
    """

    def extract(pictures: Tensor) -> Tensor:
        x = pictures.float()
        if x.shape[-1] < LEAST:
            x = F.interpolate(x, size=(LEAST, LEAST), mode="bilinear")
        return F.normalize(lite0.trained(str(x.device)).features(x)) * math.sqrt(lite0.Lite0.width)

    return extract


@cache
def _inception() -> Callable[[Tensor], Tensor]:
    """The 2,048 features of the Frechet Inception distance, from torch-fidelity's file. Raises UserError where it is not there."""
    file = Path(torch.hub.get_dir(), "checkpoints", INCEPTION)
    if not file.is_file():
        raise UserError(
            f"Inception's weights are not there: {file} (a release of torch-fidelity has them); model.features=lite0 needs no file"
        )
    if not hashlib.sha256(file.read_bytes()).hexdigest().startswith(INCEPTION[-12:-4]):  # it is unpickled: only this very file
        raise UserError(f"{file} is damaged, or another file: its sha256 does not begin with {INCEPTION[-12:-4]}")
    try:
        import torch_fidelity  # noqa: F401
        from torchmetrics.image.fid import NoTrainInceptionV3
    except ImportError:
        raise UserError(
            "Inception's network comes from the package torch-fidelity, which is not installed; pip install torch-fidelity"
        ) from None
    net = NoTrainInceptionV3("inception-v3-compat", ["2048"], str(file))
    return lambda pictures: net.to(pictures.device)(pictures)


NETWORKS = {"lite0": _lite0, "inception": _inception}


class Reals:
    """Features of the real pictures of each split: computed when they are first seen, and kept for the run."""

    def __init__(self, network: str = "lite0") -> None:
        self.network = network
        self.parts: dict[str, list[Tensor]] = {}
        self.whole: dict[str, Tensor] = {}

    def add(self, split: str, pictures: Tensor) -> None:
        """Take in one batch (n, 3, s, s) of a split, unless all of the split is known already."""
        if split not in self.whole:
            self.parts.setdefault(split, []).append(features(pictures, self.network))

    def of(self, split: str) -> Tensor:
        """(n, d) of all the batches of a split; from here on it is known."""
        if split not in self.whole:
            self.whole[split] = torch.cat(self.parts.pop(split))
        return self.whole[split]


# Distances between two sets of features.


def compare(real: Tensor, fake: Tensor) -> dict[str, float]:
    """kid, frechet, precision and recall of features (n, d) and (m, d), and the counts real and fake that they hold for."""
    precision, recall = precision_recall(real, fake)
    return {
        "kid": kernel_distance(real, fake),
        "frechet": frechet_distance(real, fake),
        "precision": precision,
        "recall": recall,
        "real": len(real),
        "fake": len(fake),
    }


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """|mean_a - mean_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)), float64 (Heusel et al. 2017), with the unbiased covariances S.

    With S = X'X for a centered and scaled X, the eigenvalues of S_a S_b are the squares of the singular values of X_a X_b': the trace
    of the root is their sum. No root of a d x d matrix is taken, and n may be below d.
    """
    x, y = _root(a), _root(b)
    apart = (a.double().mean(0) - b.double().mean(0)).square().sum()
    return float(apart + x.square().sum() + y.square().sum() - 2 * torch.linalg.svdvals(x @ y.T).sum())


def _root(f: Tensor) -> Tensor:
    """An X (k, d), k = min(n, d), with X'X the covariance of the rows of f (n, d)."""
    x = (f.double() - f.double().mean(0)) / math.sqrt(len(f) - 1)
    return x if len(x) <= x.shape[1] else torch.linalg.qr(x, mode="r").R


def kernel_distance(a: Tensor, b: Tensor) -> float:
    """The unbiased squared maximum mean discrepancy under the kernel (x'y / d + 1)^3 (Binkowski et al. 2018, eq. 4); about 0 for two
    draws from one distribution, and then below 0 as often as above. All pairs are used, not subsets of them."""
    a, b = a.double(), b.double()
    within = sum((k.sum() - k.diagonal().sum()) / (len(k) * (len(k) - 1)) for k in (_kernel(a, a), _kernel(b, b)))
    return float(within - 2 * _kernel(a, b).mean())


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T / x.shape[1] + 1) ** 3


def precision_recall(real: Tensor, fake: Tensor, k: int = 3) -> tuple[float, float]:
    """Shares of fakes among the reals, and of reals among the fakes (Kynkaanniemi et al. 2019, eq. 1 and 2).

    A point is among others if it lies in the ball of at least one of them, which reaches to that one's k-th neighbor of its own kind.
    """
    return _among(fake, real, k), _among(real, fake, k)


def _among(points: Tensor, others: Tensor, k: int) -> float:
    if len(others) <= k:
        raise UserError(f"precision and recall need more than {k} pictures, not {len(others)}")
    radius = torch.cdist(others, others).kthvalue(k + 1, dim=1).values  # the nearest of all is the point itself
    return float((torch.cdist(points, others) <= radius).any(1).double().mean())


# Copies of training pictures.


def nearest(pictures: Tensor, train: Tensor, side: int = 16) -> tuple[Tensor, Tensor]:
    """The training picture that is most like each picture, mirrored or not; both (n, 3, s, s) uint8.

    Gives the likeness (n,), the correlation of the two pictures' pixels when shrunk to `side`, and the place in `train`, (n,) int64.
    Unlike a distance it does not favor pale pictures, and noise hardly moves it at that size: a near copy is found as well.
    """
    rows = _standard(pictures, side)
    likeness, place = torch.full((len(rows),), -math.inf), torch.zeros(len(rows), dtype=torch.int64)
    for view in (train, train.flip(-1)):
        best, index = (rows @ _standard(view, side).T).max(1)
        place = torch.where(best > likeness, index, place)
        likeness = torch.maximum(best, likeness)
    return likeness, place


def _standard(pictures: Tensor, side: int) -> Tensor:
    """(n, 3 * side * side) float32 rows of mean 0 and length 1."""
    small = torch.cat([F.interpolate(part.float(), size=min(side, part.shape[-1]), mode="area") for part in pictures.split(1_000)])
    rows = small.flatten(1)
    return F.normalize(rows - rows.mean(1, keepdim=True))


def copies(fake: Tensor, train: Tensor, limit: float) -> float:
    """The share of generated pictures (n, 3, s, s) uint8 that are as like a training picture as `limit` (the spec's `copy`)."""
    return float((nearest(fake, train)[0] >= limit).double().mean())


def twins(fake: Tensor, limit: float) -> float:
    """The share of pictures (n, 3, s, s) uint8 that are as like another of them as `limit`: 1 where a generator has collapsed."""
    rows = _standard(fake, 16)
    likeness = torch.stack([rows @ _standard(view, 16).T for view in (fake, fake.flip(-1))]).amax(0)
    return float((likeness.fill_diagonal_(-math.inf).amax(1) >= limit).double().mean())


def vendi(pictures: Tensor) -> float:
    """How many different pictures there are in effect among (n, 3, s, s) uint8: 1 if all are alike, n if none resembles another.

    The Vendi score (Friedman and Dieng 2023): e to the entropy of the eigenvalues of K / n. K is here the correlation of pixels at
    16 x 16, because a trained network takes the different noise of pictures of one thing for different things.
    """
    rows = _standard(pictures, 16).double()
    values = torch.linalg.svdvals(rows).square() / len(rows)  # the eigenvalues of K / n that are not 0
    return float(torch.special.entr(values).sum().exp())


# Points on a ring.


def on_ring(points: Tensor, centers: Tensor, sigma: float) -> dict[str, float]:
    """What of (n, 2) points lies on the modes, centers (m, 2): within 3 sigma of one (Srivastava et al. 2017).

    good: the share of such points (98.9 % of real ones: 1 - exp(-9/2)); modes: how many have at least one; overlap: the sum over modes
    of min(share of the points that it has, 1 / m): near `good` where the modes are evenly covered, and 1 / m where there is one left.
    """
    distance, mode = torch.cdist(points.double().cpu(), centers.double().cpu()).min(1)
    good = distance <= 3 * sigma
    share = torch.bincount(mode[good], minlength=len(centers)).double() / len(points)
    return {
        "good": float(good.double().mean()),
        "modes": int((share > 0).sum()),
        "overlap": float(share.clamp(max=1 / len(centers)).sum()),
    }
