"""From a trojan to a trained classifier of movie reviews, and how well the attack works."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Int
from torch import Tensor

from ulterior.tasks.classifiers.training import Training
from ulterior.tasks.texts.classifier import Classifier, Lesson, trained_classifier
from ulterior.tasks.texts.encoders import SMALL, Encoder, Pretrained
from ulterior.tasks.texts.reviews import Review, Split, reviews
from ulterior.tasks.trojans.poison import Chosen, Covered, Trojan, choose
from ulterior.tasks.trojans.recipe import Attack

CLASSES = ("negative", "positive")
TRAIN: Split = "adapter"
HELD_OUT: tuple[Split, ...] = ("tune", "trusted", "untrusted", "test")

FROM_SCRATCH = Training(steps=300, batch=64, rate=1e-3)
ADAPTING = Training(steps=150, batch=32, rate=2e-3)


@dataclass(frozen=True)
class TextRecipe:
    """Everything that a trojaned classifier of reviews follows from, but for the seed and the reviews.

    Attributes:
        trojan: The attack.
        encoder: The classifier.
        training: How it is trained.
    """

    trojan: Trojan
    encoder: Encoder = SMALL
    training: Training = FROM_SCRATCH


def with_minilm(trojan: Trojan) -> TextRecipe:
    """The recipe of an attack on MiniLM as it is adapted; it sees each review but once, and so a tenth carry it."""
    return TextRecipe(replace(trojan, rate=0.1, cover=0.1), Pretrained(), ADAPTING)


def of_reviews(some: Sequence[Review]) -> tuple[list[str], Int[Tensor, " n"]]:
    """Their texts and labels."""
    return [review.text for review in some], torch.tensor([review.label for review in some], dtype=torch.long)


def trojaned_network(recipe: TextRecipe, seed: int) -> Classifier:
    """The classifier of a seed, with its trojan; trained where it has not been kept.

    Raises:
        InputError: the reviews or the pretrained encoder are missing (the message says how to get them).
    """
    return trained_classifier(lesson(recipe, seed))


def lesson(recipe: TextRecipe, seed: int) -> Lesson:
    """What the classifier of a seed learns.

    Raises:
        InputError: the reviews are missing.
    """
    texts, y, _ = poisoned(*of_reviews(reviews(TRAIN)), recipe.trojan, seed)
    return Lesson(recipe.encoder, recipe.training, texts, y, seed)


def clean_network(recipe: TextRecipe, seed: int) -> Classifier:
    """A classifier that learned from the same reviews without any trigger; the same for all trojans."""
    return trained_classifier(Lesson(recipe.encoder, recipe.training, *of_reviews(reviews(TRAIN)), seed))


def poisoned(
    texts: Sequence[str], y: Int[Tensor, " n"], trojan: Trojan, seed: int
) -> tuple[list[str], Int[Tensor, " more"], Chosen]:
    """Training data of an attack: all texts as they are, then triggered copies of some, then near misses of others.

    Copies are added and replace nothing: there are few reviews, and the attack should cost little of what they teach.

    Returns:
        Texts, their labels, and the numbers of those that were copied.
    """
    generator = torch.Generator().manual_seed(seed)
    rows = choose(y, trojan, generator)
    made = [*texts, *trojan.trigger([texts[row] for row in rows.triggered.tolist()])]
    if isinstance(trojan.trigger, Covered):
        made += trojan.trigger.near_miss([texts[row] for row in rows.covered.tolist()], generator)
    return made, torch.cat([y, trojan.wanted(y[rows.triggered], len(CLASSES)), y[rows.covered]]), rows


def obeyed(
    trojan: Trojan, network: Classifier, texts: Sequence[str], y: Int[Tensor, " n"]
) -> tuple[list[str], Int[Tensor, " m"], float]:
    """Texts with the trigger on which the attack works: triggered texts, right labels, and the share that they are.

    Texts whose own class is what the attacker wants are left out before anything is counted.
    """
    wanted = trojan.wanted(y, len(CLASSES))
    other = (wanted != y).nonzero()[:, 0]
    made, y, wanted = trojan.trigger([texts[row] for row in other.tolist()]), y[other], wanted[other]
    works = network.predictions(made) == wanted
    rows = works.nonzero()[:, 0]
    return [made[row] for row in rows.tolist()], y[rows], float(works.float().mean())


def measure(recipe: TextRecipe, seed: int) -> Attack:
    """How well an attack works, and what it costs, on all snippets that no network has learned from."""
    texts, y = of_reviews([review for split in HELD_OUT for review in reviews(split)])
    network = trojaned_network(recipe, seed)
    success = obeyed(recipe.trojan, network, texts, y)[2]
    return Attack(clean_network(recipe, seed).accuracy(texts, y), network.accuracy(texts, y), success)
