"""The other reading of a spurious correlate: can new last layers decide by what is meant? Measured on unseen images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor, nn

from ulterior.capture import capture
from ulterior.tasks.classifiers.training import predictions
from ulterior.tasks.images.rows import deal
from ulterior.tasks.spurious.heads import Features, Method, new_head, worst_group
from ulterior.tasks.spurious.recipe import TRAIN, Recipe, network, world_of
from ulterior.tasks.spurious.worlds import World

SITE = "hidden"
WANTED = {"trusted": 2_000, "unlabelled": 2_000, "labelled": 200, "test": 2_000}


@dataclass(frozen=True)
class Resolution:
    """How well a head decides by what is meant.

    Attributes:
        network: Accuracy of the network itself on the worst of the four groups (label and cue).
        worst: Accuracy of the new head there.
        groups: Its accuracy on each group.
    """

    network: float
    worst: float
    groups: Mapping[str, float]


def resolve(recipe: Recipe, seed: int, method: Method) -> Resolution:
    """Replace a network's last layer, and measure it on images that neither has seen.

    Trusted images agree in both features; in unlabelled, labelled and test images the cue is a coin's toss. A
    published method is given what it needs: see ``new_head``.

    Raises:
        InputError: a data set is missing or too small.
    """
    scene, model = world_of(recipe), network(recipe, seed)
    dealt = deal(len(scene), {TRAIN: recipe.train, **WANTED}, seed)
    generator = torch.Generator().manual_seed(seed)

    def features(part: str, agree: bool = False) -> tuple[Features, Tensor]:
        rows = dealt[part]
        cue = scene.label[rows] if agree else torch.randint(2, (len(rows),), generator=generator)
        x, said = _read(scene, model, rows, cue)
        return Features(x, scene.label[rows], cue), said

    trusted, unlabelled, labelled = (
        features("trusted", True)[0],
        features("unlabelled")[0],
        features("labelled")[0],
    )
    test, said = features("test")
    return resolution(method, trusted, unlabelled, labelled, test, said, seed)


def resolution(
    method: Method,
    trusted: Features,
    unlabelled: Features,
    labelled: Features,
    test: Features,
    said: Int[Tensor, " n"],
    seed: int,
) -> Resolution:
    """What a new head makes of the test rows, beside the network's own answers to them (``said``)."""
    worst, groups = worst_group(new_head(method, trusted, unlabelled.x, labelled, seed), test)
    return Resolution(worst_group(lambda _: said == 1, test)[0], worst, groups)


def _read(scene: World, model: nn.Module, rows: Tensor, cue: Tensor) -> tuple[Tensor, Tensor]:
    """The features ``[n, d]`` that the network's own last layer reads, and its answers ``[n]``."""
    parts, answers = [], []
    for some, cues in zip(rows.split(1_000), cue.split(1_000), strict=True):
        with capture(model, [SITE]) as captured:
            answers.append(predictions(model, scene.images(some, cues)))
        parts.append(captured[SITE].clone())
    return torch.cat(parts), torch.cat(answers)
