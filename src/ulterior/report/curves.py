"""ROC curves as data: recall on a logarithmic grid of false-alarm rates, with a bootstrap band."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Num

from ulterior.report.model import Curve, Role

GRID = 61
"""Points of a curve: enough for the eye on three decades; statistics never come from them."""


def roc_curve(
    detector: str,
    scores: Sequence[Num[np.ndarray, " n"]],
    anomalous: Sequence[Bool[np.ndarray, " n"]],
    role: Role = "detector",
    resamples: int = 200,
    seed: int = 0,
) -> Curve:
    """A detector's ROC curve with a 95% band, averaged over seeds.

    Each element of ``scores`` and ``anomalous`` is one seed: scores (higher is more anomalous) and the truth
    of the same n examples. At each false-alarm rate the recall is the mean over seeds of the exact one. The
    band is the central 95% of a bootstrap that resamples normal and anomalous examples apart and, where
    there are several, the seeds too.

    Raises:
        ValueError: a seed has only one class (the curve is undefined), or nothing was given.
    """
    if not scores or len(scores) != len(anomalous):
        raise ValueError(f"{detector}: {len(scores)} arrays of scores, {len(anomalous)} of labels")
    runs: list[tuple[np.ndarray, np.ndarray]] = []
    for s, y in zip(scores, anomalous, strict=True):
        if y.all() or not y.any():
            raise ValueError(f"{detector}: a ROC curve needs both classes; all {len(y)} labels are the same")
        runs.append((s[~y].astype(np.float64), s[y].astype(np.float64)))
    finest = max(1 / max(len(normal) for normal, _ in runs), 1e-4)
    grid = np.geomspace(finest, 1.0, GRID)
    exact = np.mean([_recall(normal, odd, grid) for normal, odd in runs], axis=0)

    generator = np.random.default_rng(seed)
    drawn = np.empty((resamples, GRID))
    for r in range(resamples):
        chosen = generator.integers(len(runs), size=len(runs))
        drawn[r] = np.mean([_recall(*_resampled(runs[i], generator), grid) for i in chosen], axis=0)
    if resamples == 0:
        return Curve(detector, grid, exact, role=role)
    low, high = np.quantile(drawn, (0.025, 0.975), axis=0)
    return Curve(detector, grid, exact, np.minimum(low, exact), np.maximum(high, exact), role)


def _resampled(
    run: tuple[np.ndarray, np.ndarray], generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    normal, odd = run
    return generator.choice(normal, len(normal)), generator.choice(odd, len(odd))


def _recall(
    normal: Float[np.ndarray, " a"], odd: Float[np.ndarray, " b"], grid: Float[np.ndarray, " k"]
) -> Float[np.ndarray, " k"]:
    """Share of ``odd`` above the lowest threshold that lets at most a share ``grid`` of ``normal`` past.

    Ties cross a threshold together, as in use; nothing is interpolated.
    """
    ordered = np.sort(normal)[::-1]
    allowed = np.floor(grid * len(ordered) + 1e-9).astype(int)  # how many normal examples may exceed
    # With m allowed, the threshold is the (m+1)-th largest normal score, and must be exceeded strictly.
    threshold = np.append(ordered, -np.inf)[np.minimum(allowed, len(ordered))]
    return 1 - np.searchsorted(np.sort(odd), threshold, side="right") / len(odd)
