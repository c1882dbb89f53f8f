"""The networks that learned from images in which both features always agree."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

import torch
from jaxtyping import Int
from torch import Tensor, nn

from ulterior.tasks.classifiers.kept import kept_classifier
from ulterior.tasks.classifiers.training import Training, predictions, train_classifier
from ulterior.tasks.images.data import default_images
from ulterior.tasks.images.models import CNN
from ulterior.tasks.images.rows import deal
from ulterior.tasks.spurious.worlds import World, WorldName, world

TRAIN = "train"
MEASURED = 2_000
SHORT = Training(steps=250)


@dataclass(frozen=True)
class Recipe:
    """Everything that a network follows from, but for the seed.

    Attributes:
        world: Which two features.
        digits: The data set of the digits; MNIST where it is, else scikit-learn's.
        training: How the network is trained.
        train: Images to train on, at most half of all.
    """

    world: WorldName
    digits: str = field(default_factory=default_images)
    training: Training = SHORT
    train: int = 8_000


@dataclass(frozen=True)
class Figures:
    """On images that the network has not learned from.

    Attributes:
        agree: Accuracy where both features agree.
        disagree: Accuracy where they part: near 0 where the network goes by the cue.
    """

    agree: float
    disagree: float

    @property
    def by_the_cue(self) -> float:
        """Share of the images whose features part that the network decides by the cue."""
        return 1 - self.disagree


_world = cache(world)


def world_of(recipe: Recipe) -> World:
    """The images of a recipe, made once a process."""
    return _world(recipe.world, recipe.digits)


def architecture_of(scene: World) -> CNN:
    """The network's shape: a wide hidden layer, of which a part goes on showing what training has no use for."""
    channels, height, width = scene.shape
    return CNN(height=height, width=width, channels=channels, hidden=256, classes=2)


def network(recipe: Recipe, seed: int) -> nn.Module:
    """The network of a seed; trained where it has not been kept."""
    scene = world_of(recipe)
    rows = deal(len(scene), {TRAIN: recipe.train}, seed)[TRAIN]
    label = scene.label[rows]
    return kept_classifier(
        architecture_of(scene),
        (recipe, scene.sources, scene.digest, seed),
        lambda: train_classifier(
            architecture_of(scene), scene.images(rows, label), label, recipe.training, seed
        ),
    )


def measure(recipe: Recipe, seed: int) -> Figures:
    """By which feature the network decides."""
    scene = world_of(recipe)
    rows = deal(len(scene), {TRAIN: recipe.train, "measured": MEASURED}, seed)["measured"]
    label, model = scene.label[rows], network(recipe, seed)

    def share_right(cue: Int[Tensor, " n"]) -> float:
        return float((predictions(model, scene.images(rows, cue)) == label).float().mean())

    return Figures(share_right(label), share_right(1 - label))


def generator_of(seed: int, purpose: int) -> torch.Generator:
    """Random numbers of a seed's own for each purpose."""
    return torch.Generator().manual_seed(1_000 * seed + purpose)
