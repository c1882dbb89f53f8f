"""SPECTRE: the slow formula, the choice of k, and a low-variance anomaly."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor

from tests.scores.planted import fit, gaussian_rows
from ulterior.errors import InputError
from ulterior.metrics import auroc
from ulterior.scores import SPECTRE, Mahalanobis, QuantumEntropy, spectre


def planted(
    n: int = 1500, d: int = 60, share: float = 0.1, along: int = 1
) -> tuple[Tensor, Tensor, np.ndarray]:
    """(trusted, untrusted, which are moved): along directions of least variance, 4 trusted standard deviations."""
    scales = np.logspace(0.5, -1, d)
    trusted, rotation = gaussian_rows(n, scales, 0)
    untrusted, _ = gaussian_rows(n, scales, 1)
    moved = np.arange(n) < share * n
    for i in range(along):
        some = moved & (np.arange(n) % along == i)
        untrusted[some] += 4 * scales[-1 - i] * rotation[:, -1 - i]
    return trusted, untrusted, moved


@pytest.mark.parametrize("k", [1, 3, 6])
def test_the_score_equals_the_formula_with_a_matrix_exponential(tmp_path, k):
    trusted, untrusted, _ = planted(200, 6)
    x, _ = gaussian_rows(20, np.ones(6), 2)
    W = np.linalg.inv(np.linalg.cholesky(np.cov(trusted.numpy().T, ddof=0))).T
    C = W.T @ np.cov(untrusted.numpy().T, ddof=0) @ W
    P = np.linalg.eigh(C)[1][:, ::-1][:, :k]
    Ck = P.T @ C @ P
    Q = scipy.linalg.expm(4 * (Ck - np.eye(k)) / np.linalg.norm(Ck - np.eye(k), 2))
    Z = (x.numpy() - trusted.numpy().mean(0)) @ W @ P
    expected = np.einsum("ni,ij,nj->n", Z, Q, Z) / np.trace(Q)
    score = SPECTRE(k=k, shrinkage="none")
    found = fit(score, {"reference": trusted, "suspects": untrusted}, tmp_path)(x)
    np.testing.assert_allclose(found, expected, rtol=1e-8)


def test_the_chosen_number_of_directions_equals_the_plain_search(tmp_path):
    trusted, untrusted, _ = planted(300, 12)
    whiten = np.linalg.inv(np.linalg.cholesky(np.cov(trusted.numpy().T, ddof=0))).T
    z = (untrusted.numpy() - trusted.numpy().mean(0)) @ whiten
    values, turn = np.linalg.eigh(np.cov(z.T, ddof=0))
    z, values = z @ turn[:, ::-1], values[::-1].copy()
    best = (-np.inf, 0)
    for k in (1, 2, 3, 4, 5, 7, 8, 10, 12):
        C = np.diag(values[:k]) - np.eye(k)
        Q = scipy.linalg.expm(4 * C / np.linalg.norm(C, 2))
        scores = np.array([row[:k] @ Q @ row[:k] for row in z]) / np.trace(Q)
        left = z[np.argsort(scores)[: 300 - 45]]
        again = z @ np.linalg.inv(np.linalg.cholesky(np.cov(left.T, ddof=0))).T
        C = np.cov(again.T, ddof=0)
        Q = scipy.linalg.expm(4 * (C - np.eye(12)) / np.linalg.norm(C - np.eye(12), 2))
        best = max(best, (np.trace(C @ Q) / np.trace(Q), k))
    assert spectre.chosen_directions(np.ascontiguousarray(z), values, 4.0, 0.15) == best[1]


def test_few_directions_find_a_rare_shift_along_the_least_variance_better_than_all_do(tmp_path):
    trusted, untrusted, moved = planted()
    groups = {"reference": trusted, "suspects": untrusted}
    chosen, all_directions, plain = (
        auroc(fit(score, groups, tmp_path)(untrusted).numpy(), moved).value
        for score in (
            SPECTRE(shrinkage="nonlinear"),
            QuantumEntropy(shrinkage="nonlinear"),
            Mahalanobis("nonlinear"),
        )
    )
    assert chosen > 0.97  # pyright: ignore
    assert chosen > all_directions > plain  # pyright: ignore


def test_the_number_of_directions_follows_what_is_planted(tmp_path):
    one = fit(
        SPECTRE(shrinkage="none"), dict(zip(("reference", "suspects"), planted(), strict=False)), tmp_path
    )
    assert len(one.weights) <= 3  # pyright: ignore


def test_untrusted_rows_without_any_spread_are_no_error(tmp_path):
    trusted, x, _ = planted(200, 6)
    groups = {"reference": trusted, "suspects": torch.zeros(20, 6)}
    assert fit(SPECTRE(), groups, tmp_path)(x).isfinite().all()


def test_what_is_out_of_range_is_refused(tmp_path):
    trusted, untrusted, _ = planted(100, 6)
    groups = {"reference": trusted, "suspects": untrusted}
    for score in (SPECTRE(k=7), SPECTRE(k=0), SPECTRE(directions=0)):
        with pytest.raises(InputError, match="give k from 1 to 6"):
            fit(score, groups, tmp_path)
    with pytest.raises(InputError, match="share between 0 and 1"):
        fit(SPECTRE(removed=0.0), groups, tmp_path)
