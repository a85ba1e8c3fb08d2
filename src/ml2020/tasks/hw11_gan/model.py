"""Two networks that take turns: what all GANs here have in common. What each of them loses is in its own file."""

from __future__ import annotations

import contextlib
import copy
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from ml2020.core import optim, processes
from ml2020.core.errors import TypedError, at_least, nearest, one_of, within
from ml2020.core.module import Module
from ml2020.core.network import network_figure
from ml2020.tasks.hw11_gan import augment, metrics, networks
from ml2020.tasks.hw11_gan.gallery import gallery

NETS = ("generator", "discriminator")
SLIPS = ("uniform_noise", "seven_to_four")
KERAS = 32  # pictures of a step where Keras' fit is not told


class GAN(Module):
    """A generator that learns to make what a discriminator, which learns beside it, takes for real (Goodfellow et al. 2014).

    A step of training is one of the discriminator, on a batch and on as many generated samples; every `discriminator_steps`-th of them
    one of the generator follows. A subclass says what the two lose by the scores (n,) of real and of generated samples, and may add a
    `penalty` and what becomes of the discriminator's weights after its step (`limit`).

    `net`, `width`, `kernel`, `norm`: networks.make. `average`: decay of the average of the generator's weights that pictures are made
    with, 0 for none. `sample_norm`: whether batch norm uses its running statistics, or those of the batch, when pictures are made.
    `diffaugment`: kinds of augment.KINDS. `instance_noise`: standard deviation of noise on all that the discriminator sees, falling to
    0 over the training. `optimizers`: {generator | discriminator: {lr, betas}}, where None is what the run's optimizer says.
    `slips`: of the student's second training: `uniform_noise`, trained on noise in [0, 1) and shown by normal noise; `seven_to_four`,
    steps on 32 samples, which for 100 + 100 pictures makes 7 steps of the discriminator on mixed batches, then 4 of the generator.
    """

    middle: float | None = 0.0  # the score between real and generated, where the loss knows one

    def __init__(
        self,
        net: str = "dcgan",
        latent: int = 100,
        width: int = 32,
        kernel: int = 4,
        norm: str = "batch",
        discriminator_steps: int = 1,
        average: float = 0.99,
        sample_norm: str = "running",
        diffaugment: Sequence[str] = (),
        instance_noise: float = 0.0,
        optimizers: Mapping[str, Mapping[str, Any]] | None = None,
        slips: Sequence[str] = (),
        samples: int = 500,
        features: str = "lite0",
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.net, self.latent, self.width, self.kernel, self.norm = net, latent, width, kernel, norm
        self.discriminator_steps = at_least(1, discriminator_steps, "model.discriminator_steps")
        self.average = within(0, 0.99999, average, "model.average")
        self.sample_norm = one_of(("running", "batch"), sample_norm, "model.sample_norm")
        self.diffaugment = chosen(augment.KINDS, diffaugment, "model.diffaugment")
        self.instance_noise = at_least(0, instance_noise, "model.instance_noise")
        self.slips = chosen(SLIPS, slips, "model.slips")
        if "seven_to_four" in self.slips and type(self).mixed_loss is GAN.mixed_loss:
            raise TypedError(f"model.slips=[seven_to_four] mixes real and generated samples, which {type(self).__name__} cannot")
        self.rates = {name: _changes((optimizers or {}).get(name, {}), name) for name in NETS}
        self.samples = at_least(10, samples, "model.samples")
        self.features = one_of(metrics.NETWORKS, features, "model.features")

    # What a subclass fills in.

    def discriminator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """By the scores (n,) of real and generated samples."""
        raise NotImplementedError

    def generator_loss(self, fake: Tensor) -> Tensor:
        """By the scores (n,) of generated samples."""
        raise NotImplementedError

    def penalty(self, real: Tensor, fake: Tensor) -> Tensor | float:
        """What the discriminator pays beside its loss, for samples (n, *shape)."""
        return 0.0

    def limit(self) -> None:
        """Called after each step of the discriminator."""

    # The two networks and their optimizers.

    def configure(self, spec: dict[str, Any]) -> None:
        """The two networks, the averaged generator, and what is seen of it. Raises TypedError for data that they cannot make."""
        self.spec, self.shape = spec, spec["shape"]
        parts = (self.net, self.shape, self.latent, self.width, self.kernel, self.norm)
        self.generator, self.discriminator = networks.make(*parts)
        if self.average:
            self.averaged = copy.deepcopy(self.generator).requires_grad_(False)
        self.turns = 0  # steps of the discriminator
        self.updates = 0  # steps of the generator
        self.gallery = gallery(self)

    def configure_optimizers(self) -> list[Any]:
        """One for each network, and where the run has a schedule, one for each of them."""
        made = [self.plan.make(getattr(self, name).parameters(), **self.rates[name]) for name in NETS]
        schedules = [schedule for _, schedule in made if schedule is not None]
        return ([optimizer for optimizer, _ in made], schedules) if schedules else [optimizer for optimizer, _ in made]

    def compile(self, *args: Any, **options: Any) -> None:
        """Each network by itself: the turns they take are plain Python."""
        self.generator.compile(*args, **options), self.discriminator.compile(*args, **options)

    # Taking turns.

    def training_step(self, batch: tuple[Tensor], index: int) -> None:
        """A step of the discriminator on (n, *shape), and, if it is due, one of the generator."""
        (real,) = batch
        if "seven_to_four" in self.slips:
            self.keras_fit(real)
        else:
            self.discriminator_step(real)
            if self.turns % self.discriminator_steps == 0:
                self.generator_step(len(real))
        for schedule in self.trainer.lr_scheduler_configs:
            schedule.scheduler.step()

    def discriminator_step(self, real: Tensor) -> None:
        """Tell real from generated a little better."""
        with torch.no_grad():
            fake = self.generator(self.noise(len(real)))
        on_real, on_fake = self.scores(real), self.scores(fake)
        loss = self.discriminator_loss(on_real, on_fake)
        self.descend("discriminator", loss + self.penalty(real, fake))
        self.limit()
        self.turns += 1
        self.log_row(loss=loss.detach(), real_score=on_real.detach().mean(), fake_score=on_fake.detach().mean())
        if self.middle is not None:
            right = {"real_right": on_real.detach() > self.middle, "fake_right": on_fake.detach() < self.middle}
            self.log_row(**{name: which.float().mean() for name, which in right.items()})

    def generator_step(self, count: int) -> None:
        """Fool the discriminator as it is now a little better."""
        self.discriminator.requires_grad_(False)  # nothing of it moves: its gradients would be thrown away
        loss = self.generator_loss(self.scores(self.generator(self.noise(count))))
        self.descend("generator", loss)
        self.discriminator.requires_grad_(True)
        self.follow()
        self.log_row(generator_loss=loss.detach())

    def descend(self, name: str, loss: Tensor) -> None:
        """A step of one of the two networks."""
        optimizer = self.optimizers()[NETS.index(name)]
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()

    def scores(self, samples: Tensor) -> Tensor:
        """What the discriminator says of samples (n, *shape), as it is shown them in training: (n,)."""
        samples = augment.augment(samples, self.diffaugment)
        if self.instance_noise:
            left = max(0.0, 1 - self.turns / self.plan.steps)
            samples = samples + self.instance_noise * left * torch.randn_like(samples)
        return self.discriminator(samples)

    def noise(self, count: int) -> Tensor:
        """(count, latent), standard normal; by the slip uniform. Of several processes, which draw alike, each takes its own."""
        draw, here = torch.rand if "uniform_noise" in self.slips else torch.randn, processes.place()
        return draw(count * here.world, self.latent, device=self.device)[here.rank :: here.world]

    def keras_fit(self, real: Tensor) -> None:
        """The slip: real and generated pictures, shuffled together, are cut into 32s: D takes more steps than G."""
        with torch.no_grad():
            fake = self.generator(self.noise(len(real)))
        mixed, is_real = torch.cat([fake, real]), torch.arange(2 * len(real), device=real.device) >= len(real)
        for part in torch.randperm(len(mixed), device=real.device).split(KERAS):
            scores, own = self.scores(mixed[part]), is_real[part]
            loss = self.mixed_loss(scores, own)
            self.descend("discriminator", loss)
            self.turns += 1
            self.log_row(loss=loss.detach())
        for part in torch.arange(len(real)).split(KERAS):
            self.generator_step(len(part))

    def mixed_loss(self, scores: Tensor, real: Tensor) -> Tensor:
        """The discriminator's loss of a mixed batch of scores (n,); `real`: (n,) bool."""
        raise NotImplementedError

    @torch.no_grad()
    def follow(self) -> None:
        """Move the averaged generator; its first averages would hold the random start, so the decay rises: 1 - 1 / (t / 10 + 1)."""
        if self.average:
            decay = min(self.average, 1 - 1 / (self.updates / 10 + 1))
            for mean, now in zip(_floats(self.averaged), _floats(self.generator), strict=True):
                mean.lerp_(now, 1 - decay)
        self.updates += 1

    # Samples, and how far they are from real ones.

    def forward(self, noise: Tensor) -> Tensor:
        """(n, latent) -> samples (n, *shape) of the generator that samples are taken from."""
        return self.best_generator(noise)

    @property
    def best_generator(self) -> nn.Module:
        return self.averaged if self.average else self.generator

    @torch.no_grad()
    def sample(self, noise: Tensor, norm: str | None = None, averaged: bool | None = None) -> Tensor:
        """Samples of noise (n, latent), in batches of 100; `norm` and `averaged` as the model says, unless given."""
        net = self.best_generator if averaged is None else self.averaged if averaged else self.generator
        with sampling(net, norm or self.sample_norm):
            return torch.cat([net(part) for part in noise.to(self.device).split(100)])

    def fixed_noise(self, count: int, seed: int = 0) -> Tensor:
        """(count, latent) standard normal, the same in every run."""
        return torch.randn(count, self.latent, generator=torch.Generator().manual_seed(seed))

    def evaluate_step(self, batch: tuple[Tensor]) -> None:
        self.gallery.take(self.split, batch[0])

    def evaluate_end(self) -> dict[str, float]:
        """Distances of `samples` generated samples, of fixed noises, to the real ones of the split."""
        values = self.gallery.compare(self.split, self.sample(self.fixed_noise(self.samples, seed=1)))
        if self.fitting:
            self.gallery.keep(self.sample(self.fixed_noise(self.gallery.frame_size)))
        return values

    @property
    def fitting(self) -> bool:
        """Whether a fit goes on, whose validations are worth a frame of the animation."""
        return self._trainer is not None and self._trainer.state.fn == "fit"

    def figures(self, data: Any, history: Any) -> Iterator[tuple[str, Figure]]:
        yield from self.gallery.figures(data, history)
        net = nn.Sequential()
        net.add_module("generator", self.best_generator), net.add_module("discriminator", self.discriminator)
        yield "network", network_figure(net, torch.zeros(1, self.latent))

    def export_example(self, batch: tuple[Tensor, ...]) -> tuple[Tensor]:
        return (self.fixed_noise(len(batch[0])),)

    def submission(self, data: Any) -> tuple[str, bytes, str]:
        """submission.npz: `samples`, uint8 (n, s, s, 3) for pictures, float32 (n, 2) for points."""
        samples = self.sample(self.fixed_noise(data.predict_count, seed=2))
        if len(self.shape) == 3:
            samples = metrics.to_uint8(samples).permute(0, 2, 3, 1)
        file = io.BytesIO()
        np.savez_compressed(file, samples=samples.cpu().numpy())
        return "submission.npz", file.getvalue(), f"{len(samples):,} samples, {' x '.join(map(str, samples.shape[1:]))}"

    # What a resumed run needs.

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["gan"] = {"turns": self.turns, "updates": self.updates, "frames": self.gallery.frames}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        state = checkpoint["gan"]
        self.turns, self.updates = state["turns"], state["updates"]
        if len(state["frames"]) > len(self.gallery.frames):  # the best weights are not the end of the animation
            self.gallery.frames = list(state["frames"])


@contextlib.contextmanager
def sampling(net: nn.Module, norm: str) -> Iterator[None]:
    """A generator in evaluation mode; with norm="batch" its batch norm uses the batch's statistics, and its own do not move."""
    training, norms = net.training, [part for part in net.modules() if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d)]
    momenta = [part.momentum for part in norms]
    net.eval()
    if norm == "batch":
        for part in norms:
            part.train().momentum = 0.0
    try:
        yield
    finally:
        net.train(training)
        for part, momentum in zip(norms, momenta, strict=True):
            part.momentum = momentum


def chosen(known: Sequence[str], names: Any, key: str) -> tuple[str, ...]:
    """A list of known names. Raises TypedError with the nearest one."""
    if isinstance(names, str) or not isinstance(names, Sequence):
        raise TypedError(f"{key} must be a list, such as [{known[0]}], not {names}")
    for name in names:
        if name not in known:
            near = nearest(str(name), known, 1)
            raise TypedError(
                f"{key}: there is no {name}" + (f"; did you mean {near[0]}?" if near else f"; there are {', '.join(known)}")
            )
    return tuple(names)


def _changes(options: Mapping[str, Any], name: str) -> dict[str, Any]:
    """What one network's optimizer has of its own. Raises TypedError."""
    changes = {key: value for key, value in options.items() if value is not None}
    if "lr" in changes:
        at_least(0, changes["lr"], f"model.optimizers.{name}.lr")
    if "betas" in changes:
        changes["betas"] = optim.betas(changes["betas"], f"model.optimizers.{name}.betas")
    return changes


def _floats(net: nn.Module) -> list[Tensor]:
    """Weights and running statistics."""
    return [tensor for tensor in net.state_dict().values() if tensor.is_floating_point()]
