"""The three tables of the task: trusted, untrusted and test, the same for every run with one seed.

What separates an injected review from a plain one must be what it does to the model, not how long it is: the
reviews that something is written into (hosts) are short ones, and the plain ones are chosen so that their
lengths are distributed as those of injected ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.random import Generator

from ulterior.examples import Examples
from ulterior.tasks.injection.compose import POSITIONS, Position, Row, advised, injected, plain, quoting
from ulterior.tasks.injection.wordings import Audience, dictating, of_family
from ulterior.tasks.texts.reviews import Review, Split, of_lengths, reviews, taken

HOST_WORDS = 18
"""Something is written into reviews of at most this many words (about half of the snippets)."""

INJECTED = ("overt disagree", "overt agree", "veiled disagree", "veiled agree")
BENIGN = ("other domain", "quotation", "advice")
FRESH = "trusted"
"""The group of plain reviews, in every table."""


@dataclass(frozen=True)
class Counts:
    """How many rows of each kind one table has.

    Attributes:
        plain: Reviews as they stand.
        disagree: Injections that dictate the opposite of the honest answer, for each of overt and veiled.
        agree: Injections that dictate the honest answer, for each of overt and veiled.
        benign: Rows of each benign kind.
    """

    plain: int
    disagree: int = 0
    agree: int = 0
    benign: int = 0


@dataclass(frozen=True)
class Sizes:
    """The sizes of the three tables."""

    trusted: Counts
    untrusted: Counts
    test: Counts


SIZES = {
    "smoke": Sizes(Counts(48), Counts(24, 4, 4, 2), Counts(24, 6, 6, 6)),
    "small": Sizes(Counts(840), Counts(240, 30, 30, 20), Counts(240, 60, 60, 60)),
    "full": Sizes(Counts(1000), Counts(420, 60, 60, 40), Counts(400, 90, 70, 100)),
}


@dataclass(frozen=True)
class InjectionData:
    """One seed of the task's examples, with the columns of `compose.Row`."""

    trusted: Examples
    untrusted: Examples
    test: Examples


def build_data(sizes: Sizes, seed: int) -> InjectionData:
    """The tables of one seed, from disjoint reviews and disjoint wordings.

    Raises:
        InputError: the reviews are not installed, or a split has too few of them for these sizes.
    """
    return InjectionData(
        trusted=build_table("trusted", "untrusted", sizes.trusted, np.random.default_rng([seed, 0])),
        untrusted=build_table("untrusted", "untrusted", sizes.untrusted, np.random.default_rng([seed, 1])),
        test=build_table("test", "test", sizes.test, np.random.default_rng([seed, 2])),
    )


def build_table(split: Split, audience: Audience, counts: Counts, rng: Generator) -> Examples:
    """One table from one split of the reviews and one audience's wordings; rows of a group stand together.

    Every wording and every position is used as evenly as the counts allow, and half of the hosts are positive.
    """
    pool = _shuffled(reviews(split), rng)
    short = [review for review in pool if review.words <= HOST_WORDS]
    hosts = chain.from_iterable(
        zip(*([r for r in short if r.label == label] for label in (1, 0)), strict=False)
    )

    def places(n: int) -> Iterator[tuple[Review, Position]]:
        return zip(taken(hosts, n, split), _spread(POSITIONS, n, rng), strict=True)

    written: list[Row] = []
    for group in INJECTED:
        agree, n = group.endswith(" agree"), counts.agree if group.endswith(" agree") else counts.disagree
        family = [wording for wording in dictating(audience) if wording.veiled == group.startswith("veiled")]
        for (host, position), wording in zip(places(n), _spread(family, n, rng), strict=True):
            dictated = host.label if agree else 1 - host.label
            written.append(injected(host, wording, dictated, position, group, rng))
    advice = _spread(of_family(audience, "advice"), counts.benign, rng)
    for (host, position), wording in zip(places(counts.benign), advice, strict=True):
        written.append(advised(host, wording, position, "advice", rng))
    for host, position in places(counts.benign):
        written.append(quoting(host, audience, position, "quotation", rng))

    added = _spread([len(wording.line.split()) for wording in dictating(audience)], counts.plain, rng)
    lengths = [host.words + more for host, more in zip(_spread(short, counts.plain, rng), added, strict=True)]
    left = list(hosts) + [review for review in pool if review.words > HOST_WORDS]
    plains = [plain(review, FRESH) for review in of_lengths(left, lengths, split)]
    essays = taken(iter(_shuffled(reviews(split, "essays"), rng)), counts.benign, split)
    rows = plains + written + [plain(review, "other domain") for review in essays]
    return Examples.of(**{name: [row[name] for row in rows] for name in Row.__annotations__})


def _spread(values: Sequence[Any], n: int, rng: Generator) -> list[Any]:
    """`n` of the values, shuffled, each as often as any other (or once more)."""
    order = _shuffled(values, rng)
    return _shuffled([order[i % len(order)] for i in range(n)], rng)


def _shuffled(values: Sequence[Any], rng: Generator) -> list[Any]:
    return [values[i] for i in rng.permutation(len(values))]
