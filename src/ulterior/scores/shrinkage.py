"""How far to trust a sample covariance: pure kernels on numbers and eigenvalues.

All of them keep the eigenvectors of the sample covariance S and move its eigenvalues only, so that one
eigendecomposition serves every choice. n rows, width d, divisor n throughout.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


class SmallSampleWarning(UserWarning):
    """Fewer rows than features: the covariance rests on shrinkage more than on data."""


def oas(n: int, d: int, trace: float, square: float) -> float:
    """Oracle-approximating shrinkage intensity towards (tr S / d) I, in [0, 1].

    Chen, Wiesel, Eldar, Hero, "Shrinkage algorithms for MMSE covariance estimation" (arXiv 0907.4698), in the
    form (and to the rounding) of ``sklearn.covariance.oas``.

    Args:
        n: rows.
        d: width.
        trace: tr S.
        square: the squared Frobenius norm of S, tr S².
    """
    mean_square, target_square = square / d**2, (trace / d) ** 2
    spread = (n + 1) * (mean_square - target_square / d)
    return 1.0 if spread <= 0 else min((mean_square + target_square) / spread, 1.0)


def ledoit_wolf(n: int, d: int, trace: float, square: float, fourth: float) -> float:
    """Ledoit-Wolf shrinkage intensity towards (tr S / d) I, in [0, 1].

    Ledoit and Wolf, "A well-conditioned estimator for large-dimensional covariance matrices" (2004), in the
    form of ``sklearn.covariance.ledoit_wolf_shrinkage``.

    Args:
        n: rows.
        d: width.
        trace: tr S.
        square: tr S².
        fourth: the sum over rows of |x - mean|^4.
    """
    distance = square - trace**2 / d
    error = (fourth / n - square) / n
    return 0.0 if error <= 0 or distance <= 0 else min(error / distance, 1.0)


def nonlinear(eigenvalues: Float[np.ndarray, "d"], n: int) -> Float[np.ndarray, "d"]:
    """Each eigenvalue shrunk by its own neighbourhood: quadratic-inverse shrinkage.

    Ledoit and Wolf, "Quadratic shrinkage for large covariance matrices" (Bernoulli 28(3), 2022). A linear
    shrinkage lifts every small variance by the same amount, and so hides a shift along a direction whose
    variance is far below the mean one. This one draws an eigenvalue only to those within about its own size.
    Works for n < d too, where the null directions share one estimated variance.

    Args:
        eigenvalues: of S, ascending, at least zero.
        n: rows, at least 2; one degree of freedom is spent on the mean.

    Returns:
        Ascending eigenvalues with the same sum.
    """
    d, freedom = len(eigenvalues), n - 1
    seen = min(d, freedom)
    total = float(eigenvalues.sum())
    if total <= 0:
        return eigenvalues
    ratio = d / freedom
    width = min(ratio**2, ratio**-2) ** 0.35 / d**0.35
    # Divisor n - 1 here, as the theory has it; the trace is restored at the end.
    known = np.maximum(eigenvalues[d - seen :], total * np.finfo(float).eps) * n / freedom
    inverse = 1 / known
    gap = inverse[None, :] - inverse[:, None]
    kernel = inverse[None, :] / (gap**2 + (width * inverse[None, :]) ** 2)
    stein = (kernel * gap).mean(1)
    conjugate = (kernel * width * inverse[None, :]).mean(1)
    amplitude = stein**2 + conjugate**2
    if d <= freedom:
        shrunk = known / ((1 - ratio) ** 2 + 2 * ratio * (1 - ratio) * stein + ratio**2 * amplitude)
    else:
        null = 1 / ((ratio - 1) * inverse.mean())
        shrunk = np.concatenate([np.full(d - seen, null), known / amplitude])
    return np.sort(shrunk) * (total / shrunk.sum())
