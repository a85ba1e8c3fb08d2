"""What a generator learns to make: portraits, faces, points on a ring."""

from __future__ import annotations

import inspect
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from ml2020.core.build import build
from ml2020.core.conf import CONF
from ml2020.core.errors import TypedError, UserError
from ml2020.tasks.hw11_gan.data import Faces, Portraits, Ring
from ml2020.tasks.hw11_gan.metrics import copies


def folder(path: Path, count: int = 14, side: int = 40) -> Path:
    path.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i in range(count):
        Image.fromarray(rng.integers(0, 256, (side, side + 8, 3), dtype=np.uint8)).save(path / f"{i:03}.png")
    return path


def faces(path: Path, **options: Any) -> Faces:
    data = Faces(str(path), **{"image_size": 16, "val_count": 4, "batch_size": 4, "cache_dir": str(path.parent / "cache")} | options)
    data.run_seed = 0
    data.prepare()
    return data


def test_some_pictures_are_held_back_and_no_step_sees_them(tmp_path: Path):
    data = faces(folder(tmp_path / "faces"))
    assert data.counts == {"for training": 10, "held back": 4} and data.spec["shape"] == [3, 16, 16]
    train, val = ({one.numpy().tobytes() for one in data.splits[split]} for split in ("train", "val"))
    assert len(train) == 10 and len(val) == 4 and not train & val
    (batch,) = next(iter(data.val_dataloader()))
    torch.testing.assert_close((batch + 1) * 127.5, data.splits["val"].float())


def test_an_epoch_is_full_batches_between_minus_one_and_one_with_about_half_of_them_mirrored(tmp_path: Path):
    data = faces(folder(tmp_path / "faces", count=104))
    batches = [x for (x,) in data.train_dataloader()]
    assert [len(x) for x in batches] == [4] * 25
    seen = ((torch.cat(batches) + 1) * 127.5).round().byte()
    stored = {one.numpy().tobytes() for one in data.splits["train"]}
    straight = [one.numpy().tobytes() in stored for one in seen]
    mirrored = [one.flip(-1).contiguous().numpy().tobytes() in stored for one in seen]
    assert all(a != b for a, b in zip(straight, mirrored, strict=True)) and 30 <= sum(mirrored) <= 70
    assert not any(
        one.flip(-1).contiguous().numpy().tobytes() in stored
        for (x,) in faces(tmp_path / "faces", flip=False).train_dataloader()
        for one in ((x + 1) * 127.5).round().byte()
    )


def test_a_zip_holds_the_same_pictures_as_its_folder(tmp_path: Path):
    path = folder(tmp_path / "faces")
    with zipfile.ZipFile(tmp_path / "packed.zip", "w") as file:
        for picture in sorted(path.iterdir()):
            file.write(picture, picture.name)
    assert torch.equal(faces(path).splits["train"], faces(tmp_path / "packed.zip").splits["train"])


def test_points_lie_on_their_ring_with_the_spread_that_is_asked_for():
    data = Ring(modes=8, radius=2.0, sigma=0.02, count=8_000, val_count=1_000)
    data.prepare()
    points = torch.cat(list(data.splits.values())).double()
    centers = torch.tensor(data.spec["centers"], dtype=torch.float64)
    distance, mode = torch.cdist(points, centers).min(1)
    assert torch.bincount(mode, minlength=8).min() > 850  # of 1,000 expected; the standard deviation is 30
    assert distance.square().mean().sqrt().item() == pytest.approx(0.02 * 2**0.5, rel=0.03)
    torch.testing.assert_close(centers.norm(dim=1), torch.full((8,), 2.0, dtype=torch.float64))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Ring(modes=60, sigma=0.05), r"data\.sigma=0\.05 is too wide for 60 modes at radius 2\.0"),
        (lambda: Ring(modes=0), r"data\.modes must lie between 1 and 1000, not 0"),
        (lambda: Portraits(image_size=4), r"data\.image_size must lie between 8 and 256, not 4"),
        (lambda: Portraits(style="adventure"), r"did you mean adventurer\?"),
        (lambda: Portraits(count=0), r"data\.count must be at least 1, not 0"),
        (lambda: Faces("x", val_count=1), r"data\.val_count must be at least 2, not 1"),
    ],
)
def test_what_is_typed_wrong_is_told(make: Any, sentence: str):
    with pytest.raises(TypedError, match=sentence):
        make()


def test_broken_folders_are_one_sentence(tmp_path: Path):
    with pytest.raises(UserError, match="nowhere"):
        faces(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty"):
        faces(tmp_path / "empty")
    with pytest.raises(UserError, match=r"14 samples are too few: 20 are held back"):
        faces(folder(tmp_path / "few"), val_count=20)
    (folder(tmp_path / "broken") / "bad.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"bad\.png"):
        faces(tmp_path / "broken")


@pytest.mark.parametrize(("name", "kind"), [("hw11_sample", Portraits), ("hw11_faces", Faces), ("hw11_ring", Ring)])
def test_the_config_files_name_classes_and_all_of_their_options(name: str, kind: type):
    content = yaml.safe_load((CONF / "data" / f"{name}.yaml").read_text())
    assert set(content) - {"_target_", "brings"} == set(inspect.signature(kind).parameters)
    assert type(build(content | {key: None for key in ("path", "cache_dir") if key in content})) is kind


def test_grey_pictures_are_counted_in_the_name_of_the_data(tmp_path: Path):
    path = folder(tmp_path / "faces")
    assert faces(path).source.name == "the 14 pictures in faces"
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (40, 40), dtype=np.uint8)).save(path / "grey.png")
    assert faces(path).source.name == "the 15 pictures in faces, 1 of them grey"


def test_one_in_a_hundred_of_the_pictures_held_back_passes_for_a_copy(tmp_path: Path):
    data = Portraits(count=240, image_size=16, val_count=100, cache_dir=str(tmp_path))
    data.prepare()
    assert copies(data.splits["val"], data.splits["train"], data.spec["copy"]) == pytest.approx(0.01)
    assert copies(data.splits["train"], data.splits["train"], data.spec["copy"]) == 1
    assert copies(data.splits["train"].flip(-1), data.splits["train"], data.spec["copy"]) == 1


def test_what_is_held_back_depends_on_the_data_seed_alone(tmp_path: Path):
    path = folder(tmp_path / "faces", 40)
    torch.manual_seed(1)
    one = faces(path)
    torch.manual_seed(2)
    two, other = faces(path), faces(path, seed=1)
    assert torch.equal(one.splits["val"], two.splits["val"]) and one.fingerprint == two.fingerprint
    assert not torch.equal(one.splits["val"], other.splits["val"]) and one.fingerprint != other.fingerprint


def test_a_pictures_mirror_is_drawn_from_the_runs_seed_the_epoch_and_its_place(tmp_path: Path):
    def seen(batch_size: int, seed: int = 0) -> list[list[bytes]]:
        data = faces(folder(tmp_path / "faces") if not (tmp_path / "faces").is_dir() else tmp_path / "faces", batch_size=batch_size)
        data.run_seed = seed
        loader = data.train_dataloader()
        return [sorted(one.numpy().tobytes() for (x,) in loader for one in x) for _ in range(2)]

    assert seen(2) == seen(5)  # 10 pictures: 5 batches of 2, or 2 of 5
    first, second = seen(2)
    assert first != second and seen(2, seed=1)[0] != first
