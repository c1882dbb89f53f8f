"""Scores that look where the untrusted rows point."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor

from tests.scores.planted import fit, gaussian_rows
from ulterior.metrics import auroc
from ulterior.scores import Mahalanobis, QuantumEntropy, SpectralSignature


def planted(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """(trusted, untrusted, x): a tenth of the untrusted rows are moved along a direction of small variance."""
    scales = np.logspace(0.5, -1, 10)
    trusted, rotation = gaussian_rows(500, scales, seed)
    untrusted, _ = gaussian_rows(500, scales, seed + 1)
    untrusted[:50] += 0.5 * rotation[:, -2]
    x, _ = gaussian_rows(30, np.ones(10), seed + 2)
    return trusted, untrusted, x


@pytest.mark.parametrize("alpha", [0.0, 1.0, 4.0])
def test_quantum_entropy_equals_the_formula_with_a_matrix_exponential(tmp_path, alpha):
    trusted, untrusted, x = planted()
    S, U = (np.cov(part.numpy().T, ddof=0) for part in (trusted, untrusted))
    W = np.linalg.inv(np.linalg.cholesky(S)).T  # another whitening than ours: the score must not care
    C = W.T @ U @ W
    Q = scipy.linalg.expm(alpha * C / np.linalg.norm(C, 2))
    Z = (x.numpy() - trusted.numpy().mean(0)) @ W
    expected = np.einsum("ni,ij,nj->n", Z, Q, Z) / np.trace(Q)
    score = QuantumEntropy(alpha, "none")
    found = fit(score, {"reference": trusted, "suspects": untrusted}, tmp_path)(x)
    np.testing.assert_allclose(found, expected, rtol=1e-8)


def test_quantum_entropy_at_alpha_zero_is_mahalanobis_and_tends_to_it(tmp_path):
    trusted, untrusted, x = planted()
    groups = {"reference": trusted, "suspects": untrusted}
    distance = fit(Mahalanobis(), groups, tmp_path)(x)
    torch.testing.assert_close(fit(QuantumEntropy(0.0), groups, tmp_path)(x), distance, rtol=1e-9, atol=0)
    torch.testing.assert_close(fit(QuantumEntropy(1e-6), groups, tmp_path)(x), distance, rtol=1e-5, atol=0)


def test_quantum_entropy_with_nothing_new_in_the_untrusted_rows_is_mahalanobis(tmp_path):
    trusted, _, x = planted()
    groups = {"reference": trusted, "suspects": trusted}
    found = fit(QuantumEntropy(4.0, "none"), groups, tmp_path)(x)
    torch.testing.assert_close(found, fit(Mahalanobis("none"), groups, tmp_path)(x), rtol=1e-8, atol=0)


def test_quantum_entropy_does_not_change_under_an_invertible_map(tmp_path):
    trusted, untrusted, x = planted()
    turn = torch.from_numpy(np.random.default_rng(3).normal(size=(10, 10)))
    score = QuantumEntropy(4.0, "none")
    before = fit(score, {"reference": trusted, "suspects": untrusted}, tmp_path)(x)
    after = fit(score, {"reference": trusted @ turn, "suspects": untrusted @ turn}, tmp_path)(x @ turn)
    torch.testing.assert_close(after, before, rtol=1e-6, atol=0)


def test_quantum_entropy_beats_mahalanobis_on_a_rare_shift_that_untrusted_rows_share(tmp_path):
    scales = np.ones(40)
    trusted, rotation = gaussian_rows(2000, scales, 0)
    untrusted, _ = gaussian_rows(2000, scales, 1)
    labels = np.arange(2000) < 200
    untrusted[:200] += 4 * rotation[:, 0]
    groups = {"reference": trusted, "suspects": untrusted}
    quantum, plain = (
        auroc(fit(score, groups, tmp_path)(untrusted).numpy(), labels).value
        for score in (QuantumEntropy(), Mahalanobis())
    )
    assert quantum > plain + 0.03  # pyright: ignore


def test_untrusted_rows_without_any_spread_are_no_error(tmp_path):
    trusted, _, x = planted()
    groups = {"reference": trusted, "suspects": torch.zeros(20, 10)}
    for score in (QuantumEntropy(), SpectralSignature()):
        assert fit(score, groups, tmp_path)(x).isfinite().all()


def test_spectral_signature_is_the_squared_projection_on_the_top_direction(tmp_path):
    _, untrusted, x = planted()
    centred = untrusted.numpy() - untrusted.numpy().mean(0)
    top = np.linalg.svd(centred, full_matrices=False)[2][0]
    expected = ((x.numpy() - untrusted.numpy().mean(0)) @ top) ** 2
    found = fit(SpectralSignature(), {"suspects": untrusted}, tmp_path)(x)
    np.testing.assert_allclose(found, expected, rtol=1e-8)
