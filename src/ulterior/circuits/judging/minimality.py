"""Whether every unit of a circuit is needed: what the circuit loses without it, pair by pair."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import stats

from ulterior.circuits.judging.conditions import Conditions, Ends, run_masks
from ulterior.circuits.judging.faithfulness import ratio_of_means
from ulterior.circuits.mask import Mask
from ulterior.metrics import Estimate, holm
from ulterior.serialise import saved

__all__ = ["Knockouts", "Minimality", "UnitEffect", "knockouts", "minimality"]

LEVEL = 0.05


@saved
@dataclass(frozen=True, eq=False)
class UnitEffect:
    """What one unit does in the circuit.

    Attributes:
        unit: Its name.
        effect: m(C) - m(C without it) over the mean gap m(M) - m(empty), as a ratio of means.
        p: Of no mean effect, paired t-test over pairs, two-sided; 1 where there is no pair to compare with.
        p_holm: The same, raised for the number of units tested (Holm).
    """

    unit: str
    effect: Estimate
    p: float
    p_holm: float


@saved
@dataclass(frozen=True, eq=False)
class Minimality:
    """The units' effects.

    Attributes:
        effects: Of the units tested, the largest in size first.
        of: How many units the circuit has; where fewer were tested they were drawn at random.
        shown: How many are shown to have an effect: ``p_holm`` at most .05.
    """

    effects: tuple[UnitEffect, ...]
    of: int
    shown: int


@dataclass(frozen=True, eq=False)
class Knockouts:
    """What a circuit gives without single units of its.

    Attributes:
        units: Names of those that were left out, one at a time.
        values: m(C without it) for each pair.
        of: How many units the circuit has.
    """

    units: tuple[str, ...]
    values: Float[np.ndarray, "u n"]
    of: int


def minimality(knocked: Knockouts, at: Ends, values: Float[np.ndarray, "n"], *, seed: int = 0) -> Minimality:
    """Judge minimality from what the circuit gives without single units.

    Args:
        knocked: See ``knockouts``.
        at: The two ends on the same pairs.
        values: m(C) for each pair.
        seed: Of the bootstrap.
    """
    lost = values - knocked.values
    p = [_paired_p(row) for row in lost]
    effects = [
        UnitEffect(name, ratio_of_means(row, at.whole - at.empty, seed), one, raised)
        for name, row, one, raised in zip(knocked.units, lost, p, holm(p), strict=True)
    ]
    order = np.argsort(-np.abs(lost.mean(1)), kind="stable") if len(lost) else np.zeros(0, int)
    ranked = tuple(effects[int(i)] for i in order)
    return Minimality(ranked, knocked.of, sum(one.p_holm <= LEVEL for one in ranked))


def knockouts(given: Conditions, mask: Mask, *, most: int, seed: int = 0) -> Knockouts:
    """Leave units out of a circuit, one at a time; if it has more than ``most``, so many that are drawn at random."""
    names = mask.kept
    if len(names) > most:
        drawn = np.random.default_rng(seed).choice(len(names), most, replace=False)
        names = tuple(names[i] for i in sorted(drawn))
    values = run_masks(given, [mask.without([name]) for name in names], about="minimality")[0]
    return Knockouts(names, values, len(mask))


def _paired_p(differences: Float[np.ndarray, "n"]) -> float:
    """Two-sided p of a mean of 0."""
    n, mean = len(differences), float(differences.mean())
    if n < 2 or mean == 0:
        return 1.0
    spread = float(differences.std(ddof=1))
    if spread <= 1e-12 * abs(
        mean
    ):  # the same effect everywhere: as sure as signs of so many pairs can make it
        return 2.0 ** (1 - n)
    return float(2 * stats.t.sf(abs(mean) / (spread / np.sqrt(n)), n - 1))
