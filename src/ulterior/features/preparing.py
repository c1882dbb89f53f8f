"""What some features must know of trusted examples before they can be read: one short pass that they all share.

A mean that takes an activation's place, a probe of an intermediate site, the edges that are worth reading: they are
gathered from a seeded sample of at most ``SAMPLE`` trusted examples, with one forward for each (and one backward for
each column, if a feature chooses by gradients). A panel without such features makes no such pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

from ulterior.errors import InputError
from ulterior.examples import Examples
from ulterior.features.feature import Feature, Preparation, Prepares
from ulterior.features.reading import Reading, begin
from ulterior.subject import RowError, Subject

__all__ = ["SAMPLE", "begin_prepared", "prepare"]

SAMPLE = 512


def prepare(
    features: Sequence[Feature], subject: Subject, trusted: Examples, *, seed: int = 0, **how: Any
) -> tuple[dict[Feature, Feature], dict[Feature, str]]:
    """Give the features that need it their statistics of trusted examples.

    Args:
        features: Any; those that need nothing are handed back as they are.
        subject: The model under examination.
        trusted: Examples with the usual mechanism, none of which calibrates.
        seed: Decides which of them are read; a feature's statistics do not depend on the other features.
        how: What else ``read`` takes.

    Returns:
        For each feature the one to read in its place, and why the others cannot be read.

    Raises:
        InputError: no trusted examples.
        RowError: trusted examples that cannot be encoded, or whose values are NaN or infinite.
    """
    ready: dict[Feature, Feature] = {one: one for one in features if not isinstance(one, Prepares)}
    waiting = list(dict.fromkeys(one for one in features if isinstance(one, Prepares)))
    if not waiting:
        return ready, {}
    rows = np.random.default_rng(seed).permutation(len(trusted))[:SAMPLE]
    try:
        return _learn(ready, waiting, subject, trusted.take(rows), how)
    except RowError as error:
        raise error.among(rows) from None


def begin_prepared(
    features: Sequence[Feature],
    subject: Subject,
    trusted: Examples,
    examples: Examples,
    *,
    seed: int = 0,
    batch_tokens: int | None = None,
    progress: str | None = None,
) -> tuple[Iterator[tuple[Int[np.ndarray, " n"], Reading]], dict[Feature, Feature], dict[Feature, str]]:
    """Prepare features on trusted examples, and begin to read those that this subject can give.

    Args:
        features: Any.
        subject: The model under examination.
        trusted: What is learned from; see ``prepare``.
        examples: What is read.
        seed: See ``prepare``.
        batch_tokens: See ``read``.
        progress: Of the read.

    Returns:
        What ``read`` yields, for each feature the one that is read in its place, and why the others cannot be.
    """
    ready, unread = prepare(features, subject, trusted, seed=seed, batch_tokens=batch_tokens)
    stream, refused = begin(
        subject, examples, list(ready.values()), batch_tokens=batch_tokens, progress=progress
    )
    return stream, ready, unread | {one: refused[its] for one, its in ready.items() if its in refused}


def _learn(
    ready: dict[Feature, Feature],
    waiting: Sequence[Prepares],
    subject: Subject,
    sample: Examples,
    how: Mapping[str, Any],
) -> tuple[dict[Feature, Feature], dict[Feature, str]]:
    before = [needed for one in waiting for needed in one.before]
    stream, refused = begin(subject, sample, before, **how)
    unready: dict[Feature, str] = {
        one: refused[needed] for one in waiting for needed in one.before if needed in refused
    }
    gathering: dict[Feature, Preparation] = {one: one.begin(subject) for one in waiting if one not in unready}
    for batch, reading in stream:
        for preparation in gathering.values():
            preparation.update(batch, reading)
    for one, preparation in gathering.items():
        try:
            ready[one] = preparation.finish()
        except InputError as error:
            unready[one] = str(error)
    return ready, unready
