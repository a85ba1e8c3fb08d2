"""The two networks, what they lose, and how they take turns, against hand-worked numbers, a bare loop and libraries."""

from __future__ import annotations

import copy
import hashlib
import importlib.util
import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ml2020.commands.evaluate import evaluate
from ml2020.commands.resume import resume_run
from ml2020.core import loop
from ml2020.core.assemble import assemble
from ml2020.core.config import load, plain
from ml2020.core.draws import Draws
from ml2020.core.errors import TypedError
from ml2020.core.folder import RunFolder, new_run
from ml2020.core.run import start
from ml2020.nn import lite0
from ml2020.tasks.hw11_gan import augment, networks
from ml2020.tasks.hw11_gan.best import Best
from ml2020.tasks.hw11_gan.dcgan import DCGAN
from ml2020.tasks.hw11_gan.lsgan import LSGAN
from ml2020.tasks.hw11_gan.model import GAN
from ml2020.tasks.hw11_gan.sngan import SNGAN
from ml2020.tasks.hw11_gan.toy import toy
from ml2020.tasks.hw11_gan.wgan import WGAN
from ml2020.tasks.hw11_gan.wgan_gp import WGANGP

SPEC = {"shape": [3, 8, 8], "val": 20, "copy": 0.9}
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


# Networks.


@pytest.mark.parametrize("layer", [nn.Conv2d(3, 5, 4), nn.Linear(12, 7)])
def test_spectral_norm_divides_by_the_largest_singular_value(layer: nn.Module):
    torch.manual_seed(0)
    plain_weight = layer.weight.detach().clone()
    net = networks.Scores(nn.Sequential(layer), "spectral")
    for _ in range(200):
        normed = net[0].weight  # a use is a step of the power iteration
    largest = torch.linalg.svdvals(plain_weight.flatten(1))[0]
    assert torch.allclose(normed, plain_weight / largest, rtol=1e-4)
    library = torch.nn.utils.parametrizations.spectral_norm(nn.Linear(*plain_weight.flatten(1).T.shape, bias=False))
    library.parametrizations.weight.original.data.copy_(plain_weight.flatten(1))
    for _ in range(200):
        expected = library.weight
    assert torch.allclose(normed.flatten(1), expected, rtol=1e-4, atol=1e-6)


def test_in_evaluation_the_power_iteration_stands_still():
    net = networks.Scores(nn.Sequential(nn.Linear(4, 3)), "spectral").eval()
    before = net[0].parametrizations.weight[0].u.clone()
    net[0].weight  # noqa: B018
    assert torch.equal(before, net[0].parametrizations.weight[0].u)


def test_spectral_normed_scores_are_not_steeper_than_one():
    torch.manual_seed(0)
    net = networks.Scores(networks.perceptron(2, 1, 16), "spectral")
    for _ in range(50):
        net(torch.randn(8, 2))
    net.eval()
    a, b = torch.randn(500, 2), torch.randn(500, 2)
    assert float(((net(a) - net(b)).abs() / (a - b).norm(dim=1)).max()) <= 1.001


def test_the_originals_networks_have_the_originals_parameters():
    generator, discriminator = networks.make("original", [3, 96, 96], 100, 1, 5, "none")
    assert sum(p.numel() for p in generator.parameters()) == 16_069_696  # 16.07 M
    assert sum(p.numel() for p in discriminator.parameters()) == 283_521  # 0.28 M
    assert generator(torch.randn(2, 100)).shape == (2, 3, 96, 96)


def test_the_courses_networks_have_the_courses_parameters():
    generator, discriminator = networks.make("dcgan", [3, 64, 64], 100, 64, 5, "batch")
    assert sum(p.numel() for p in generator.parameters()) == 5_142_083
    assert sum(p.numel() for p in discriminator.parameters()) == 4_316_545


@pytest.mark.parametrize(("kind", "size", "kernel"), [("dcgan", 32, 4), ("dcgan", 32, 5), ("dcgan", 64, 4), ("original", 48, 5)])
def test_networks_fit_each_other_at_any_size(kind: str, size: int, kernel: int):
    generator, discriminator = networks.make(kind, [3, size, size], 10, 4, kernel, "batch")
    pictures = generator(torch.randn(3, 10))
    assert pictures.shape == (3, 3, size, size) and discriminator(pictures).shape == (3,)


@pytest.mark.parametrize(
    ("options", "shape", "sentence"),
    [
        ({"net": "dcgan"}, [3, 48, 48], "data.image_size=48 does not fit these networks, which double 4 pixels"),
        ({"net": "original"}, [3, 50, 50], "a multiple of 4, such as 96"),
        ({"net": "mlp"}, [3, 8, 8], "model.net=mlp cannot learn pictures; type model.net=dcgan or original"),
        ({"net": "dcgan"}, [2], "model.net=dcgan cannot learn points; type model.net=mlp"),
    ],
)
def test_a_shape_that_does_not_fit_is_told(options: dict[str, str], shape: list[int], sentence: str):
    with pytest.raises(TypedError, match=sentence.replace("*", r"\*")):
        made(DCGAN, SPEC | {"shape": shape}, **options)


# Augmentation.


def test_diffaugment_passes_gradients_and_keeps_the_pictures_when_it_is_off():
    x = torch.rand(4, 3, 8, 8, requires_grad=True)
    assert augment.augment(x, ()) is x
    augment.augment(x, augment.KINDS).sum().backward()
    assert x.grad.abs().sum() > 0


def test_translation_moves_each_picture_by_whole_pixels_and_fills_with_nothing():
    torch.manual_seed(0)
    x = torch.rand(64, 1, 16, 16) + 1
    moved = augment.translation(x)
    shifts = set()
    for before, after in zip(x[:, 0], moved[:, 0], strict=True):
        found = [
            (dy, dx)
            for dy in range(-2, 3)
            for dx in range(-2, 3)
            if torch.equal(
                nn.functional.pad(before, (2, 2, 2, 2))[2 + dy : 18 + dy, 2 + dx : 18 + dx],
                after,
            )
        ]
        assert len(found) == 1
        shifts.add(found[0])
    assert len(shifts) > 15  # of 25


def test_cutout_blanks_a_square_of_half_the_side_or_the_part_of_it_that_is_inside():
    torch.manual_seed(0)
    blank = augment.cutout(torch.ones(200, 1, 8, 8))[:, 0] == 0
    assert blank.flatten(1).sum(1).max() == 16 and blank.flatten(1).sum(1).min() >= 4
    for picture in blank:
        rows, columns = picture.any(1).sum(), picture.any(0).sum()
        assert picture.sum() == rows * columns <= 16


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


# Whole runs.

QUICK = ["task=hw11_gan", "quick=true", "trainer.threads=1", "data.image_size=8", "model.width=4", "trainer.log_every=3"]


def folder_of(path: Path, *words: str, model: str = "hw11_dcgan") -> RunFolder:
    cfg, choices = load("train", [*QUICK, f"model={model}", *words])
    return new_run(plain(cfg), choices, [], path)


def checkpoint(folder: RunFolder, file: str = "last.ckpt") -> dict[str, Any]:
    return torch.load(folder.path / "checkpoints" / file, weights_only=True)


def test_a_run_gives_the_weights_of_a_bare_loop_bit_for_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    begun: dict[str, Any] = {}
    original = GAN.training_step

    def training_step(self: GAN, batch: tuple[Tensor], index: int) -> None:
        if not begun:
            begun.update(nets=copy.deepcopy((self.generator, self.discriminator)), random=torch.get_rng_state())
        original(self, batch, index)

    monkeypatch.setattr(GAN, "training_step", training_step)
    lite0.trained.cache_clear()
    folder = folder_of(tmp_path / "run")
    start(folder)

    spec = importlib.util.spec_from_file_location("gan_loop", Path(__file__).parents[2] / "oracles" / "gan_loop.py")
    loop_of_its_own = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loop_of_its_own)
    config = folder.config()
    data, _ = assemble(config)
    pictures = data.splits["train"]
    orders = [torch.randperm(len(pictures), generator=torch.Generator().manual_seed(epoch)) for epoch in range(2)]  # of seed 0
    mirrored = [Draws(0, epoch, torch.arange(len(pictures))).chance(0.5) for epoch in range(2)]
    generator, discriminator = begun["nets"]
    torch.set_rng_state(begun["random"])
    options = config["optimizer"]
    loop_of_its_own.train(generator, discriminator, pictures, orders, mirrored, 32, 100, options["lr"], tuple(options["betas"]))
    trained = checkpoint(folder)["state_dict"]
    for name, net in (("generator", generator), ("discriminator", discriminator)):
        assert all(torch.equal(trained[f"{name}.{key}"], tensor) for key, tensor in net.state_dict().items())


def content(folder: RunFolder) -> dict[str, Any]:
    last = checkpoint(folder)
    rows = [row.split(",") for row in (folder.path / "metrics.csv").read_text().splitlines()]
    return {
        "metrics": (folder.path / "metrics.json").read_text(),
        "rows": [row[:3] + row[4:] for row in rows],  # without seconds
        "weights": {name: tensor.tolist() for name, tensor in last["state_dict"].items()},
        "optimizers": str(last["optimizer_states"]),
        "turns": (last["gan"]["turns"], last["gan"]["updates"]),
        "frames": [frame.tolist() for frame in last["gan"]["frames"]],
        "gif": hashlib.sha256((folder.path / "figures" / "training.gif").read_bytes()).hexdigest(),
    }


@pytest.mark.parametrize(
    ("model", "step"),
    [("hw11_dcgan", 4), ("hw11_wgan_gp", 7), pytest.param("hw11_best", 6, marks=pytest.mark.full)],
)
def test_a_run_stopped_in_an_epoch_or_at_its_end_ends_with_the_same_bits(
    model: str, step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    words = ("scheduler=cosine", "model.instance_noise=0.1", "model.discriminator_steps=2")
    whole = folder_of(tmp_path / "whole", *words, model=model)
    start(whole)
    part = folder_of(tmp_path / "part", *words, model=model)
    original = loop.Conductor.on_train_batch_end

    def hook(self: loop.Conductor, *args: Any) -> None:
        if self.step + 1 == step:
            self.signal = 15
        original(self, *args)

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(loop.Conductor, "on_train_batch_end", hook)
        start(part)
    again = RunFolder.open(part.path)
    assert again.status == "interrupted"
    lite0.trained.cache_clear()  # as in a new process
    resume_run(again, {})
    assert content(part) == content(whole)


def test_predict_writes_as_many_pictures_as_are_asked_for(tmp_path: Path):
    start(folder := folder_of(tmp_path / "run", "data.predict_count=30"))
    assert evaluate([f"run={folder.path}", "do=predict"]) == 0
    pictures = np.load(folder.path / "submission.npz", allow_pickle=False)["samples"]
    assert pictures.shape == (30, 8, 8, 3) and pictures.dtype == np.uint8 and pictures.std() > 1


def test_each_network_has_the_rate_that_is_typed_for_it(tmp_path: Path):
    start(folder := folder_of(tmp_path / "run", "model.optimizers.discriminator.lr=1e-5", "model.optimizers.generator.betas=[0,0.5]"))
    groups = [state["param_groups"][0] for state in checkpoint(folder)["optimizer_states"]]
    assert [group["lr"] for group in groups] == [5e-4, 1e-5]
    assert [tuple(group["betas"]) for group in groups] == [(0, 0.5), (0.5, 0.999)]


@pytest.mark.parametrize(
    "loss", ["dcgan", pytest.param("wgan_gp", marks=pytest.mark.full), pytest.param("sngan", marks=pytest.mark.full)]
)
def test_the_ring_is_learnt_in_the_same_frame(loss: str, tmp_path: Path):
    words = ["task=hw11_gan", "model=hw11_toy", "data=hw11_ring", f"model.loss={loss}", "trainer.max_epochs=2", "trainer.threads=1"]
    cfg, choices = load("train", [*words, "data.count=3000", "data.val_count=500"])
    start(folder := new_run(plain(cfg), choices, [], tmp_path / "run"))
    said = json.loads((folder.path / "metrics.json").read_text())
    assert said["main"]["name"] == "val/overlap" and 0 <= said["val"]["modes"] <= 8
    assert {"points.png", "modes.png", "training.gif", "network.png"} <= {file.name for file in (folder.path / "figures").iterdir()}


def test_toy_is_the_loss_that_is_named():
    assert type(toy("sngan")) is SNGAN and toy("sngan").norm == "spectral" and type(toy("wgan")) is WGAN
    with pytest.raises(TypedError, match=r"model\.loss"):
        toy("gan")
