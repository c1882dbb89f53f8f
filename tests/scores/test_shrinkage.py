"""Shrinkage intensities equal scikit-learn's; nonlinear shrinkage does what its paper promises."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.covariance import ledoit_wolf_shrinkage
from sklearn.covariance import oas as sklearn_oas

from ulterior.scores.shrinkage import ledoit_wolf, nonlinear, oas


def sample(n: int, d: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + rng.normal(size=d) * 5


def covariance(x: np.ndarray) -> np.ndarray:
    return np.cov(x.T, ddof=0).reshape(x.shape[1], x.shape[1])


@pytest.mark.parametrize(("n", "d"), [(200, 8), (30, 30), (10, 40), (2, 5)])
def test_oas_equals_scikit_learns(n, d):
    x = sample(n, d)
    S = covariance(x)
    expected = sklearn_oas(x)[1]
    assert oas(n, d, float(np.trace(S)), float((S**2).sum())) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(("n", "d"), [(200, 8), (30, 30), (10, 40), (2, 5)])
def test_ledoit_wolf_equals_scikit_learns(n, d):
    x = sample(n, d)
    S = covariance(x)
    fourth = (((x - x.mean(0)) ** 2).sum(1) ** 2).sum()
    found = ledoit_wolf(n, d, float(np.trace(S)), float((S**2).sum()), float(fourth))
    assert found == pytest.approx(ledoit_wolf_shrinkage(x), rel=1e-8)


def test_no_variance_at_all_is_shrunk_without_dividing_by_zero():
    assert oas(10, 3, 0.0, 0.0) == 1.0
    assert ledoit_wolf(10, 3, 0.0, 0.0, 0.0) == 0.0
    np.testing.assert_array_equal(nonlinear(np.zeros(3), 10), np.zeros(3))


def quadratic_inverse_slowly(eigenvalues: np.ndarray, n: int) -> np.ndarray:
    """Ledoit and Wolf (2022), equations of section 4, element by element."""
    d, freedom = len(eigenvalues), n - 1
    ratio = d / freedom
    h = min(ratio**2, 1 / ratio**2) ** 0.35 / d**0.35
    known = [value * n / freedom for value in eigenvalues[max(0, d - freedom) :]]
    shrunk = [1 / ((ratio - 1) * np.mean([1 / v for v in known])) for _ in range(d - len(known))]
    for one in known:
        stein = conjugate = 0.0
        for other in known:
            gap = 1 / other - 1 / one
            below = gap**2 + h**2 / other**2
            stein += gap / other / below / len(known)
            conjugate += h / other**2 / below / len(known)
        amplitude = stein**2 + conjugate**2
        if d <= freedom:
            factor = (1 - ratio) ** 2 + 2 * ratio * (1 - ratio) * stein + ratio**2 * amplitude
        else:
            factor = amplitude
        shrunk.append(one / factor)
    return np.sort(shrunk) * sum(eigenvalues) / sum(shrunk)


@pytest.mark.parametrize(("n", "d"), [(200, 8), (30, 25), (30, 29), (12, 30)])
def test_nonlinear_equals_the_formula_written_out(n, d):
    values = np.linalg.eigvalsh(covariance(sample(n, d))).clip(0)
    np.testing.assert_allclose(nonlinear(values, n), quadratic_inverse_slowly(values, n), rtol=1e-9)


@pytest.mark.parametrize(("n", "d"), [(400, 100), (60, 100)])
def test_nonlinear_is_nearer_the_true_spectrum_than_the_sample_is(n, d):
    true = np.logspace(0, 1, d)
    values = np.linalg.eigvalsh(covariance(np.random.default_rng(0).normal(size=(n, d)) * np.sqrt(true)))
    shrunk = nonlinear(values.clip(0), n)
    assert shrunk.sum() == pytest.approx(values.sum(), rel=1e-9)
    assert np.abs(shrunk - true).mean() < 0.7 * np.abs(values - true).mean()
    assert shrunk.min() > 0


def test_nonlinear_keeps_one_small_variance_small_where_linear_shrinkage_lifts_it():
    rng = np.random.default_rng(0)
    true = np.r_[1e-4, np.full(63, 1.0)]
    S = covariance(rng.normal(size=(500, 64)) * np.sqrt(true))
    values = np.linalg.eigvalsh(S)
    share = oas(500, 64, float(np.trace(S)), float((S**2).sum()))
    linear = (1 - share) * values + share * values.mean()
    assert linear[0] > 100 * true[0]
    assert nonlinear(values, 500)[0] == pytest.approx(true[0], rel=0.5)
