"""The two networks, what they lose, and how they take turns, against hand-worked numbers, a bare loop and libraries."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ml2020.core.errors import TypedError
from ml2020.tasks.hw11_gan.best import Best
from ml2020.tasks.hw11_gan.dcgan import DCGAN
from ml2020.tasks.hw11_gan.lsgan import LSGAN
from ml2020.tasks.hw11_gan.model import GAN
from ml2020.tasks.hw11_gan.sngan import SNGAN
from ml2020.tasks.hw11_gan.wgan import WGAN
from ml2020.tasks.hw11_gan.wgan_gp import WGANGP

SPEC = {"shape": [3, 8, 8], "val": 20, "copy": 0.9, "vendi": 10.0}
REAL, FAKE = torch.tensor([2.0, -1.0]), torch.tensor([0.5, -3.0])


def made(kind: type[GAN] = DCGAN, spec: dict[str, Any] = SPEC, **options: Any) -> GAN:
    torch.manual_seed(0)
    module = kind(**{"width": 4, "latent": 6} | options)
    module.configure(spec)
    return module


# What the two lose, by scores 2, -1 of real and 0.5, -3 of generated samples.


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


@pytest.mark.parametrize(
    ("kind", "of_d", "of_g"),
    [
        # cross-entropy of a logit: softplus(-x) where the answer is 1, softplus(x) where it is 0
        (DCGAN, (softplus(-2) + softplus(1)) / 2 + (softplus(0.5) + softplus(-3)) / 2, (softplus(-0.5) + softplus(3)) / 2),
        (LSGAN, 0.5 * ((1 + 4) / 2 + (0.25 + 9) / 2), 0.5 * (0.25 + 16) / 2),
        (WGAN, -1.25 - 0.5, 1.25),
        (WGANGP, -1.25 - 0.5, 1.25),
        (SNGAN, (0 + 2) / 2 + (1.5 + 0) / 2, 1.25),
        (Best, (softplus(-2) + softplus(1)) / 2 + (softplus(0.5) + softplus(-3)) / 2, (softplus(-0.5) + softplus(3)) / 2),
    ],
)
def test_losses_worked_out_by_hand(kind: type[GAN], of_d: float, of_g: float):
    module = kind()
    assert float(module.discriminator_loss(REAL, FAKE)) == pytest.approx(of_d, rel=1e-6)
    assert float(module.generator_loss(FAKE)) == pytest.approx(of_g, rel=1e-6)


def test_smoothing_changes_the_answer_for_real_alone():
    module = DCGAN(smoothing=0.1)
    expected = sum(0.9 * softplus(-x) + 0.1 * softplus(x) for x in (2, -1)) / 2 + (softplus(0.5) + softplus(-3)) / 2
    assert float(module.discriminator_loss(REAL, FAKE)) == pytest.approx(expected, rel=1e-6)
    assert float(module.generator_loss(FAKE)) == pytest.approx((softplus(-0.5) + softplus(3)) / 2, rel=1e-6)


def test_a_mixed_batch_of_halves_costs_half_of_the_two_losses():
    module = DCGAN()
    mixed = module.mixed_loss(torch.cat([FAKE, REAL]), torch.tensor([False, False, True, True]))
    assert float(mixed) == pytest.approx(float(module.discriminator_loss(REAL, FAKE)) / 2, rel=1e-6)


class Slope(nn.Module):
    """A score with a slope that is known everywhere: a x + b y^2, of points (n, 2)."""

    def forward(self, x: Tensor) -> Tensor:
        return 3 * x[:, 0] + 2 * x[:, 1] ** 2


def test_the_gradient_penalty_is_that_of_finite_differences():
    module = made(WGANGP, {"shape": [2], "centers": [[0.0, 0.0]], "sigma": 1.0}, net="mlp", norm="none", width=8)
    module.double()
    real, fake = torch.randn(5, 2).double(), torch.randn(5, 2).double()
    torch.manual_seed(3)
    penalty = float(module.penalty(real, fake))
    torch.manual_seed(3)
    share = torch.rand(5, 1, dtype=torch.float64)
    at, eps, expected = share * real + (1 - share) * fake, 1e-6, 0.0
    with torch.no_grad():
        for point in at:
            ups = [
                (module.discriminator((point + s)[None]) - module.discriminator((point - s)[None])) / (2 * eps)
                for s in eps * torch.eye(2)
            ]
            expected += 10 * (math.hypot(*(float(u) for u in ups)) - 1) ** 2 / 5
    assert penalty == pytest.approx(expected, rel=1e-6)


def test_the_penalty_on_a_known_slope_and_its_gradient_reach_the_weights():
    module = WGANGP()
    module.discriminator = Slope()
    real = fake = torch.tensor([[0.0, 1.0], [5.0, 0.0]])  # slopes (3, 4) and (3, 0)
    assert float(module.penalty(real, fake)) == pytest.approx(10 * ((5 - 1) ** 2 + (3 - 1) ** 2) / 2, rel=1e-5)
    module = made(WGANGP, norm="none")
    module.penalty(torch.rand(4, 3, 8, 8), torch.rand(4, 3, 8, 8)).backward()
    assert all(p.grad.abs().sum() > 0 for name, p in module.discriminator.named_parameters() if "weight" in name)


def test_r1_is_half_the_squared_slope_at_real_samples_on_every_eighth_step():
    module = Best(r1=2.0, r1_every=8)
    module.discriminator, module.turns = Slope(), 0
    real = torch.tensor([[0.0, 1.0], [5.0, 0.0]])
    assert float(module.penalty(real, real)) == pytest.approx(2.0 / 2 * 8 * (25 + 9) / 2)
    module.turns = 7
    assert module.penalty(real, real) == 0.0
    module.turns = 16
    assert float(module.penalty(real, real)) > 0


# Turns.


def stepped(module: GAN, batches: list[Tensor], lr: float = 0.01) -> list[str]:
    """Train a module on batches outside a run by plain gradient steps; gives whose turn it was."""
    order: list[str] = []

    def descend(name: str, loss: Tensor) -> None:
        order.append(name[0])
        net = getattr(module, name)
        net.zero_grad()
        loss.backward()
        with torch.no_grad():
            for p in net.parameters():
                p -= lr * p.grad

    module.descend, module.plan = descend, SimpleNamespace(steps=len(batches))
    module._trainer = SimpleNamespace(lr_scheduler_configs=[])
    for batch in batches:
        module.training_step((batch,), 0)
    return order


def test_the_generator_moves_after_every_kth_step_of_the_discriminator_and_each_moves_alone():
    module = made(WGAN, norm="none", discriminator_steps=3)
    assert stepped(module, [torch.rand(5, 3, 8, 8)] * 7) == list("dddgdddgd")
    module = made(DCGAN)
    before = {name: p.detach().clone() for name, p in module.named_parameters()}
    module.descend = lambda name, loss: loss.backward()
    module.plan = SimpleNamespace(steps=1)
    module.generator_step(5)
    assert all(p.grad is None for p in module.discriminator.parameters())
    assert all(p.requires_grad for p in module.discriminator.parameters())
    assert all(torch.equal(before[name], p) for name, p in module.discriminator.named_parameters(prefix="discriminator"))


def test_wgan_keeps_every_weight_within_its_clip():
    module = made(WGAN, norm="none", clip=0.01)
    stepped(module, [torch.rand(5, 3, 8, 8)] * 2, lr=10.0)
    assert max(float(p.abs().max()) for p in module.discriminator.parameters()) <= 0.01


def test_the_slip_takes_seven_steps_and_four_for_a_hundred_pictures():
    module = made(DCGAN, slips=["seven_to_four"])
    assert stepped(module, [torch.rand(100, 3, 8, 8)]) == list("ddddddd" + "gggg")


def test_the_slip_trains_on_noise_from_zero_to_one_and_shows_normal_noise():
    module = made(DCGAN, slips=["uniform_noise"])
    noise = module.noise(2_000)
    assert noise.min() >= 0 and noise.max() < 1 and float(noise.mean()) == pytest.approx(0.5, abs=0.02)
    assert module.fixed_noise(2_000).min() < -2
    assert float(made(DCGAN).noise(2_000).std()) == pytest.approx(1, abs=0.02)


def test_losses_that_are_no_mean_over_samples_refuse_mixed_batches():
    with pytest.raises(TypedError, match="seven_to_four"):
        WGANGP(slips=["seven_to_four"])


def test_the_average_follows_by_its_rule():
    module = made(DCGAN, average=0.5)
    values, mean = [3.0, 5.0, -1.0], None
    for t, value in enumerate(values):
        for tensor in module.generator.state_dict().values():
            tensor.fill_(value) if tensor.is_floating_point() else None
        decay = min(0.5, 1 - 1 / (t / 10 + 1))
        mean = value if mean is None else decay * mean + (1 - decay) * value  # at t = 0 the decay is 0
        module.follow()
    assert torch.allclose(module.averaged[0].weight, torch.tensor(mean))
    assert torch.allclose(module.averaged[1].running_mean, torch.tensor(mean))  # batch norm's statistics too


def test_sampling_by_the_batch_leaves_the_running_statistics_alone():
    module = made(DCGAN, average=0.0)
    module.train()
    module.generator(torch.randn(50, 6))
    before = {name: tensor.clone() for name, tensor in module.generator.state_dict().items()}
    noise = torch.randn(40, 6)
    by_batch, running = module.sample(noise, "batch"), module.sample(noise, "running")
    kept = {name: tensor for name, tensor in module.generator.state_dict().items() if "num_batches" not in name}
    assert all(torch.equal(before[name], tensor) for name, tensor in kept.items())
    assert module.generator.training and not torch.allclose(by_batch, running, atol=1e-3)
    module.generator[1].momentum, module.generator[5].momentum = 1.0, 1.0  # now one batch's statistics are the running ones
    module.generator(noise)
    # up to n / (n - 1) in the variance, of 40 and of 40 * 16 numbers
    assert torch.allclose(module.sample(noise, "running"), by_batch, atol=0.03)


def test_instance_noise_falls_to_nothing_over_the_training():
    module = made(DCGAN, instance_noise=0.5)
    seen: list[float] = []
    module.discriminator.register_forward_pre_hook(lambda net, inputs: seen.append(float(inputs[0].std())))
    module.plan = SimpleNamespace(steps=10)
    for module.turns in (0, 5, 10, 12):
        module.scores(torch.zeros(400, 3, 8, 8))
    assert seen == pytest.approx([0.5, 0.25, 0, 0], abs=0.01)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"diffaugment": "color"}, r"model.diffaugment must be a list, such as \[color\], not color"),
        ({"diffaugment": ["colour"]}, "model.diffaugment: there is no colour; did you mean color?"),
        ({"slips": ["four_to_seven"]}, "model.slips: there is no four_to_seven"),
        ({"average": 1.0}, "model.average"),
        ({"discriminator_steps": 0}, "model.discriminator_steps must be at least 1"),
        ({"sample_norm": "layer"}, "model.sample_norm"),
        ({"features": "vgg"}, "model.features"),
        ({"optimizers": {"generator": {"lr": -1.0}}}, "model.optimizers.generator.lr must be at least 0"),
        ({"optimizers": {"discriminator": {"betas": 0.5}}}, r"betas must be two numbers, such as \[0.9,0.999\], not 0.5"),
        (
            {"optimizers": {"discriminator": {"betas": [0.5, 1.0]}}},
            "discriminator.betas must be two numbers of at least 0 and below 1",
        ),
        ({"smoothing": 0.7}, "model.smoothing"),
    ],
)
def test_what_is_typed_wrong_is_told(options: dict[str, Any], sentence: str):
    with pytest.raises(TypedError, match=sentence):
        DCGAN(**options)
