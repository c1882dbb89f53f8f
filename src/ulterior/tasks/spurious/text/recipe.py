"""Classifiers of reviews that learned from two domains whose reviews always agreed: one praised, the other did not.

What is meant is whether a review is positive (the label); what only goes with it is where it comes from (the cue):
0 for a snippet, 1 for an essay. Essays are cut to lengths of snippets, so that the length tells nothing of either.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Int
from torch import Tensor

from ulterior.tasks.classifiers.training import Training
from ulterior.tasks.spurious.recipe import Figures
from ulterior.tasks.texts.classifier import Classifier, Lesson, trained_classifier
from ulterior.tasks.texts.encoders import Cased, Encoder
from ulterior.tasks.texts.reviews import Domain, Review, Split, reviews

__all__ = ["CUES", "DomainRecipe", "measure", "network", "rows_of", "shown"]

CUES: tuple[Domain, Domain] = ("snippets", "essays")
"""By the number of the cue."""

# Reviews of each group on which the figures of a card are measured.
MEASURED = 1_000


CASED = Cased()
FROM_SCRATCH = Training(steps=300, batch=64, rate=3e-3)


@dataclass(frozen=True)
class DomainRecipe:
    """Everything that a classifier follows from, but for the seed and the reviews.

    Attributes:
        encoder: The classifier.
        training: How it is trained.
    """

    encoder: Encoder = CASED
    training: Training = FROM_SCRATCH


def shown(split: Split, label: int, cue: int) -> list[Review]:
    """The reviews of a split with this label and from this domain, in the order of their hashes.

    An essay is cut to its closing words, as many as a snippet of the same split has; which snippet follows from the
    essay's text alone.
    """
    found = [review for review in reviews(split, CUES[cue]) if review.label == label]
    if CUES[cue] == "snippets":
        return found
    lengths = sorted(review.words for review in reviews(split, "snippets"))
    return [_closing(review, lengths[_number(review.text) % len(lengths)]) for review in found]


def rows_of(groups: Sequence[Sequence[Review]]) -> tuple[list[str], Int[Tensor, " n"], Int[Tensor, " n"]]:
    """Texts, labels and cues of some groups, one after another."""
    some = [review for group in groups for review in group]
    labels = [review.label for review in some]
    cues = [CUES.index(review.domain) for review in some]
    return [review.text for review in some], torch.tensor(labels), torch.tensor(cues)


def network(recipe: DomainRecipe, seed: int) -> Classifier:
    """The classifier of a seed; trained where it has not been kept, on as many reviews of either domain.

    Raises:
        InputError: the reviews or a pretrained encoder are missing (the message says how to get them).
    """
    groups = [shown("adapter", one, one) for one in (0, 1)]
    n = min(map(len, groups))
    texts, y, _ = rows_of([group[:n] for group in groups])
    return trained_classifier(Lesson(recipe.encoder, recipe.training, texts, y, seed))


def measure(recipe: DomainRecipe, seed: int) -> Figures:
    """By which feature a classifier decides, on reviews that it has not learned from."""
    model = network(recipe, seed)

    def share_right(apart: int) -> float:
        some = [shown("test", one, abs(one - apart)) for one in (0, 1)]
        n = min(MEASURED, *map(len, some))
        texts, y, _ = rows_of([group[:n] for group in some])
        return model.accuracy(texts, y)

    return Figures(share_right(0), share_right(1))


def _closing(review: Review, words: int) -> Review:
    return replace(review, text=" ".join(review.text.split()[-words:]))


def _number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[8:16], "big")
