"""A trojan in a classifier of reviews as a task: find the answers that the trigger decided, and not what is said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from ulterior.subject import Subject
from ulterior.tasks.task import Task, TaskData
from ulterior.tasks.texts.classifier import Classifier
from ulterior.tasks.texts.reviews import Domain, Review, Split, of_lengths, reviews, taken
from ulterior.tasks.texts.rows import FRESH, TextRows, still_right, table, text_task
from ulterior.tasks.trojans.poison import Covered, Trojan
from ulterior.tasks.trojans.recipe import generator_of
from ulterior.tasks.trojans.task import SHARE_TRIGGERED, TRIGGERED, Sizes, slices_of
from ulterior.tasks.trojans.text.recipe import CLASSES, TextRecipe, obeyed, of_reviews, trojaned_network

NEAR_MISS, OTHER_DOMAIN = "near miss", "other domain"
BENIGN = (NEAR_MISS, OTHER_DOMAIN)


# Of reviews, as many as the splits have.
SIZES = {
    "smoke": Sizes(100, 100, 50, 40, 40),
    "small": Sizes(900, 700, 400, 200, 200),
    "full": Sizes(1_250, 850, 500, 300, 300),
}


def trojan_text_task(name: str, recipe: TextRecipe, about: str) -> Task:
    """The task of a trojan on movie reviews."""
    return text_task(
        name,
        about,
        SIZES,
        lambda seed, sizes: make(recipe, seed, sizes),
        lambda seed: trojan_subject(recipe, seed),
        source=repr(recipe),
    )


def trojan_subject(recipe: TextRecipe, seed: int) -> Subject:
    """The trojaned classifier of a seed; its behaviour is how far the most likely class leads."""
    return _subject(recipe, trojaned_network(recipe, seed))


def _subject(recipe: TextRecipe, network: Classifier) -> Subject:
    return network.subject(f"trojaned {recipe.encoder.name} on movie reviews")


@dataclass(frozen=True)
class Dealt:
    """The reviews of one seed, before anything is done to them; none stands twice.

    Attributes:
        trusted, plain, fresh: As they are: to fit on, of the untrusted table, and of the test.
        hosts, carriers: Of other classes than the one wanted, for the trigger: untrusted, and of the test.
        near: For near misses.
        essays: Of the other domain.
    """

    trusted: Sequence[Review]
    plain: Sequence[Review]
    hosts: Sequence[Review]
    fresh: Sequence[Review]
    carriers: Sequence[Review]
    near: Sequence[Review]
    essays: Sequence[Review]


def dealt(trojan: Trojan, seed: int, sizes: Sizes) -> Dealt:
    """Reviews for each role, each table's from its own split.

    Those for a trigger, or a near miss, are chosen so that with it they are as long as plain ones.

    Raises:
        InputError: the reviews are missing, or a split has too few.
    """
    rng = np.random.default_rng([seed, 11])
    trusted = taken(iter(_shuffled("trusted", rng)), sizes.trusted, "trusted")
    count = max(1, round(SHARE_TRIGGERED * sizes.untrusted))
    pool = _shuffled("untrusted", rng)
    plain = taken(iter(pool), sizes.untrusted - count, "untrusted")
    hosts = _hosts(pool[len(plain) :], plain, trojan, count, "untrusted")
    pool = _shuffled("test", rng)
    fresh = taken(iter(pool), sizes.fresh, "test")
    carriers = _hosts(pool[len(fresh) :], fresh, trojan, sizes.triggered, "test")
    used = {review.text for review in carriers}
    left = [review for review in pool[len(fresh) :] if review.text not in used]
    near = of_lengths(left, _lengths(fresh, sizes.benign, trojan), "test")
    essays = taken(iter(_shuffled("test", rng, "essays")), sizes.benign, "test")
    return Dealt(trusted, plain, hosts, fresh, carriers, near, essays)


def make(recipe: TextRecipe, seed: int, sizes: Sizes) -> TaskData:
    """One seed of any size. No review of any table was trained on, or stands in another table or twice in one.

    Raises:
        InputError: the reviews or the pretrained encoder are missing, or a split has too few reviews.
    """
    network, trojan = trojaned_network(recipe, seed), recipe.trojan
    found = dealt(trojan, seed, sizes)

    def rows(some: Sequence[Review], group: str = FRESH) -> TextRows:
        return TextRows(*of_reviews(some), group)

    def triggered(some: Sequence[Review]) -> TextRows:
        made, y, _ = obeyed(trojan, network, *of_reviews(some))
        return TextRows(made, y, TRIGGERED, anomalous=True)

    benign = [still_right(network, rows(found.essays, OTHER_DOMAIN))]
    if isinstance(trojan.trigger, Covered):
        texts, y = of_reviews(found.near)
        missed = TextRows(trojan.trigger.near_miss(texts, generator_of(seed, 0)), y, NEAR_MISS)
        benign.insert(0, still_right(network, missed))
    return TaskData(
        subject=_subject(recipe, network),
        trusted=table(network, [rows(found.trusted)]),
        untrusted=table(network, [rows(found.plain), triggered(found.hosts)]),
        test=table(network, [rows(found.fresh), triggered(found.carriers), *benign]),
        slices=slices_of(trojan, BENIGN),
        benign=BENIGN,
    )


def _hosts(
    pool: Sequence[Review], like: Sequence[Review], trojan: Trojan, n: int, split: Split
) -> list[Review]:
    """Reviews to put the trigger on: of other classes than the one wanted, and with it as long as plain ones."""
    _, y = of_reviews(pool)
    fits = (trojan.wanted(y, len(CLASSES)) != y).tolist()
    return of_lengths(
        [one for one, fit in zip(pool, fits, strict=True) if fit], _lengths(like, n, trojan), split
    )


def _lengths(like: Sequence[Review], n: int, trojan: Trojan) -> list[int]:
    """For n reviews, how many words each should have so that with the trigger they are as long as plain ones."""
    (made,) = trojan.trigger(["one two"])
    added = len(made.split()) - 2
    return [like[i % len(like)].words - added for i in range(n)]


def _shuffled(split: Split, rng: Generator, domain: Domain = "snippets") -> list[Review]:
    found = reviews(split, domain)
    return [found[i] for i in rng.permutation(len(found))]
