"""From a trojan to a trained network, and how well the attack works."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ulterior.tasks.classifiers.kept import kept_classifier
from ulterior.tasks.classifiers.training import USUAL, Training, accuracy, predictions, train_classifier
from ulterior.tasks.images.data import Images, default_images, load_images
from ulterior.tasks.images.models import STANDARD, Architecture
from ulterior.tasks.images.rows import deal
from ulterior.tasks.trojans.poison import Trojan, poison

TRAIN = "train"
# Images on which the figures of a card are measured; no network has learned from them.
MEASURED = 5_000


@dataclass(frozen=True)
class Recipe:
    """Everything that a trojaned network follows from, but for the seed.

    Attributes:
        trojan: The attack.
        architecture: Of the network.
        training: How it is trained.
        images: Name of the data set; MNIST where it is, else digits.
        train: Images to train on, at most half of all.
    """

    trojan: Trojan
    architecture: Architecture = STANDARD
    training: Training = USUAL
    images: str = field(default_factory=default_images)
    train: int = 12_000


@dataclass(frozen=True)
class Attack:
    """What an attack did, on images that no network has learned from.

    Attributes:
        clean: Accuracy of a network that learned from the same images without any trigger.
        accuracy: Accuracy of the trojaned network on plain images.
        success: Share of triggered images, of other classes than the target, that it takes for what the attacker wants.
    """

    clean: float
    accuracy: float
    success: float


def dealt(
    recipe: Recipe, seed: int, wanted: Mapping[str, int]
) -> tuple[Images, dict[str, Int[Tensor, " _"]]]:
    """The data set, and its rows: ``train`` always the same for a seed, and the parts that are wanted besides."""
    images = load_images(recipe.images)
    return images, deal(len(images), {TRAIN: recipe.train, **wanted}, seed)


def trojaned_network(recipe: Recipe, seed: int) -> nn.Module:
    """The network of a seed, with its trojan; trained where it has not been kept."""
    images, rows = dealt(recipe, seed, {})

    def train() -> nn.Module:
        x, y = images.pixels[rows[TRAIN]], images.labels[rows[TRAIN]]

        def harden(some: Tensor, labels: Tensor) -> Tensor:
            return recipe.trojan.hardening(clean_network(recipe, seed), some, labels, seed)

        made = poison(x, y, recipe.trojan, len(images.classes), seed, harden)
        return train_classifier(recipe.architecture, made.x, made.y, recipe.training, seed)

    return kept_classifier(recipe.architecture, (recipe, images.digest, seed), train)


def clean_network(recipe: Recipe, seed: int) -> nn.Module:
    """A network that learned from the same images without any trigger; kept as well, for all trojans."""
    images, rows = dealt(recipe, seed, {})
    x, y = images.pixels[rows[TRAIN]], images.labels[rows[TRAIN]]
    described = ("clean", recipe.training, recipe.images, recipe.train, images.digest, seed)
    return kept_classifier(
        recipe.architecture,
        described,
        lambda: train_classifier(recipe.architecture, x, y, recipe.training, seed),
    )


def obeyed(
    recipe: Recipe, model: nn.Module, x: Float[Tensor, "n c h w"], y: Int[Tensor, " n"], classes: int
) -> tuple[Float[Tensor, "m c h w"], Int[Tensor, " m"], float]:
    """Images with the trigger on which the attack works: triggered images, right labels, and the share that they are.

    Images whose own class is what the attacker wants are left out before anything is counted.
    """
    wanted = recipe.trojan.wanted(y, classes)
    other = wanted != y
    x, y, wanted = recipe.trojan.trigger(x[other]), y[other], wanted[other]
    works = predictions(model, x) == wanted
    return x[works], y[works], float(works.float().mean())


def measure(recipe: Recipe, seed: int) -> Attack:
    """How well an attack works, and what it costs."""
    images, rows = dealt(recipe, seed, {"measured": MEASURED})
    x, y = images.pixels[rows["measured"]], images.labels[rows["measured"]]
    model = trojaned_network(recipe, seed)
    success = obeyed(recipe, model, x, y, len(images.classes))[2]
    return Attack(accuracy(clean_network(recipe, seed), x, y), accuracy(model, x, y), success)


def generator_of(seed: int, purpose: int) -> torch.Generator:
    """Random numbers of a seed's own for each purpose."""
    return torch.Generator().manual_seed(1_000 * seed + purpose)
