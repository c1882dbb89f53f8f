"""From scores to false-alarm rates: conformal p-values on held-out trusted examples, and the fusion of sites.

The raw scores of two sites are not comparable. So the held-out trusted examples, none of which any score was
fitted on, are cut in two. Part A says of each site how far out a value is there: a p-value per site. These
are fused to one number per example (a fusion that learns, learns from part A), and part B, which fusion has not
seen, says how far out *that* number is. Whatever part A and the fusion do, the last step is a rank among
exchangeable numbers, so that P(p <= alpha) <= alpha holds exactly, in any sample size (Vovk, Gammerman, Shafer,
"Algorithmic learning in a random world", 2005).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Shaped
from scipy import special, stats

from ulterior.errors import InputError
from ulterior.metrics import Estimate, auroc
from ulterior.serialise import saved

Fusion = Literal["fisher", "cauchy", "min", "covariance", "learned"]

_TAIL = 0.1  # share of the reference scores that the tail is fitted to
_ABSOLUTE = 1e-12
# Added to the variances of -log p, which are about 1. Two sites that say the same differ by the rounding of float32;
# divided by its own tiny variance, that difference would be the score.
_RIDGE = 1e-3


@saved
@dataclass(frozen=True, eq=False)
class SiteReference:
    """The trusted scores of part A at one site, sorted, and the scale of the exponential tail beyond them."""

    scores: Float[np.ndarray, "a"]
    tail: float

    @staticmethod
    def of(scores: Shaped[np.ndarray, "a"]) -> SiteReference:
        """From the scores of part A, in any order.

        The tail's scale is the mean excess over the 90% quantile (the maximum-likelihood one of an
        exponential).

        Raises:
            InputError: no score, or one that is not finite.
        """
        ranked = np.sort(scores.astype(np.float64))
        if not len(ranked) or not np.isfinite(ranked).all():
            raise InputError("a site is calibrated on at least one trusted score, all of them finite numbers")
        start = ranked[max(math.ceil((1 - _TAIL) * len(ranked)) - 2, 0)]
        excess = ranked[ranked > start] - start
        # Ties may leave no excess, or no spread at all: then the tail is as steep as rounding allows.
        scale = float(excess.mean()) if len(excess) else float(ranked.std())
        return SiteReference(ranked, max(scale, _ABSOLUTE + 1e-6 * float(np.abs(ranked).max())))

    def log_p(self, scores: Shaped[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
        """Log p-values of any scores: falling strictly as the score rises above the lowest reference.

        At a reference score p is the conformal (1 + #{a >= score}) / (1 + #a); log p is linear in between
        (never below the conformal one), and beyond the largest goes down by the exponential tail, an
        extrapolation by which extremes still rank.
        """
        scores = scores.astype(np.float64)
        count = len(self.scores)
        knots, first = np.unique(self.scores, return_index=True)
        levels = np.log((1 + count - first) / (1 + count))
        beyond = np.maximum(scores - knots[-1], 0) / self.tail
        return np.interp(scores, knots, levels) - beyond

    def p(self, scores: Shaped[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
        """The p-value to show for one site: at least 1 / (1 + #a), so that P(p <= alpha) <= alpha holds."""
        return np.maximum(np.exp(self.log_p(scores)), 1 / (1 + len(self.scores)))


@saved
@dataclass(frozen=True, eq=False)
class SitesDistance:
    """Mahalanobis distance of an example's sites from where nothing is strange: v' precision v, v = -log p.

    Sites that disagree count as well, where they agree on trusted examples. The covariance is of trusted examples, with
    Ledoit-Wolf shrinkage, as there may be more sites than examples. After layer consistency (arXiv 2604.24542), which
    takes the distance of raw scores from their mean; from there, an example that is more usual than the average one
    would count as strange.
    """

    precision: Float[np.ndarray, "s s"]

    @staticmethod
    def of(log_p: Float[np.ndarray, "a s"]) -> SitesDistance:
        """From the log p-values of trusted examples."""
        return SitesDistance(np.linalg.inv(_ledoit_wolf(log_p) + _RIDGE * np.eye(log_p.shape[1])))

    def __call__(self, log_p: Float[np.ndarray, "n s"]) -> Float[np.ndarray, "n"]:
        """Squared distances."""
        return ((log_p @ self.precision) * log_p).sum(1)


@saved
@dataclass(frozen=True, eq=False)
class WeightedStouffer:
    """A weighted sum of the sites' normal scores, with the weights that vary least on trusted examples.

    z = the standard normal quantile of 1 - p; weights at least zero, so that no site may vote for an example by being
    strange, that minimise the variance of the weighted mean of z; the sum is divided by its standard deviation.
    Sites that repeat each other share one vote. Where the z of trusted examples are jointly normal (a Gaussian
    copula), the result is standard normal whatever their correlation. It finds what shifts all sites a little; one site
    alone must be very strange to be heard. Stouffer's sum, with the weights of generalised least squares (Aitken 1935)
    as far as they are positive.

    ``ceiling`` lowers every log p a little: the p-value of the most usual example, 1, has no normal score.
    """

    weights: Float[np.ndarray, "s"]
    ceiling: float

    @staticmethod
    def of(log_p: Float[np.ndarray, "a s"]) -> WeightedStouffer:
        """From the log p-values of trusted examples."""
        from scipy.optimize import nnls

        n, sites = log_p.shape
        ceiling = math.log((n + 1) / (n + 2))
        correlation = _ledoit_wolf(_normal_scores(log_p, ceiling))
        # Normal scores have variance 1 but for ties; a site that never varies must not get all the weight.
        np.fill_diagonal(correlation, np.maximum(correlation.diagonal(), 1.0))
        # min w' R w, sum w = 1, w >= 0 is, up to the length of w, min v' R v / 2 - sum v, v >= 0; R = L L'.
        L = np.linalg.cholesky(correlation)
        weights, _ = nnls(L.T, np.linalg.solve(L, np.ones(sites)))
        return WeightedStouffer(weights / math.sqrt(weights @ correlation @ weights), ceiling)

    def __call__(self, log_p: Float[np.ndarray, "n s"]) -> Float[np.ndarray, "n"]:
        """Sums; standard normal on trusted examples, if their sites are jointly normal."""
        return _normal_scores(log_p, self.ceiling) @ self.weights


Learned = SitesDistance | WeightedStouffer


def _normal_scores(log_p: Float[np.ndarray, "n s"], ceiling: float) -> Float[np.ndarray, "n s"]:
    return -special.ndtri_exp(log_p + ceiling)


def _ledoit_wolf(x: Float[np.ndarray, "n s"]) -> Float[np.ndarray, "s s"]:
    """The shrunk covariance of n examples; of a single one the identity, as nothing is known."""
    from sklearn.covariance import ledoit_wolf

    if len(x) < 2:
        return np.eye(x.shape[1])
    return np.asarray(ledoit_wolf(x - x.mean(0), assume_centered=True)[0])


def fuse(log_p: Float[np.ndarray, "n s"], fusion: Fusion | Learned = "fisher") -> Float[np.ndarray, "n"]:
    """One number per example from the log p-values of its sites; higher = more anomalous.

    ``fisher``: minus twice the sum; strangeness at many sites adds up. ``cauchy``: minus the log of the
    Cauchy combination (Liu and Xie, arXiv 1808.09011), a mean of odds that correlated sites disturb little.
    ``min``: minus the log of Bonferroni's p, the strangest site times their number. Two more are learned from trusted
    examples, and then given as what was learned: ``covariance`` (``SitesDistance``) and ``learned``
    (``WeightedStouffer``).

    Raises:
        InputError: another name, or one of a fusion that must be learned first.
    """
    if not isinstance(fusion, str):
        return fusion(log_p)
    sites = log_p.shape[1]
    if fusion == "fisher":
        return -2 * log_p.sum(1)
    if fusion == "min":
        return -(log_p.min(1) + math.log(sites))
    if fusion != "cauchy":
        raise InputError(
            f"fusion {fusion!r}: give 'fisher', 'cauchy' or 'min', or to `calibrate` also 'covariance' or 'learned'"
        )
    # Conformal p-values are often 1 exactly, whose odds of minus infinity would outvote any other site.
    p = np.exp(np.clip(log_p, -600.0, math.log(0.99)))
    usual = -np.log(np.arctan2(1, (1 / np.tan(np.pi * p)).mean(1)) / np.pi)
    # There 1 / tan(pi p) is 1 / (pi p) to the last digit, and the log keeps the order even where p underflows.
    extreme = np.asarray(special.logsumexp(-log_p, axis=1)) - math.log(sites)
    return np.where(log_p.min(1) < -300, extreme, usual)


@dataclass(frozen=True, eq=False)
class Judged:
    """What a calibration says of n examples at s sites."""

    site_p: Float[np.ndarray, "n s"]
    """One p-value per site, at least 1 / (1 + size of part A)."""
    fused: Float[np.ndarray, "n"]
    """The sites as one number; higher = more anomalous."""
    p: Float[np.ndarray, "n"]
    """Conformal p-value of ``fused``: P(p <= alpha) <= alpha for trusted examples."""


@saved
@dataclass(frozen=True, eq=False)
class Calibration:
    """What one detector said of held-out trusted examples: its sites on part A, their fusion on part B."""

    sites: tuple[SiteReference, ...]
    reference: Float[np.ndarray, "b"]
    """Fused scores of part B, ascending."""
    fusion: Fusion | Learned

    @property
    def n(self) -> int:
        """Examples in part B, which bound the smallest p-value: 1 / (n + 1)."""
        return len(self.reference)

    def __call__(self, scores: Shaped[np.ndarray, "n s"]) -> Judged:
        """Judge the raw scores of n examples at the s sites.

        Raises:
            InputError: another number of sites, or a score that is not finite.
        """
        _check(scores, len(self.sites))
        site_p = np.stack([site.p(scores[:, i]) for i, site in enumerate(self.sites)], 1)
        fused = fuse(_log_p(self.sites, scores), self.fusion)
        return Judged(site_p, fused, self.p_values(fused))

    def p_values(self, fused: Shaped[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
        """Exactly valid p-values of fused scores: (1 + #{b >= fused}) / (1 + #b)."""
        return (1 + self.n - np.searchsorted(self.reference, fused, "left")) / (1 + self.n)

    def attainable(self, alpha: float) -> bool:
        """Whether part B is large enough for a p-value of at most ``alpha``."""
        return math.floor(alpha * (self.n + 1) + 1e-9) >= 1

    def threshold(self, alpha: float) -> float:
        """The fused score above which (strictly) the p-value is at most ``alpha``.

        Raises:
            InputError: a rate outside (0, 1), or one that part B is too small for.
        """
        if not 0 < alpha < 1:
            raise InputError(f"alpha={alpha}: give a false-alarm rate between 0 and 1")
        if not self.attainable(alpha):
            needed = math.ceil(1 / alpha - 1e-9) - 1
            raise InputError(
                f"a false-alarm rate of {alpha:g} needs {math.ceil(1.5 * needed)} held-out trusted examples, of which"
                f" {needed} set the threshold; there are {self.n} for that: give more trusted examples, hold out a"
                f" larger share, or ask for a rate of {1 / (self.n + 1):.2g} or more"
            )
        return float(self.reference[-math.floor(alpha * (self.n + 1) + 1e-9)])

    def flags(self, fused: Shaped[np.ndarray, "n"], alpha: float) -> Bool[np.ndarray, "n"]:
        """Which examples to flag so that, of trusted ones, at most a share ``alpha`` is expected to be."""
        return fused > self.threshold(alpha)


def calibrate(scores: Shaped[np.ndarray, "n s"], fusion: Fusion = "fisher", seed: int = 0) -> Calibration:
    """Calibrate one detector on the scores of n held-out trusted examples, on which nothing was fitted.

    Args:
        scores: raw scores at s sites, higher = more anomalous.
        fusion: how the sites become one number; see ``fuse``. What is to be learned is learned from part A.
        seed: of the cut; a third goes to part A, which only has to know a shape, the rest to part B.

    Raises:
        InputError: fewer than two examples, no site, or a score that is not finite.
    """
    if len(scores) < 2 or not scores.shape[1]:
        raise InputError(
            f"calibration needs 2 or more held-out trusted examples and a site, got {scores.shape}"
        )
    _check(scores, scores.shape[1])
    order = np.random.default_rng(seed).permutation(len(scores))
    cut = max(len(scores) // 3, 1)
    part_a, part_b = scores[order[:cut]], scores[order[cut:]]
    sites = tuple(SiteReference.of(column) for column in part_a.T)
    rule = _learned(_log_p(sites, part_a), fusion)
    return Calibration(sites, np.sort(fuse(_log_p(sites, part_b), rule)), rule)


def _learned(log_p: Float[np.ndarray, "a s"], fusion: Fusion) -> Fusion | Learned:
    if fusion == "covariance":
        return SitesDistance.of(log_p)
    return WeightedStouffer.of(log_p) if fusion == "learned" else fusion


def _log_p(sites: tuple[SiteReference, ...], scores: Shaped[np.ndarray, "n s"]) -> Float[np.ndarray, "n s"]:
    return np.stack([site.log_p(scores[:, i]) for i, site in enumerate(sites)], 1)


def _check(scores: np.ndarray, sites: int) -> None:
    if scores.shape[1] != sites:
        raise InputError(f"scores at {scores.shape[1]} sites do not fit a calibration of {sites}")
    if not np.isfinite(scores).all():
        row, site = np.argwhere(~np.isfinite(scores))[0]
        raise InputError(f"the score of example {row} at site {site} is not a finite number")


@dataclass(frozen=True)
class Drift:
    """Whether a batch as a whole scores otherwise than the reference."""

    p: float
    """Two-sided p-value of the Mann-Whitney test."""
    effect: Estimate
    """P(batch > reference) + P(equal) / 2: 0.5 is no drift, 1 is all of the batch above."""


def drift(reference: Shaped[np.ndarray, "m"], batch: Shaped[np.ndarray, "n"]) -> Drift:
    """Compare two samples of fused scores, of examples that neither was fitted on.

    Raises:
        InputError: an empty sample, or a score that is not finite.
    """
    if not len(reference) or not len(batch):
        raise InputError("drift compares two samples, and one of them is empty")
    effect = auroc(
        np.concatenate([reference, batch]), np.arange(len(reference) + len(batch)) >= len(reference)
    )
    if np.ptp(np.concatenate([reference, batch])) == 0:
        return Drift(1.0, effect)
    p = stats.mannwhitneyu(batch, reference, alternative="two-sided", method="asymptotic").pvalue
    return Drift(float(p), effect)
