"""How well scores separate, and how sure that is. numpy only; higher score = more anomalous.

A figure is an ``Estimate`` with a 95% interval. Where it does not exist (labels of one class only) its value
is None, never 0.5.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped, UInt8
from scipy import special

from ulterior.errors import InputError

_Z = 1.959963984540054  # standard normal quantile of .975
_RESAMPLES = 2_000
_KEPT = 4_000  # counts of resamples of at most as many examples are kept: 8 MB

Verdict = Literal["better", "worse", "inconclusive", "undefined"]


@dataclass(frozen=True)
class Estimate:
    """A figure and its 95% interval, from n examples; all three None where the figure is undefined."""

    value: float | None
    low: float | None
    high: float | None
    n: int

    @property
    def defined(self) -> bool:
        """Whether there is a figure."""
        return self.value is not None


@dataclass(frozen=True)
class Difference(Estimate):
    """A paired difference, and the two-sided p-value of there being none."""

    p: float | None


def undefined(n: int) -> Estimate:
    """The estimate of a figure that does not exist for these n examples."""
    return Estimate(None, None, None, n)


def _classes(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(scores of the anomalous, scores of the normal), float64."""
    if scores.shape != labels.shape:
        raise InputError(f"{len(scores)} scores and {len(labels)} labels: give one label a score")
    if not np.isfinite(scores).all():
        raise InputError(f"score {int(np.flatnonzero(~np.isfinite(scores))[0])} is not a finite number")
    scores, labels = scores.astype(np.float64), labels.astype(bool)
    return scores[labels], scores[~labels]


def _wilson(share: float, n: int) -> tuple[float, float]:
    """Wilson's interval of a share of n."""
    centre, spread = share + _Z**2 / (2 * n), _Z * math.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2))
    low, high = (centre - spread) / (1 + _Z**2 / n), (centre + spread) / (1 + _Z**2 / n)
    return (0.0 if share == 0 else max(low, 0.0)), (1.0 if share == 1 else min(high, 1.0))


def clopper_pearson(hits: int, n: int) -> tuple[float, float]:
    """The exact 95% interval of a share, ``hits`` of n. Clopper and Pearson (1934)."""
    low = special.betaincinv(hits, n - hits + 1, 0.025) if hits else 0.0
    high = special.betaincinv(hits + 1, n - hits, 0.975) if hits < n else 1.0
    return float(low), float(high)


def placements(
    positive: Float[np.ndarray, "m"], negative: Float[np.ndarray, "n"]
) -> tuple[Float[np.ndarray, "m"], Float[np.ndarray, "n"]]:
    """Each positive's share of negatives below it, each negative's share of positives above; ties half."""
    ranked_negative, ranked_positive = np.sort(negative), np.sort(positive)
    below = np.searchsorted(ranked_negative, positive, "left") + np.searchsorted(
        ranked_negative, positive, "right"
    )
    under = np.searchsorted(ranked_positive, negative, "left") + np.searchsorted(
        ranked_positive, negative, "right"
    )
    return below / (2 * len(negative)), 1 - under / (2 * len(positive))


def auroc(scores: Shaped[np.ndarray, "n"], labels: Shaped[np.ndarray, "n"]) -> Estimate:
    """Area under the ROC curve: P(anomalous > normal) + P(equal) / 2, exact with ties.

    The interval is DeLong's (1988) on the logit scale. Where its variance vanishes (perfect separation, all
    scores equal) or cannot be had (a single example of a class), it is Wilson's for a share of as many trials
    as the smaller class has: [1, 1] is never claimed.

    Raises:
        InputError: different lengths, or a score that is not finite.
    """
    positive, negative = _classes(scores, labels)
    if not len(positive) or not len(negative):
        return undefined(len(scores))
    over, under = placements(positive, negative)
    value = float(over.mean())
    smaller = min(len(positive), len(negative))
    variance = 0.0
    if smaller > 1:
        variance = float(over.var(ddof=1) / len(positive) + under.var(ddof=1) / len(negative))
    if variance <= 1e-18 or not 0 < value < 1:
        return Estimate(value, *_wilson(value, smaller), len(scores))
    centre, spread = special.logit(value), _Z * math.sqrt(variance) / (value * (1 - value))
    low, high = special.expit([centre - spread, centre + spread])
    return Estimate(value, float(low), float(high), len(scores))


def recall_at(
    scores: Shaped[np.ndarray, "n"], labels: Shaped[np.ndarray, "n"], false_alarms: float = 0.01
) -> Estimate:
    """Share of the anomalous above the lowest threshold that flags at most ``false_alarms`` of the normal.

    An example is flagged if its score is *above* the threshold, and the threshold is one of the normal
    scores: with ties the realised false-alarm rate is below the level, never above. The interval spans the
    percentile bootstrap over both classes (the threshold moves too) and Clopper-Pearson at the threshold
    found, which keeps it honest at 0 and 1.

    Raises:
        InputError: as ``auroc``; a level outside [0, 1).
    """
    if not 0 <= false_alarms < 1:
        raise InputError(f"false_alarms={false_alarms}: give a rate from 0 up to, not including, 1")
    positive, negative = _classes(scores, labels)
    if not len(positive) or not len(negative):
        return undefined(len(scores))
    m, n = len(positive), len(negative)
    allowed = math.floor(false_alarms * n + 1e-9)
    falling, ranked = np.sort(negative)[::-1], np.sort(positive)

    def caught(threshold: np.ndarray) -> np.ndarray:
        return m - np.searchsorted(ranked, threshold, "right")

    hits = int(caught(falling[[allowed]])[0])
    # In a resample of n, the (allowed + 1)-th smallest of n uniform indices is floor(n u), u from a beta law:
    # the bootstrap is exact without drawing n numbers.
    rng = np.random.default_rng(0)
    where = np.floor(n * rng.beta(allowed + 1, n - allowed, _RESAMPLES)).astype(int).clip(0, n - 1)
    recalls = rng.binomial(m, caught(falling[where]) / m) / m
    low, high = np.quantile(recalls, [0.025, 0.975])
    fixed_low, fixed_high = clopper_pearson(hits, m)
    return Estimate(hits / m, min(float(low), fixed_low), max(float(high), fixed_high), len(scores))


def false_alarm_rate(flags: Bool[np.ndarray, "n"]) -> Estimate:
    """Share of n normal examples that were flagged, with the Clopper-Pearson interval."""
    n, hits = len(flags), int(flags.sum())
    return Estimate(hits / n, *clopper_pearson(hits, n), n) if n else undefined(0)


def paired_auroc_difference(
    a: Shaped[np.ndarray, "n"],
    b: Shaped[np.ndarray, "n"],
    labels: Shaped[np.ndarray, "n"],
    seeds: Int[np.ndarray, "n"] | None = None,
) -> Difference:
    """AUROC of the scores a minus that of b on the same examples, averaged over seeds.

    The interval is the percentile bootstrap, 2,000 resamples, the same ones each time: seeds are drawn with
    replacement, and within each drawn seed anomalous and normal examples, the same for a and b. Seeds with
    labels of one class are left out. The p-value is that of a normal law with the bootstrap's standard error: resamples
    alone could not resolve the small ones that many comparisons ask for.

    Args:
        a: scores of one detector.
        b: scores of the other, of the same examples.
        labels: whether each is anomalous.
        seeds: which run each example belongs to; all one run where not given.

    Raises:
        InputError: as ``auroc``.
    """
    groups = np.zeros(len(labels), int) if seeds is None else seeds
    differences, resampled = [], []
    for seed in np.unique(groups):
        chosen = groups == seed
        classes = [_classes(scores[chosen], labels[chosen]) for scores in (a, b)]
        if not len(classes[0][0]) or not len(classes[0][1]):
            continue
        means = [float(placements(*pair)[0].mean()) for pair in classes]
        differences.append(means[0] - means[1])
        # The same draws for both detectors: that is what pairs them.
        draws = [_draws(*(scores.tobytes() for scores in pair), len(resampled)) for pair in classes]
        resampled.append(draws[0] - draws[1])
    if not differences:
        return Difference(None, None, None, len(labels), None)
    drawn = np.random.default_rng(0).integers(len(resampled), size=(len(resampled), _RESAMPLES))
    # One bootstrap draw of a seed that is drawn twice is a different one each time.
    turns = np.random.default_rng(1).permuted(np.tile(np.arange(_RESAMPLES), (len(resampled), 1)), axis=1)
    means = np.stack(resampled)[drawn, turns].mean(0)
    low, high = np.quantile(means, [0.025, 0.975])
    value, error = float(np.mean(differences)), float(means.std())
    # Where no resample differs from another, there is no error to divide by.
    certain = 1.0 if value == 0 else 1 / (_RESAMPLES + 1)
    p = math.erfc(abs(value) / (error * math.sqrt(2))) if error > 0 else certain
    return Difference(value, float(low), float(high), len(labels), p)


def holm(p: Sequence[float]) -> list[float]:
    """p-values of several tests, raised so that calling those below a level alpha is wrong anywhere at most that often.

    Step-down Bonferroni (Holm 1979), valid however the tests depend on each other.
    """
    order = np.argsort(p, kind="stable")
    raised = np.maximum.accumulate(np.asarray(p, dtype=float)[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty(len(p))
    adjusted[order] = raised.clip(max=1.0)
    return adjusted.tolist()


def over_seeds(estimates: Sequence[Estimate]) -> Estimate:
    """The mean of the seeds' figures, with an interval that holds the spread of examples and of seeds.

    The half-width is the larger of two views: 1.96 standard errors of the seeds' figures, and what their own intervals
    give for their mean. The interval stays inside [0, 1].
    """
    defined = [
        one for one in estimates if one.value is not None and one.low is not None and one.high is not None
    ]
    n = sum(one.n for one in estimates)
    if not defined:
        return Estimate(None, None, None, n)
    if len(defined) == 1:
        return Estimate(defined[0].value, defined[0].low, defined[0].high, n)
    values = np.array([one.value for one in defined], dtype=float)
    within = np.array([((one.high or 0.0) - (one.low or 0.0)) / 2 for one in defined])
    between = 1.96 * values.std(ddof=1) / np.sqrt(len(values))
    inside = np.sqrt((within**2).sum()) / len(values)
    half, mean = float(max(between, inside)), float(values.mean())
    return Estimate(mean, max(mean - half, 0.0), min(mean + half, 1.0), n)


def verdict(difference: Estimate) -> Verdict:
    """What a paired difference to the baseline says: on which side of zero its interval lies, if on one."""
    if difference.value is None or difference.low is None or difference.high is None:
        return "undefined"
    if difference.low > 0:
        return "better"
    return "worse" if difference.high < 0 else "inconclusive"


@lru_cache(maxsize=256)
def _draws(positive: bytes, negative: bytes, turn: int) -> Float[np.ndarray, "resamples"]:
    """``_resampled_aurocs`` of float64 scores; kept, as one baseline is compared with every detector of a table."""
    drawn = _resampled_aurocs(np.frombuffer(positive), np.frombuffer(negative), turn)
    drawn.flags.writeable = False
    return drawn


def _resampled_aurocs(
    positive: np.ndarray, negative: np.ndarray, turn: int
) -> Float[np.ndarray, "resamples"]:
    """AUROC in each of 2,000 resamples of both classes, from counts in place of copies."""
    m, n = len(positive), len(negative)
    ranked = np.argsort(negative, kind="stable")
    first = np.searchsorted(negative[ranked], positive, "left")
    last = np.searchsorted(negative[ranked], positive, "right")
    areas = []
    for times_positive, times_negative in _kept_counts(m, n, turn) if m + n <= _KEPT else _counts(m, n, turn):
        below = np.zeros((len(times_negative), n + 1), np.int32)
        np.cumsum(times_negative[:, ranked], axis=1, dtype=np.int32, out=below[:, 1:])
        twice = below[:, first] + below[:, last]
        areas.append(np.einsum("rp,rp->r", times_positive, twice, dtype=np.int64) / (2 * m * n))
    return np.concatenate(areas)


@lru_cache(maxsize=64)
def _kept_counts(m: int, n: int, turn: int) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """All of ``_counts``, kept, as every detector of a table is resampled in the same way."""
    return tuple(_counts(m, n, turn))


def _counts(m: int, n: int, turn: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """How often each of m and of n examples stands in each of 2,000 resamples of as many, a tenth of them at a time."""
    rng, size = np.random.default_rng([turn, 7]), _RESAMPLES // 10
    for _ in range(10):
        yield _times(rng, size, m), _times(rng, size, n)


def _times(rng: np.random.Generator, resamples: int, n: int) -> UInt8[np.ndarray, "resamples n"]:
    """How often each of n examples stands in each resample of n (as often as 256 times: less than once in 10^500)."""
    drawn = rng.integers(n, size=(resamples, n)) + n * np.arange(resamples)[:, None]
    return np.bincount(drawn.ravel(), minlength=resamples * n).reshape(resamples, n).astype(np.uint8)
