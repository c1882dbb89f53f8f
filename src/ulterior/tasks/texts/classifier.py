"""A classifier of texts with its tokenizer: trained once for some texts and labels, then kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ulterior.subject import Subject
from ulterior.tasks.classifiers.kept import kept_classifier
from ulterior.tasks.classifiers.training import Training, logits_of, train_classifier
from ulterior.tasks.texts.encoders import Encoder, classifier_subject, token_numbers

__all__ = ["Classifier", "Lesson", "trained_classifier"]

# Texts at a time where no graph is kept; they are put together by length.
ROWS = 64


@dataclass(frozen=True, eq=False)
class Classifier:
    """A network and what makes its inputs."""

    model: nn.Module
    tokenizer: Any

    def logits(self, texts: Sequence[str]) -> Float[Tensor, "n classes"]:
        """Of each text."""
        ids = token_numbers(self.tokenizer, texts)
        order = (ids != 0).sum(1).argsort(stable=True)
        parts = [logits_of(self.model, ids[rows]) for rows in order.split(ROWS)]
        return torch.cat(parts)[order.argsort()]

    def predictions(self, texts: Sequence[str]) -> Int[Tensor, " n"]:
        """The most likely class of each text."""
        return self.logits(texts).argmax(1) if texts else torch.zeros(0, dtype=torch.long)

    def accuracy(self, texts: Sequence[str], y: Int[Tensor, " n"]) -> float:
        """Share of the texts whose most likely class is their label."""
        return float((self.predictions(texts) == y).float().mean())

    def subject(self, name: str) -> Subject:
        """The classifier as a subject; its behaviour is how far the most likely class leads."""
        return classifier_subject(self.model, self.tokenizer, name)


@dataclass(frozen=True, eq=False)
class Lesson:
    """All that a classifier of texts follows from.

    Attributes:
        encoder: What it is.
        training: How it is trained.
        texts: What it learns from.
        y: Their labels.
        seed: Of weights and batches.
    """

    encoder: Encoder
    training: Training
    texts: Sequence[str]
    y: Int[Tensor, " n"]
    seed: int

    @property
    def description(self) -> tuple[Training, str, int]:
        """What is not said by the encoder, the texts as a digest."""
        learned = json.dumps([list(self.texts), self.y.tolist()])
        return self.training, hashlib.sha256(learned.encode()).hexdigest()[:32], self.seed

    def learn(self) -> nn.Module:
        """Train it now."""
        ids = token_numbers(self.encoder.tokenizer(self.texts), self.texts)
        return train_classifier(self.encoder, ids, self.y, self.training, self.seed, sizes=(ids != 0).sum(1))


def trained_classifier(lesson: Lesson) -> Classifier:
    """A classifier of texts, trained where it does not ship and has not been kept.

    Raises:
        InputError: the package of a pretrained encoder is missing, or the folder of models cannot be written to.
    """
    encoder = lesson.encoder
    tokenizer = encoder.tokenizer(lesson.texts)
    model = kept_classifier(encoder, lesson.description, lesson.learn, "texts", encoder.kept_as)
    return Classifier(encoder.plain(model), tokenizer)
