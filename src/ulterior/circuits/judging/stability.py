"""Whether a method finds the same circuit again: from resampled pairs, and from another seed."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
from tqdm import tqdm

from ulterior.circuits.finding.finder import Finder
from ulterior.circuits.graph import Units
from ulterior.circuits.mask import Mask
from ulterior.circuits.metrics import Metric
from ulterior.circuits.pairs import Pairs
from ulterior.errors import InputError
from ulterior.serialise import saved
from ulterior.subject import Subject

__all__ = ["BAR", "Stability", "over_resamples", "over_seeds_of"]

BAR = 0.8
"""The Jaccard index above which a method is suggested to count as stable."""


@saved
@dataclass(frozen=True, eq=False)
class Stability:
    """How alike the circuits of several runs are.

    Attributes:
        of: What differed: ``pairs`` or ``seeds``.
        jaccard: The index of each two runs.
        mean: Their mean.
        least: The smallest.
        sizes: Units in each run's circuit.
    """

    of: str
    jaccard: tuple[float, ...]
    mean: float
    least: float
    sizes: tuple[int, ...]


def over_resamples(
    finder: Finder,
    subject: Subject,
    pairs: Pairs,
    units: Units,
    metric: Metric,
    size: int | None = None,
    *,
    resamples: int = 4,
    seed: int = 0,
    progress: bool = False,
) -> Stability:
    """Find the circuit on several resamples of the pairs (with replacement) and compare each two.

    Args:
        finder: The method.
        subject: The model.
        pairs: What it finds circuits on.
        units: The grain.
        metric: The metric.
        size: How many units of the scores are the circuit; not needed for a method that returns a mask.
        resamples: How many.
        seed: Of the resampling.
        progress: Whether a bar is shown.

    Raises:
        InputError: fewer than two resamples; scores and no size.
    """
    generator = np.random.default_rng(seed)
    draws = [generator.integers(len(pairs), size=len(pairs)) for _ in range(resamples)]
    bar = tqdm(draws, desc="find again", unit="resample", leave=False, disable=None if progress else True)
    found = [finder(subject, pairs.take(draw), units, metric) for draw in bar]
    return _compared("pairs", [as_mask(one, size) for one in found])


def over_seeds_of(
    finder: Finder,
    subject: Subject,
    pairs: Pairs,
    units: Units,
    metric: Metric,
    size: int | None = None,
    *,
    seeds: tuple[int, ...] = (0, 1, 2),
) -> Stability:
    """Find the circuit on the same pairs with several seeds of the method's own and compare each two.

    Raises:
        InputError: a method without a field ``seed`` (it has no chance in it, so that there is nothing to compare).
    """
    if not is_dataclass(finder) or "seed" not in {field.name for field in fields(finder)}:
        raise InputError(f"the method '{finder.name}' has no seed; its circuits differ with the pairs alone")
    seeded: Any = finder
    found = [replace(seeded, seed=seed)(subject, pairs, units, metric) for seed in seeds]
    return _compared("seeds", [as_mask(one, size) for one in found])


def as_mask(found: Any, size: int | None) -> Mask:
    """The circuit of what a method returned.

    Raises:
        InputError: scores, and no size to cut them at.
    """
    if isinstance(found, Mask):
        return found
    if size is None:
        raise InputError("the method returns scores: say how many units its circuit has")
    return found.top(size)


def _compared(of: str, masks: list[Mask]) -> Stability:
    if len(masks) < 2:
        raise InputError(f"stability compares several runs; {len(masks)} is too few")
    jaccard = tuple(one.overlap(other) for one, other in combinations(masks, 2))
    return Stability(of, jaccard, float(np.mean(jaccard)), min(jaccard), tuple(map(len, masks)))
