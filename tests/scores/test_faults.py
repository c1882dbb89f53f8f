"""Five faults of published code, each written out: the faulty formula fails on planted data, and ours does not."""

from __future__ import annotations

import json
from dataclasses import fields

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.scores.planted import fit, gaussian_rows
from ulterior.metrics import auroc
from ulterior.scores import Mahalanobis, PCAResidual, Quadratic, QuantumEntropy
from ulterior.serialise import pack, unpack


def area(scores: np.ndarray | Tensor, labels: np.ndarray) -> float:
    value = auroc(np.asarray(scores), labels).value
    assert value is not None
    return value


def halves(x: Tensor, shift: Tensor) -> tuple[Tensor, np.ndarray]:
    """(rows as they are and the same rows moved, which of them are moved)."""
    return torch.cat([x, x + shift]), np.repeat([False, True], len(x))


def test_shrinking_towards_the_trace_instead_of_the_mean_variance_hides_what_shrinking_rightly_shows(
    tmp_path,
):
    scales = np.logspace(1, -1, 100)
    trusted, rotation = gaussian_rows(300, scales, 0)
    fresh, _ = gaussian_rows(400, scales, 1)
    x, labels = halves(fresh, rotation[:, 60:].sum(1))
    fitted = fit(Mahalanobis("oas"), {"reference": trusted}, tmp_path)
    centred = (x - trusted.mean(0)).numpy()
    S = np.cov(trusted.numpy().T, ddof=0)
    share = 0.05
    faulty = (1 - share) * S + share * np.trace(S) * np.eye(100)
    wrong = np.einsum("ni,ij,nj->n", centred, np.linalg.inv(faulty), centred)
    assert area(wrong, labels) < 0.6
    assert area(fit(Mahalanobis(share), {"reference": trusted}, tmp_path)(x), labels) > 0.75
    assert area(fitted(x), labels) > 0.95


def test_an_untrusted_covariance_that_is_not_whitened_points_where_every_row_varies(tmp_path):
    scales = np.r_[np.full(3, 20.0), np.full(57, 1.0)]
    trusted, rotation = gaussian_rows(3000, scales, 0)
    untrusted, _ = gaussian_rows(3000, scales, 1)
    labels = np.arange(3000) < 300
    untrusted[:300] += 4.5 * rotation[:, -1]
    mean, S, U = trusted.mean(0).numpy(), np.cov(trusted.numpy().T), np.cov(untrusted.numpy().T)
    values, vectors = np.linalg.eigh(S)
    Z = (untrusted.numpy() - mean) @ (vectors / np.sqrt(values))
    C_values, C_vectors = np.linalg.eigh(
        vectors.T @ U @ vectors
    )  # rotated, but not divided by the trusted spread
    wrong = (Z @ C_vectors) ** 2 @ np.exp(4 * C_values / C_values.max())
    right = fit(QuantumEntropy(4.0), {"reference": trusted, "suspects": untrusted}, tmp_path)(untrusted)
    assert area(wrong, labels) < 0.75
    assert area(right, labels) > 0.95


def test_a_pseudo_inverse_with_a_cut_off_is_blind_to_a_six_sigma_shift_along_the_smallest_direction(tmp_path):
    scales = np.r_[np.full(8, 10.0), np.logspace(0, -1, 39), 3e-3]
    trusted, rotation = gaussian_rows(2000, scales, 0)
    fresh, _ = gaussian_rows(500, scales, 1)
    x, labels = halves(fresh, 6 * scales[-1] * rotation[:, -1])
    centred = (x - trusted.mean(0)).numpy()
    inverse = np.linalg.pinv(np.cov(trusted.numpy().T), rcond=1e-5, hermitian=True)
    assert abs(area(np.einsum("ni,ij,nj->n", centred, inverse, centred), labels) - 0.5) < 0.03
    # A plain reconstruction error, where large residual variances drown the small one, does not see it either.
    outside = np.linalg.eigh(np.cov(trusted.numpy().T))[1][:, :-8]
    assert abs(area(((centred @ outside) ** 2).sum(1), labels) - 0.5) < 0.03
    assert area(fit(PCAResidual(), {"reference": trusted}, tmp_path)(x), labels) > 0.95
    assert area(fit(Mahalanobis("nonlinear"), {"reference": trusted}, tmp_path)(x), labels) > 0.95


def test_a_score_of_tail_ranks_within_the_batch_changes_with_the_batch_and_ours_does_not(tmp_path):
    trusted, _ = gaussian_rows(200, np.ones(6), 0)
    x, _ = gaussian_rows(200, np.ones(6), 1)

    def ranked_with_its_batch(batch: np.ndarray) -> np.ndarray:
        """The faulty formula: empirical tails of trusted rows *and* of the rows that are being scored."""
        everything = np.concatenate([trusted.numpy(), batch])
        tail = (everything[None] >= batch[:, None]).mean(1)
        return -np.log(np.minimum(tail, 1 - tail + 1 / len(everything))).sum(1)

    one = slice(0, 1)
    together, alone = ranked_with_its_batch(x.numpy())[one], ranked_with_its_batch(x[one].numpy())
    assert not np.allclose(together, alone, rtol=1e-3)
    fitted = fit(Mahalanobis(), {"reference": trusted}, tmp_path)
    torch.testing.assert_close(fitted(x)[one], fitted(x[one]), rtol=1e-12, atol=0)


def test_a_reload_that_forgets_a_field_scores_otherwise_and_ours_to_the_bit(tmp_path):
    scales = np.logspace(0, -1, 6)
    trusted, _ = gaussian_rows(200, scales, 0)
    x, _ = gaussian_rows(50, scales, 1)
    fitted = fit(Mahalanobis(), {"reference": trusted}, tmp_path)
    assert isinstance(fitted, Quadratic)
    # The faulty way: what was not registered to be saved comes back as it was before the fit.
    forgetful = Quadratic(fitted.mean, fitted.basis, torch.ones_like(fitted.weights), fitted.diagonal)
    assert not torch.allclose(forgetful(x), fitted(x), rtol=0.1)
    value, tensors = pack(fitted)
    save_file(tensors, tmp_path / "score.safetensors")
    again = unpack(json.loads(json.dumps(value)), load_file(tmp_path / "score.safetensors"))
    assert torch.equal(again(x), fitted(x))
    assert {field.name for field in fields(fitted)} == set(value["fields"])
