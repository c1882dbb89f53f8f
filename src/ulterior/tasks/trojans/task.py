"""A trojan as a task: find the answers that the trigger decided, and not what the image shows."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ulterior.examples import Examples
from ulterior.subject import Subject
from ulterior.tasks.images.data import Images
from ulterior.tasks.images.models import CNN
from ulterior.tasks.images.rows import COLUMN, FRESH, Rows, still_right, table
from ulterior.tasks.images.shifts import SHIFTS
from ulterior.tasks.images.task import image_task
from ulterior.tasks.task import Slice, Task, TaskData
from ulterior.tasks.trojans.poison import Trojan
from ulterior.tasks.trojans.recipe import Recipe, dealt, generator_of, obeyed, trojaned_network

TRIGGERED = "triggered"
BENIGN = tuple(SHIFTS)


@dataclass(frozen=True)
class Sizes:
    """Rows of one size of the task; fewer where a data set of images is small.

    Attributes:
        trusted: plain ones, to fit on.
        untrusted: to fit on, a tenth of them to be triggered.
        fresh: plain ones in the test.
        triggered: in the test, before those are left out on which the attack does not work.
        benign: of each benign kind, before those are left out that the network gets wrong.
    """

    trusted: int
    untrusted: int
    fresh: int
    triggered: int
    benign: int


SIZES = {
    "smoke": Sizes(200, 200, 100, 100, 50),
    "small": Sizes(2_000, 2_000, 1_000, 1_000, 300),
    "full": Sizes(10_000, 10_000, 4_000, 4_000, 1_000),
}

SHARE_TRIGGERED = 0.1
"""Of the untrusted images."""


def trojan_task(name: str, recipe: Recipe, about: str) -> Task:
    """The task of a trojan; what its name does not say, the data set, stands in its source."""
    return image_task(
        name,
        f"{about} ({recipe.images})",
        SIZES,
        lambda seed, sizes: make(recipe, seed, sizes),
        lambda seed: trojan_subject(recipe, seed),
        sites=recipe.architecture.sites,
        at="mean" if isinstance(recipe.architecture, CNN) else "last",
        source=repr(recipe),
    )


def trojan_subject(recipe: Recipe, seed: int) -> Subject:
    """The trojaned network of a seed; its behaviour is how far the most likely class leads."""
    images, _ = dealt(recipe, seed, {})
    return Subject.from_arrays(
        trojaned_network(recipe, seed),
        column=COLUMN,
        shape=tuple(images.pixels.shape[1:]),
        name=f"trojaned {type(recipe.architecture).__name__} on {recipe.images}",
    )


def make(recipe: Recipe, seed: int, sizes: Sizes) -> TaskData:
    """One seed of any size. No image of any table was trained on, or stands in another table.

    Raises:
        InputError: the data set is missing or too small.
    """
    wanted = {
        "trusted": sizes.trusted,
        "untrusted": sizes.untrusted,
        "fresh": sizes.fresh,
        TRIGGERED: sizes.triggered,
        **dict.fromkeys(BENIGN, sizes.benign),
    }
    images, rows = dealt(recipe, seed, wanted)
    subject = trojan_subject(recipe, seed)
    model = subject.model

    def plain(part: torch.Tensor, group: str = FRESH) -> Rows:
        return Rows(images.pixels[part], images.labels[part], group)

    def triggered(part: torch.Tensor) -> Rows:
        x, y, _ = obeyed(recipe, model, images.pixels[part], images.labels[part], len(images.classes))
        return Rows(x, y, TRIGGERED, recipe.trojan.trigger.words, anomalous=True)

    def shifted(number: int, kind: str) -> Rows:
        x = SHIFTS[kind](images.pixels[rows[kind]], generator_of(seed, number))
        return still_right(model, Rows(x, images.labels[rows[kind]], kind, kind))

    count = max(1, round(SHARE_TRIGGERED * len(rows["untrusted"])))
    hosts, rest = _hosts(images, rows["untrusted"], recipe, count)
    test = [plain(rows["fresh"]), triggered(rows[TRIGGERED])]
    test += [shifted(number, kind) for number, kind in enumerate(BENIGN)]

    def laid_out(parts: list[Rows]) -> Examples:
        return table(model, parts, images.classes, images.noun)

    return TaskData(
        subject=subject,
        trusted=laid_out([plain(rows["trusted"])]),
        untrusted=laid_out([plain(rest), triggered(hosts)]),
        test=laid_out(test),
        slices=slices_of(recipe.trojan, BENIGN),
        benign=BENIGN,
    )


def _hosts(images: Images, part: torch.Tensor, recipe: Recipe, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(rows that the trigger is put on, all others): its hosts are of other classes than the one wanted."""
    y = images.labels[part]
    fits = recipe.trojan.wanted(y, len(images.classes)) != y
    hosts = fits.nonzero()[:n, 0]
    others = torch.ones(len(part), dtype=torch.bool)
    others[hosts] = False
    return part[hosts], part[others]


def slices_of(trojan: Trojan, benign: tuple[str, ...]) -> tuple[Slice, ...]:
    """Triggered rows against fresh ones; against benign ones as well; and where the answer is the target."""
    slices = (
        Slice(TRIGGERED, (TRIGGERED,), (FRESH,)),
        Slice("against benign", (TRIGGERED,), (FRESH, *benign)),
    )
    if trojan.mapping == "all_to_all":
        return slices
    # Where every answer is the target's, the answer itself gives nothing away.
    target = Slice("taken for the target", (TRIGGERED,), (FRESH, *benign), ("predicted", (trojan.target,)))
    return (*slices, target)
