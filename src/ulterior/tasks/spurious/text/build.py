"""The tables of the task on the domain of reviews."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ulterior.subject import Subject
from ulterior.tasks.spurious.build import DISAGREE, SHARE_DISAGREE, Sizes, slices_of
from ulterior.tasks.spurious.recipe import generator_of
from ulterior.tasks.spurious.text.recipe import DomainRecipe, network, rows_of, shown
from ulterior.tasks.task import Task, TaskData
from ulterior.tasks.texts.classifier import Classifier
from ulterior.tasks.texts.reviews import Review, Split, taken
from ulterior.tasks.texts.rows import FRESH, TextRows, still_right, table, text_task
from ulterior.tasks.texts.shifts import SHIFTS

BENIGN = tuple(SHIFTS)


# Of reviews; of those that agree and of those that part, half are of each domain.
SIZES = {
    "smoke": Sizes(100, 100, 50, 50, 30),
    "small": Sizes(900, 700, 400, 300, 150),
    "full": Sizes(1_300, 1_200, 500, 1_000, 250),
}


def domain_task(name: str, recipe: DomainRecipe, about: str) -> Task:
    """The task of a recipe."""
    return text_task(
        name,
        about,
        SIZES,
        lambda seed, sizes: make(recipe, seed, sizes),
        lambda seed: domain_subject(recipe, seed),
        source=repr(recipe),
    )


def domain_subject(recipe: DomainRecipe, seed: int) -> Subject:
    """The classifier of a seed; its behaviour is how far the most likely class leads."""
    return _subject(recipe, network(recipe, seed))


def _subject(recipe: DomainRecipe, model: Classifier) -> Subject:
    return model.subject(f"{recipe.encoder.name} on movie reviews of two domains")


def make(recipe: DomainRecipe, seed: int, sizes: Sizes) -> TaskData:
    """One seed of any size. No review of any table was trained on, or stands in another table or twice in one.

    The tables have a further column ``cue``: 0 for a snippet, 1 for an essay.

    Raises:
        InputError: the reviews or a pretrained encoder are missing, or a split has too few reviews.
    """
    model = network(recipe, seed)
    deals = {split: _Dealer(split, seed) for split in ("trusted", "untrusted", "test")}

    def rows(split: Split, n: int, group: str = FRESH, *, apart: int = 0) -> TextRows:
        texts, y, cue = rows_of([deals[split].next(one, abs(one - apart), n // 2) for one in (0, 1)])
        return TextRows(texts, y, group, bool(apart), {"cue": cue.numpy()})

    def disagreeing(split: Split, n: int) -> TextRows:
        # Where the network does not go by the cue, its mechanism is not the one that is looked for.
        made = rows(split, n, DISAGREE, apart=1)
        return made.take(model.predictions(made.texts) != made.label)

    def shifted(number: int, kind: str) -> TextRows:
        plain = rows("test", sizes.benign, kind)
        texts = SHIFTS[kind](plain.texts, generator_of(seed, number))
        return still_right(model, TextRows(texts, plain.label, kind, columns=plain.columns))

    parting = round(SHARE_DISAGREE * sizes.untrusted)
    test = [rows("test", sizes.fresh), disagreeing("test", sizes.disagree)]
    test += [shifted(number, kind) for number, kind in enumerate(BENIGN)]
    return TaskData(
        subject=_subject(recipe, model),
        trusted=table(model, [rows("trusted", sizes.trusted)]),
        untrusted=table(
            model, [rows("untrusted", sizes.untrusted - parting), disagreeing("untrusted", parting)]
        ),
        test=table(model, test),
        slices=slices_of(BENIGN),
        benign=BENIGN,
    )


class _Dealer:
    """Deals out the reviews of a split, none twice: an iterator for each of the four groups of label and cue."""

    def __init__(self, split: Split, seed: int) -> None:
        self.split: Split = split
        rng = np.random.default_rng([seed, 13])
        self.left = {
            (label, cue): iter(_shuffled(shown(split, label, cue), rng)) for label in (0, 1) for cue in (0, 1)
        }

    def next(self, label: int, cue: int, n: int) -> list[Review]:
        return taken(self.left[label, cue], n, self.split)


def _shuffled(some: Sequence[Review], rng: np.random.Generator) -> list[Review]:
    return [some[i] for i in rng.permutation(len(some))]
