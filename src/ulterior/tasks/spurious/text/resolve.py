"""New last layers on a classifier of reviews: whether they decide by what is said, and not by where it comes from."""

from __future__ import annotations

import torch
from torch import Tensor

from ulterior.capture import capture
from ulterior.tasks.classifiers.training import logits_of
from ulterior.tasks.spurious.heads import Features, Method
from ulterior.tasks.spurious.resolve import SITE, Resolution, resolution
from ulterior.tasks.spurious.text.recipe import DomainRecipe, network, rows_of, shown
from ulterior.tasks.texts.classifier import ROWS, Classifier
from ulterior.tasks.texts.encoders import token_numbers
from ulterior.tasks.texts.reviews import Review, Split

# Reviews of each group of label and cue; fewer where a split has fewer.
EACH = {"trusted": 1_000, "untrusted": 500, "tune": 50, "test": 600}


def resolve(recipe: DomainRecipe, seed: int, method: Method) -> Resolution:
    """Replace a classifier's last layer, and measure it on reviews that neither has seen.

    Trusted reviews agree in both features; unlabelled ones (of the split ``untrusted``), labelled ones (of ``tune``)
    and those of the test are as many of each group of label and cue.

    Raises:
        InputError: the reviews or a pretrained encoder are missing.
    """
    model = network(recipe, seed)

    def features(split: Split, *, agree: bool = False) -> tuple[Features, Tensor]:
        pairs = [(label, cue) for label in (0, 1) for cue in (0, 1) if label == cue or not agree]
        return _read(model, [shown(split, *pair)[: EACH[split]] for pair in pairs])

    trusted, unlabelled, labelled = (
        features("trusted", agree=True)[0],
        features("untrusted")[0],
        features("tune")[0],
    )
    test, said = features("test")
    return resolution(method, trusted, unlabelled, labelled, test, said, seed)


def _read(model: Classifier, groups: list[list[Review]]) -> tuple[Features, Tensor]:
    """What the classifier's own last layer reads ``[n, d]``, and its answers ``[n]``."""
    texts, label, cue = rows_of(groups)
    read, said = [], []
    for start in range(0, len(texts), ROWS):
        with capture(model.model, [SITE]) as captured:
            part = token_numbers(model.tokenizer, texts[start : start + ROWS])
            said.append(logits_of(model.model, part).argmax(1))
        read.append(captured[SITE].clone())
    return Features(torch.cat(read), label, cue), torch.cat(said)
