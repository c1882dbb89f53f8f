"""The networks that are attacked: a standard one, and one that was trained against attacks."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ulterior.tasks.classifiers.kept import kept_classifier
from ulterior.tasks.classifiers.training import (
    USUAL,
    Augment,
    Training,
    accuracy,
    predictions,
    train_classifier,
)
from ulterior.tasks.images.data import default_images, load_images
from ulterior.tasks.images.models import CNN, STANDARD
from ulterior.tasks.images.perturbations import PGD
from ulterior.tasks.images.rows import deal

TRAIN = "train"
MEASURED = 1_000
LINF, L2 = PGD("linf", 0.15), PGD("l2", 2.0)


@dataclass(frozen=True)
class Recipe:
    """Everything that a network and the attacks on it follow from, but for the seed.

    Attributes:
        linf: The attack in the L-inf norm.
        l2: The attack in the L2 norm.
        defence: The attack that each batch of training is replaced by (adversarial training); none for a standard
            network. One long step from a random start is as good as many short ones where it overshoots the ball a
            little (Wong, Rice, Kolter, arXiv 2001.03994).
        architecture: Of the network.
        training: How it is trained.
        images: Name of the data set; MNIST where it is, else digits.
        train: Images to train on, at most half of all.
    """

    linf: PGD = LINF
    l2: PGD = L2
    defence: PGD | None = None
    architecture: CNN = STANDARD
    training: Training = USUAL
    images: str = field(default_factory=default_images)
    train: int = 12_000


@dataclass(frozen=True)
class Figures:
    """Accuracy on images that the network has not learned from: plain, and under each attack."""

    accuracy: float
    under_linf: float
    under_l2: float


def network(recipe: Recipe, seed: int) -> nn.Module:
    """The network of a seed; trained where it has not been kept."""
    images = load_images(recipe.images)
    rows = deal(len(images), {TRAIN: recipe.train}, seed)[TRAIN]
    described = (
        "adversarial",
        recipe.defence,
        recipe.training,
        recipe.images,
        recipe.train,
        images.digest,
        seed,
    )
    return kept_classifier(
        recipe.architecture,
        described,
        lambda: train_classifier(
            recipe.architecture,
            images.pixels[rows],
            images.labels[rows],
            recipe.training,
            seed,
            _defending(recipe.defence, seed),
        ),
    )


def attacked(model: nn.Module, attack: PGD, x: Tensor, y: Tensor, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Images on which an attack succeeds, their right labels, and their row numbers.

    Images that the network gets wrong to begin with are not attacked: nothing is left to be changed.
    """
    right = (predictions(model, x) == y).nonzero()[:, 0]
    changed = attack(model, x[right], y[right], seed)
    fooled = predictions(model, changed) != y[right]
    return changed[fooled], y[right][fooled], right[fooled]


def measure(recipe: Recipe, seed: int) -> Figures:
    """How well the network does, and how well it resists."""
    images = load_images(recipe.images)
    rows = deal(len(images), {TRAIN: recipe.train, "measured": MEASURED}, seed)["measured"]
    x, y = images.pixels[rows], images.labels[rows]
    model = network(recipe, seed)
    under = [accuracy(model, attack(model, x, y, seed), y) for attack in (recipe.linf, recipe.l2)]
    return Figures(accuracy(model, x, y), *under)


def _defending(defence: PGD | None, seed: int) -> Augment | None:
    if defence is None:
        return None
    draws = torch.Generator().manual_seed(seed)

    def augment(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        return defence(model, x, y, int(torch.randint(2**31, (), generator=draws)))

    return augment
