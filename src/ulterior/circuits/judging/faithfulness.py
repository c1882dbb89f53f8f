"""How much of the behaviour a circuit keeps, for each example and in the mean, with intervals.

Two examples whose errors are of opposite sign cancel in a ratio of means. So beside ``overall`` there stand figures
in which nothing cancels: the median of the examples' own ratios, the share of them near 1, and the mean absolute error.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ulterior.circuits.judging.conditions import Ends
from ulterior.errors import InputError
from ulterior.metrics import Estimate, clopper_pearson, undefined
from ulterior.serialise import saved

__all__ = ["NEAR", "TINY", "Faithfulness", "error_of", "faithfulness", "mean_of", "ratio_of_means", "weights"]

TINY = 0.1
"""An example whose own gap |m(M) - m(empty)| is below this share of the mean gap has no ratio of its own."""
NEAR = 0.2
"""A ratio this close to 1 counts as faithful."""
RESAMPLES = 2000

saved(Estimate)


@saved
@dataclass(frozen=True, eq=False)
class Faithfulness:
    """Faithfulness of one circuit: f = (m(C) - m(empty)) / (m(M) - m(empty)).

    Attributes:
        overall: The ratio of the means over pairs; undefined where the mean gap cannot be told from 0.
        each: Each pair's own ratio; NaN where its gap is tiny (``TINY``), for there it is noise over noise.
        median: Of those.
        near: Share of those that are within ``NEAR`` of 1, with the exact binomial interval.
        error: Mean of |m(C) - m(M)| over the mean of |m(M) - m(empty)|: 0 for the model itself, 1 for a circuit
            as far from it as the empty one; errors of single pairs do not cancel, none is divided by its own gap.
        tiny: How many pairs have a tiny gap.
    """

    overall: Estimate
    each: Float[np.ndarray, "n"]
    median: Estimate
    near: Estimate
    error: Estimate
    tiny: int


def faithfulness(values: Float[np.ndarray, "n"], ends: Ends, seed: int = 0) -> Faithfulness:
    """Faithfulness from the metric of a circuit on each pair.

    Args:
        values: m(C).
        ends: m(M) and m(empty) on the same pairs.
        seed: Of the bootstrap over pairs (percentile, 2,000 resamples).

    Raises:
        InputError: arrays of different lengths.
    """
    if values.shape != ends.whole.shape or values.shape != ends.empty.shape:
        raise InputError(
            f"{len(values)} values of a circuit and {len(ends.whole)} of the model: give one a pair"
        )
    gap = ends.whole - ends.empty
    typical = np.abs(gap).mean()
    known = (np.abs(gap) >= TINY * typical) & (typical > 0)
    each = np.full(len(values), np.nan)
    each[known] = (values - ends.empty)[known] / gap[known]
    hits, n = int((np.abs(each[known] - 1) <= NEAR).sum()), int(known.sum())
    return Faithfulness(
        overall=ratio_of_means(values - ends.empty, gap, seed),
        each=each,
        median=_median(each[known], seed),
        near=Estimate(hits / n, *clopper_pearson(hits, n), n) if n else undefined(0),
        error=error_of(values, ends.whole, ends, seed),
        tiny=int((~known).sum()),
    )


def error_of(
    values: Float[np.ndarray, "*k n"], target: Float[np.ndarray, "*k n"], ends: Ends, seed: int = 0
) -> Estimate:
    """Mean of |values - target| over pairs (and whatever stands in front), over the mean gap |m(M) - m(empty)|."""
    off = np.abs(values - target)
    return ratio_of_means(off.reshape(-1, off.shape[-1]).mean(0), np.abs(ends.whole - ends.empty), seed)


def ratio_of_means(over: Float[np.ndarray, "n"], under: Float[np.ndarray, "n"], seed: int = 0) -> Estimate:
    """Mean of one over the mean of the other, with the percentile bootstrap over pairs.

    It is undefined where the mean below is 0, or changes its sign among the central 95% of the resamples: a ratio to
    something that may be nothing has no interval. One pair has a ratio and no interval.
    """
    n = len(over)
    if not n or not under.mean():
        return undefined(n)
    value = float(over.mean() / under.mean())
    if n == 1:
        return Estimate(value, None, None, n)
    drawn = weights(n, seed)
    above, below = drawn @ over, drawn @ under
    low, high = np.quantile(below, [0.025, 0.975])
    if low <= 0 <= high:
        return undefined(n)
    low, high = np.quantile(
        (above / np.where(below == 0, np.nan, below))[below * under.mean() > 0], [0.025, 0.975]
    )
    return Estimate(value, min(float(low), value), max(float(high), value), n)


def mean_of(values: Float[np.ndarray, "n"], seed: int = 0) -> Estimate:
    """A mean with the percentile bootstrap over pairs; without an interval for one pair."""
    n = len(values)
    if not n:
        return undefined(0)
    if n == 1:
        return Estimate(float(values[0]), None, None, 1)
    low, high = np.quantile(weights(n, seed) @ values, [0.025, 0.975])
    return Estimate(float(values.mean()), float(low), float(high), n)


def weights(n: int, seed: int = 0, resamples: int = RESAMPLES) -> Float[np.ndarray, "r n"]:
    """How much each of n pairs counts in each resample; the rows sum to 1, and are the same for equal n and seed."""
    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=resamples)
    return drawn / n


def _median(values: Float[np.ndarray, "n"], seed: int) -> Estimate:
    n = len(values)
    if not n:
        return undefined(0)
    if n == 1:
        return Estimate(float(values[0]), None, None, 1)
    drawn = np.random.default_rng(seed).integers(n, size=(RESAMPLES, n))
    low, high = np.quantile(np.median(values[drawn], axis=1), [0.025, 0.975])
    return Estimate(float(np.median(values)), float(low), float(high), n)
