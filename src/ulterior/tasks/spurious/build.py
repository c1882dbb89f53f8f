"""The tables of the tasks on spurious correlates."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ulterior.examples import Examples
from ulterior.subject import Subject
from ulterior.tasks.classifiers.training import predictions
from ulterior.tasks.images.models import CNN
from ulterior.tasks.images.rows import COLUMN, FRESH, Rows, deal, still_right, table
from ulterior.tasks.images.shifts import SHIFTS
from ulterior.tasks.images.task import image_task
from ulterior.tasks.spurious.recipe import TRAIN, Recipe, generator_of, network, world_of
from ulterior.tasks.spurious.worlds import sources
from ulterior.tasks.task import Slice, Task, TaskData

DISAGREE = "disagree"
BENIGN = tuple(SHIFTS)


@dataclass(frozen=True)
class Sizes:
    """Rows of one size of the task; fewer where data sets of images are small.

    Attributes:
        trusted: whose features agree, to fit on.
        untrusted: to fit on, a quarter of them with features that part.
        fresh: whose features agree, in the test.
        disagree: in the test, before those are left out that the network does not decide by the cue.
        benign: of each benign kind, before those are left out that the network gets wrong.
    """

    trusted: int
    untrusted: int
    fresh: int
    disagree: int
    benign: int


SIZES = {
    "smoke": Sizes(200, 200, 100, 100, 50),
    "small": Sizes(1_500, 1_500, 600, 600, 200),
    "full": Sizes(6_000, 6_000, 2_000, 2_000, 500),
}

SHARE_DISAGREE = 0.25
"""Of the untrusted images."""


def spurious_task(name: str, recipe: Recipe, about: str) -> Task:
    """The task of a world; what its name does not say, the data sets, stands in its source."""
    made_of = sources(recipe.world, recipe.digits)
    return image_task(
        name,
        f"{about} ({made_of})",
        SIZES,
        lambda seed, sizes: make(recipe, seed, sizes),
        lambda seed: spurious_subject(recipe, seed),
        sites=CNN.sites,
        source=f"{recipe!r}, {made_of}",
    )


def spurious_subject(recipe: Recipe, seed: int) -> Subject:
    """The network of a seed; its behaviour is how far the most likely class leads."""
    scene = world_of(recipe)
    model = network(recipe, seed)
    return Subject.from_arrays(model, column=COLUMN, shape=scene.shape, name=f"CNN on {scene.sources}")


def make(recipe: Recipe, seed: int, sizes: Sizes) -> TaskData:
    """One seed of any size. No image of any table was trained on, or stands in another table.

    The tables have a further column ``cue``: the class that the spurious feature shows.

    Raises:
        InputError: a data set is missing or too small.
    """
    scene = world_of(recipe)
    wanted = {
        TRAIN: recipe.train,
        "trusted": sizes.trusted,
        "untrusted": sizes.untrusted,
        "fresh": sizes.fresh,
        DISAGREE: sizes.disagree,
        **dict.fromkeys(BENIGN, sizes.benign),
    }
    dealt = deal(len(scene), wanted, seed)
    subject = spurious_subject(recipe, seed)
    model = subject.model

    def rows(part: Tensor, cue: Tensor, group: str = FRESH, anomalous: bool = False) -> Rows:
        words = scene.captions(part, cue)
        columns = {"cue": cue.numpy()}
        return Rows(scene.images(part, cue), scene.label[part], group, words, anomalous, columns)

    def agreeing(part: Tensor, group: str = FRESH) -> Rows:
        return rows(part, scene.label[part], group)

    def disagreeing(part: Tensor) -> Rows:
        # Where the network does not go by the cue, its mechanism is not the one that is looked for.
        made = rows(part, 1 - scene.label[part], DISAGREE, anomalous=True)
        return made.take((predictions(model, made.x) != made.label).nonzero()[:, 0])

    def shifted(number: int, kind: str) -> Rows:
        plain = agreeing(dealt[kind], kind)
        words = [f"{words}, {kind}" for words in plain.words]
        x = SHIFTS[kind](plain.x, generator_of(seed, number))
        return still_right(model, Rows(x, plain.label, kind, words, columns=plain.columns))

    def laid_out(parts: list[Rows]) -> Examples:
        return table(model, parts, scene.classes)

    count = max(1, round(SHARE_DISAGREE * len(dealt["untrusted"])))
    parting, rest = dealt["untrusted"].split([count, len(dealt["untrusted"]) - count])
    test = [agreeing(dealt["fresh"]), disagreeing(dealt[DISAGREE])]
    test += [shifted(number, kind) for number, kind in enumerate(BENIGN)]
    return TaskData(
        subject=subject,
        trusted=laid_out([agreeing(dealt["trusted"])]),
        untrusted=laid_out([agreeing(rest), disagreeing(parting)]),
        test=laid_out(test),
        slices=slices_of(BENIGN),
        benign=BENIGN,
    )


def slices_of(benign: tuple[str, ...]) -> tuple[Slice, ...]:
    """Rows whose features part against fresh ones, and against benign ones as well."""
    return (
        Slice(DISAGREE, (DISAGREE,), (FRESH,)),
        Slice("against benign", (DISAGREE,), (FRESH, *benign)),
    )
