"""The likelihood ratio: the slow formula, its shrinkage, and expectation maximisation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from tests.scores.planted import fit, gaussian_rows
from ulterior.errors import InputError
from ulterior.metrics import auroc
from ulterior.scores import LikelihoodRatio, likelihood


def planted(share: float, shift: float = 3.0) -> tuple[Tensor, Tensor, np.ndarray]:
    """(trusted, untrusted, which untrusted rows are moved along the direction of least variance)."""
    scales = np.logspace(0, -1, 8)
    trusted, rotation = gaussian_rows(2000, scales, 0)
    untrusted, _ = gaussian_rows(2000, scales, 1)
    moved = np.arange(2000) < share * 2000
    untrusted[moved] += shift * scales[-1] * rotation[:, -1]
    return trusted, untrusted, moved


def shrunk(S: np.ndarray, n: int) -> np.ndarray:
    """Optimal linear shrinkage, in the letters of arXiv 1308.2608 with the target I / p."""
    p = len(S)
    target = np.eye(p) / p
    norm, target_norm, both = np.sum(S * S), np.sum(target * target), np.trace(S @ target)
    alpha = 1 - (np.trace(S) ** 2 * target_norm / n) / (norm * target_norm - both**2)
    return alpha * S + (1 - alpha) * both / target_norm * target


def test_the_ratio_equals_that_of_two_densities_with_shrunk_covariances(tmp_path):
    trusted, _ = gaussian_rows(100, np.logspace(0, -0.5, 6), 0)
    untrusted, _ = gaussian_rows(60, np.logspace(0.2, -0.2, 6), 1, mean=3.5)
    x, _ = gaussian_rows(20, np.ones(6), 2)
    S = shrunk(np.cov(trusted.numpy().T, ddof=0), 100)
    W = np.linalg.inv(np.linalg.cholesky(S))  # another whitening than ours: the score must not care
    U = np.linalg.inv(W) @ shrunk(W @ np.cov(untrusted.numpy().T, ddof=0) @ W.T, 60) @ np.linalg.inv(W).T
    expected = stats.multivariate_normal(untrusted.mean(0).numpy(), U).logpdf(x.numpy())
    expected -= stats.multivariate_normal(trusted.mean(0).numpy(), S).logpdf(x.numpy())
    found = fit(LikelihoodRatio(), {"reference": trusted, "suspects": untrusted}, tmp_path)(x)
    np.testing.assert_allclose(found, expected, rtol=1e-8)


def test_optimal_shrinkage_is_whole_for_one_row_and_vanishes_with_many():
    S = np.cov(np.random.default_rng(0).normal(size=(50, 5)).T * np.arange(1, 6)[:, None], ddof=0)
    trace, square = float(np.trace(S)), float(np.sum(S * S))
    shares = [likelihood.optimal_linear(n, 5, trace, square) for n in (1, 50, 10**6)]
    assert shares[0] == 1.0
    assert 1 > shares[1] > shares[2] > 0
    assert shares[2] < 1e-3
    assert likelihood.optimal_linear(100, 5, 5.0, 5.0) == 1.0  # the identity itself: nothing to shrink


def test_with_nothing_new_in_the_untrusted_rows_the_ratio_says_next_to_nothing(tmp_path):
    trusted, same, _ = planted(0.0)
    found = fit(LikelihoodRatio(), {"reference": trusted, "suspects": same}, tmp_path)(same)
    strange = fit(LikelihoodRatio(), {"reference": trusted, "suspects": planted(0.3)[1]}, tmp_path)(same)
    assert float(found.std()) < 0.3 * float(strange.std())


def test_expectation_maximisation_finds_the_share_and_place_of_a_planted_part_and_sharpens_the_score(
    tmp_path,
):
    trusted, untrusted, moved = planted(0.05)
    groups = {"reference": trusted, "suspects": untrusted}
    plain, refined = (
        auroc(fit(LikelihoodRatio(steps), groups, tmp_path)(untrusted).numpy(), moved).value
        for steps in (0, 20)
    )
    assert refined > plain + 0.01  # pyright: ignore
    # As good as if the shift of three standard deviations were known.
    assert refined == pytest.approx(stats.norm.cdf(3 / 2**0.5), abs=0.01)
    z = torch.from_numpy(np.random.default_rng(0).normal(size=(3000, 4)))
    z[:300, 1] += 5.0
    start = likelihood._gaussian(z.mean(0), torch.cov(z.T), len(z))
    found, share = likelihood.refined(z, start, 50)
    assert share == pytest.approx(0.1, abs=0.02)
    torch.testing.assert_close(
        found.mean, torch.tensor([0, 5.0, 0, 0], dtype=torch.float64), atol=0.3, rtol=0
    )


def test_every_step_without_shrinkage_makes_the_untrusted_rows_more_likely(monkeypatch):
    monkeypatch.setattr(likelihood, "optimal_linear", lambda n, d, trace, square: 0.0)
    z = torch.from_numpy(np.random.default_rng(0).normal(size=(500, 3)))
    z[:100] += 2.0
    start = likelihood._gaussian(z.mean(0), torch.cov(z.T), len(z))
    heights = []
    for steps in range(8):
        found, share = likelihood.refined(z, start, steps)
        heights.append(float(torch.log(1 - share + share * found.log_ratio(z).exp()).mean()))
    assert (np.diff(heights) > -1e-12).all()
    assert heights[-1] > heights[0] + 0.01


def test_untrusted_rows_without_any_spread_are_no_error_and_a_negative_number_of_steps_is(tmp_path):
    trusted, x, _ = planted(0.1)
    groups = {"reference": trusted, "suspects": torch.zeros(20, 8)}
    for steps in (0, 5):
        assert fit(LikelihoodRatio(steps), groups, tmp_path)(x).isfinite().all()
    with pytest.raises(InputError, match="em_steps=-1"):
        fit(LikelihoodRatio(-1), {**groups, "suspects": x}, tmp_path)
