"""The tables of the adversarial tasks."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ulterior.examples import Examples
from ulterior.subject import Subject
from ulterior.tasks.adversarial.recipe import TRAIN, Recipe, attacked, network
from ulterior.tasks.images.data import load_images
from ulterior.tasks.images.perturbations import PGD, noise_of_norm
from ulterior.tasks.images.rows import COLUMN, FRESH, Rows, deal, still_right, table
from ulterior.tasks.images.task import image_task
from ulterior.tasks.task import Slice, Task, TaskData

LINF, L2 = "attack linf", "attack l2"
BENIGN = ("noise linf", "noise l2")
SLICES = (
    Slice("attacks", (LINF, L2), (FRESH,)),
    Slice("linf", (LINF,), (FRESH,)),
    Slice("l2", (L2,), (FRESH,)),
    Slice("against benign", (LINF, L2), (FRESH, *BENIGN)),
    Slice("linf against its noise", (LINF,), ("noise linf",)),
    Slice("l2 against its noise", (L2,), ("noise l2",)),
)


@dataclass(frozen=True)
class Sizes:
    """Images of one size of the task; fewer where the data set is small.

    Attributes:
        trusted: plain ones, to fit on.
        untrusted: to fit on, a tenth of them attacked, half of those in each norm.
        fresh: plain ones in the test.
        attacked: in each norm, before those are left out on which the attack does not succeed.
        benign: of each kind of noise, before those are left out that the network gets wrong.
    """

    trusted: int
    untrusted: int
    fresh: int
    attacked: int
    benign: int


SIZES = {
    "smoke": Sizes(200, 200, 100, 60, 50),
    "small": Sizes(2_000, 2_000, 1_000, 500, 300),
    "full": Sizes(10_000, 10_000, 4_000, 2_000, 1_000),
}

SHARE_ATTACKED = 0.1
"""Of the untrusted images."""


def adversarial_task(name: str, recipe: Recipe, about: str) -> Task:
    """The task of attacks on a network; what its name does not say, the data set, stands in its source."""
    return image_task(
        name,
        f"{about} ({recipe.images})",
        SIZES,
        lambda seed, sizes: make(recipe, seed, sizes),
        lambda seed: adversarial_subject(recipe, seed),
        sites=recipe.architecture.sites,
        source=repr(recipe),
    )


def adversarial_subject(recipe: Recipe, seed: int) -> Subject:
    """The network of a seed; its behaviour is how far the most likely class leads."""
    kind = "standard" if recipe.defence is None else "adversarially trained"
    shape = tuple(load_images(recipe.images).pixels.shape[1:])
    model = network(recipe, seed)
    return Subject.from_arrays(model, column=COLUMN, shape=shape, name=f"{kind} CNN on {recipe.images}")


def make(recipe: Recipe, seed: int, sizes: Sizes) -> TaskData:
    """One seed of any size. No image of any table was trained on, or stands in another table.

    Raises:
        InputError: the data set is missing or too small.
    """
    images = load_images(recipe.images)
    wanted = {
        TRAIN: recipe.train,
        "trusted": sizes.trusted,
        "untrusted": sizes.untrusted,
        "fresh": sizes.fresh,
        LINF: sizes.attacked,
        L2: sizes.attacked,
        **dict.fromkeys(BENIGN, sizes.benign),
    }
    rows = deal(len(images), wanted, seed)
    subject = adversarial_subject(recipe, seed)
    model = subject.model

    def plain(part: torch.Tensor) -> Rows:
        return Rows(images.pixels[part], images.labels[part])

    def under(attack: PGD, part: torch.Tensor, group: str) -> Rows:
        x, y, _ = attacked(model, attack, images.pixels[part], images.labels[part], seed)
        return Rows(x, y, group, _words(attack, "attacked"), anomalous=True)

    def noise(attack: PGD, part: torch.Tensor, group: str) -> Rows:
        generator = torch.Generator().manual_seed(seed)
        x = noise_of_norm(images.pixels[part], attack.norm, attack.epsilon, generator)
        return still_right(model, Rows(x, images.labels[part], group, _words(attack, "noise")))

    def laid_out(parts: list[Rows]) -> Examples:
        return table(model, parts, images.classes, images.noun)

    half = max(1, round(SHARE_ATTACKED * len(rows["untrusted"]) / 2))
    first, second, rest = rows["untrusted"].split([half, half, len(rows["untrusted"]) - 2 * half])
    test = [
        plain(rows["fresh"]),
        under(recipe.linf, rows[LINF], LINF),
        under(recipe.l2, rows[L2], L2),
        noise(recipe.linf, rows[BENIGN[0]], BENIGN[0]),
        noise(recipe.l2, rows[BENIGN[1]], BENIGN[1]),
    ]
    return TaskData(
        subject=subject,
        trusted=laid_out([plain(rows["trusted"])]),
        untrusted=laid_out([plain(rest), under(recipe.linf, first, LINF), under(recipe.l2, second, L2)]),
        test=laid_out(test),
        slices=SLICES,
        benign=BENIGN,
    )


def _words(attack: PGD, what: str) -> str:
    return f"{what} ({attack.norm} {attack.epsilon:g})"
