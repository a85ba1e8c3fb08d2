"""Wrong input of homeworks 4, 11 and 14: one sentence, nothing created, nothing written over."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

Refused = Callable[[list[str], int], str]
FOUR = "task=hw04_rnn"
FOURTEEN = "task=hw14_lifelong"
ELEVEN = "task=hw11_gan"
FILES = [FOUR, "data=hw04_tweets", "data.path=folder"]
GOOD = "".join(f"{i % 2} +++$+++ text {i} {'good' if i % 2 else 'bad'}\n" for i in range(30))

WRONG = [
    ([FOUR, "model.threshold=0.4"], 2, "model.threshold must lie between 0.5 and 1, not 0.4"),
    ([FOUR, "model.threshold=1.5"], 2, "model.threshold must lie between 0.5 and 1, not 1.5"),
    ([FOUR, "model.pool_per_round=0"], 2, "model.pool_per_round must be at least 1, not 0"),
    ([FOUR, "model.pool_per_round=many"], 2, "model.pool_per_round"),
    ([FOUR, "model.rounds=-1"], 2, "model.rounds must be at least 0, not -1"),
    ([FOUR, "model.start=cold"], 2, "model.start takes warm or fresh or fresh_last, not cold"),
    ([FOUR, "model.slips=[same_text]"], 2, "did you mean same_texts?"),
    ([FOUR, "model.net.pooling=meen"], 2, "did you mean mean?"),
    ([FOUR, "model=hw04_bow", "model.vectors=skipgram"], 2, "for networks with an embedding of their words"),
    ([FOUR, "data.pool_size=0"], 2, "data.pool_size must be at least 1, not 0"),
    ([FOUR, "data.labels=5000"], 2, "data.labels must be at most 2000"),
    ([FOUR, "model.trehshold=0.7"], 2, "did you mean model.threshold?"),
    ([FOUR, "data=hw04_tweets"], 1, "there is no data/hw04/training_label.txt"),
    ([FOURTEEN, "model.ewc_lambda=-1"], 2, "model.ewc_lambda must be at least 0, not -1"),
    ([FOURTEEN, "model.ewc_lambda=strong"], 2, "model.ewc_lambda"),
    ([FOURTEEN, "model.lambda=10"], 2, "model.lambda"),
    ([FOURTEEN, "model.fisher=exakt"], 2, "did you mean exact?"),
    ([FOURTEEN, "model.fisher_samples=0"], 2, "model.fisher_samples must be at least 1, not 0"),
    ([FOURTEEN, "model.task_steps=0"], 2, "model.task_steps must be at least 1, not 0"),
    ([FOURTEEN, "data.tasks=[house]"], 2, "data.tasks names 1 task; at least two are needed, such as [house,mnist]"),
    ([FOURTEEN, "data.tasks=[house,minst]"], 2, "there is no task minst; did you mean mnist?"),
    ([FOURTEEN, "data.tasks=house"], 2, "data.tasks takes a list, such as [house,mnist], not house"),
    ([FOURTEEN, "data.form=28"], 2, "data.form takes 28x28x1 or 32x32x3, not 28"),
    ([FOURTEEN, "model=hw14_mas", "model.ewc_lambda=3"], 2, "model.ewc_lambda"),
    ([FOURTEEN, "model=hw14_replay", "model.memory=0"], 2, "model.memory must be at least 1, not 0"),
    ([FOURTEEN, "data=hw14_permuted_mnist"], 1, "there is no train-images-idx3-ubyte"),
    ([FOURTEEN, "model=hw14_ecw"], 2, "did you mean hw14_ewc?"),
    ([ELEVEN, "model=hw11_dcgn"], 2, "did you mean hw11_dcgan?"),
    ([ELEVEN, "model.latnet=64"], 2, "did you mean model.latent?"),
    ([ELEVEN, "model.latent=0"], 2, "model.latent must be at least 1, not 0"),
    ([ELEVEN, "model.norm=batchnorm"], 2, "model.norm takes batch or spectral or none, not batchnorm"),
    ([ELEVEN, "model.diffaugment=[colour]"], 2, "did you mean color?"),
    ([ELEVEN, "model.diffaugment=color"], 2, "model.diffaugment takes a list"),
    ([ELEVEN, "model.slips=[six_to_four]"], 2, "did you mean seven_to_four?"),
    ([ELEVEN, "model.discriminator_steps=0"], 2, "model.discriminator_steps must be at least 1, not 0"),
    ([ELEVEN, "model.optimizers.critic.lr=1e-4"], 2, "model.optimizers"),
    ([ELEVEN, "model.optimizers.generator.lr=-1"], 2, "model.optimizers.generator.lr must be at least 0, not -1"),
    ([ELEVEN, "optimizer.betas=[0.5]"], 2, "optimizer.betas must be two numbers, such as [0.9,0.999], not [0.5]"),
    ([ELEVEN, "model=hw11_wgan_gp", "model.gp=-1"], 2, "model.gp must be at least 0, not -1"),
    ([ELEVEN, "model=hw11_wgan_gp", "model.slips=[seven_to_four]"], 2, "mixes real and generated samples"),
    ([ELEVEN, "data.image_size=48", "quick=true"], 2, "type 8, 16, 32, 64, 128 or 256"),
    ([ELEVEN, "data=hw11_ring"], 2, "model.net=dcgan cannot learn points; type model.net=mlp"),
    ([ELEVEN, "model=hw11_toy", "quick=true"], 2, "model.net=mlp cannot learn pictures"),
    ([ELEVEN, "model.features=inception", "quick=true"], 1, "Inception's weights are not there"),
    ([ELEVEN, "trainer.ema_decay=0.9"], 2, "model.average"),
    ([ELEVEN, "trainer.accumulate=2"], 2, "two optimizers take turns"),
    ([ELEVEN, "trainer.clip_norm=1"], 2, "two optimizers take turns"),
    ([ELEVEN, "data=hw11_faces"], 1, "there is no folder data/hw11/faces; set data_dir=, or data.path="),
    ([ELEVEN, "data=hw11_faces", "data.path=folder"], 1, "folder"),
    ([ELEVEN, "data.count=400"], 1, "are too few: 500 are held back (data.val_count)"),
]


@pytest.mark.parametrize(("words", "status", "sentence"), WRONG, ids=lambda value: " ".join(value) if isinstance(value, list) else None)
def test_it_is_one_sentence_and_leaves_nothing(words: list[str], status: int, sentence: str, refused: Refused):
    assert sentence in refused(words, status)


@pytest.mark.parametrize(
    ("content", "words", "sentence"),
    [
        ("", [], "folder/training_label.txt is empty"),
        (GOOD + "1 good\n", [], "line 31 has no +++$+++ between label and text"),
        (GOOD + "2 +++$+++ good\n", [], "line 31 has the label '2'; it must be 0 or 1"),
        (
            GOOD,
            [],
            "no unlabelled texts to learn from (in the course's folder: training_nolabel.txt)",
        ),
    ],
)
def test_broken_tweets_are_one_sentence(content: str, words: list[str], sentence: str, refused: Refused):
    Path("folder", "training_label.txt").write_text(content)
    assert sentence in refused([*FILES, *words], 1)


def test_more_texts_a_round_than_there_are_is_one_sentence(refused: Refused):
    Path("folder", "training_label.txt").write_text(GOOD)
    Path("folder", "training_nolabel.txt").write_text("good\nbad\n")
    assert "model.pool_per_round=5000 is more than the 2 unlabelled texts" in refused([*FILES, "data.min_count=1"], 2)
