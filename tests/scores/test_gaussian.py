"""Gaussian scores: known answers, slow float64 references, and what they must not change with."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.scores.planted import finished, fit, gaussian_rows
from ulterior.errors import InputError
from ulterior.metrics import auroc
from ulterior.scores import (
    Diagonal,
    Mahalanobis,
    MomentsFitter,
    MomentsOf,
    PCAMahalanobis,
    PCAResidual,
    RelativeMahalanobis,
    SmallSampleWarning,
)


def shrunk_covariance(x: Tensor, share: float) -> np.ndarray:
    S = np.cov(x.double().numpy().T, ddof=0)
    return (1 - share) * S + share * np.trace(S) / len(S) * np.eye(len(S))


def mahalanobis_slowly(x: Tensor, mean: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    inverse = np.linalg.inv(covariance)
    centred = x.double().numpy() - mean
    return np.array([c @ inverse @ c / len(c) for c in centred])


@pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
def test_mahalanobis_equals_the_inverse_of_the_shrunk_covariance(tmp_path, share):
    trusted, _ = gaussian_rows(200, np.logspace(0, -1, 8), 0)
    x, _ = gaussian_rows(20, np.ones(8), 1)
    found = fit(Mahalanobis(share), {"reference": trusted}, tmp_path)(x)
    expected = mahalanobis_slowly(x, trusted.mean(0).numpy(), shrunk_covariance(trusted, share))
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_mahalanobis_of_trusted_rows_is_one_on_average(tmp_path):
    trusted, _ = gaussian_rows(500, np.logspace(0, -1, 8), 0)
    found = fit(Mahalanobis("none"), {"reference": trusted}, tmp_path)(trusted)
    assert float(found.mean()) == pytest.approx(1, rel=1e-9)


def test_a_known_answer_with_all_four_scores(tmp_path):
    # Mean (1, 2), covariance diag(4, 0.25).
    trusted = torch.tensor([[3.0, 2.5], [3.0, 1.5], [-1.0, 2.5], [-1.0, 1.5]])
    x = torch.tensor([[1.0, 2.0], [5.0, 2.0], [1.0, 4.0]])
    groups = {"reference": trusted}
    full = [0.0, 4 / 2, 16 / 2]
    np.testing.assert_allclose(fit(Mahalanobis("none"), groups, tmp_path)(x), full, atol=1e-12)
    np.testing.assert_allclose(fit(Diagonal(), groups, tmp_path)(x), full, atol=1e-12)
    np.testing.assert_allclose(fit(RelativeMahalanobis("none"), groups, tmp_path)(x), 0, atol=1e-12)
    residual = fit(PCAResidual(k=1, shrinkage="none"), groups, tmp_path)(x)
    np.testing.assert_allclose(residual, [0, 0, 16], atol=1e-12)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.integers(1, 6))
def test_mahalanobis_does_not_change_under_an_invertible_affine_map(tmp_path_factory, seed, d):
    scratch = tmp_path_factory.getbasetemp()
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.normal(size=(d, d)))[0] * rng.uniform(0.2, 5, size=d)
    turn, offset = torch.from_numpy(basis @ np.linalg.qr(rng.normal(size=(d, d)))[0]), 3.0
    trusted = torch.from_numpy(rng.normal(size=(60, d)))
    x = torch.from_numpy(rng.normal(size=(10, d)))
    before = fit(Mahalanobis("none"), {"reference": trusted}, scratch)(x)
    after = fit(Mahalanobis("none"), {"reference": trusted @ turn + offset}, scratch)(x @ turn + offset)
    torch.testing.assert_close(after, before, rtol=1e-7, atol=1e-9)


def test_relative_mahalanobis_is_the_difference_of_both_distances(tmp_path):
    trusted, _ = gaussian_rows(200, np.logspace(0, -1, 8), 0)
    x, _ = gaussian_rows(20, np.ones(8), 1)
    covariance = shrunk_covariance(trusted, 0.1)
    mean = trusted.mean(0).numpy()
    diagonal = mahalanobis_slowly(x, mean, np.diag(np.diag(covariance)))
    expected = mahalanobis_slowly(x, mean, covariance) - diagonal
    found = fit(RelativeMahalanobis(0.1), {"reference": trusted}, tmp_path)(x)
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-9)


def test_diagonal_is_the_mean_squared_z_score(tmp_path):
    trusted, _ = gaussian_rows(200, np.logspace(0, -1, 8), 0)
    x, _ = gaussian_rows(20, np.ones(8), 1)
    z = (x.numpy() - trusted.numpy().mean(0)) / trusted.numpy().std(0)
    np.testing.assert_allclose(
        fit(Diagonal(), {"reference": trusted}, tmp_path)(x), (z**2).mean(1), rtol=1e-9
    )


def test_pca_residual_is_the_weighed_part_outside_the_main_subspace(tmp_path):
    trusted, _ = gaussian_rows(300, np.logspace(0, -1, 8), 0)
    x, _ = gaussian_rows(20, np.ones(8), 1)
    S = np.cov(trusted.numpy().T, ddof=0)
    values, vectors = np.linalg.eigh(S)
    outside = (x.numpy() - trusted.numpy().mean(0)) @ vectors[:, :5]
    expected = (outside**2 / values[:5]).sum(1) / 5
    found = fit(PCAResidual(k=3, shrinkage="none"), {"reference": trusted}, tmp_path)(x)
    np.testing.assert_allclose(found, expected, rtol=1e-8)


def test_pca_residual_leaves_out_as_many_directions_as_explain_the_share(tmp_path):
    trusted, _ = gaussian_rows(300, np.sqrt([8.0, 4.0, 2.0, 1.0]), 0)
    values = np.linalg.eigvalsh(np.cov(trusted.numpy().T, ddof=0))[::-1]
    for explained in (0.0, 0.5, 0.79, 0.9, 1.0):
        weights = fit(PCAResidual(explained), {"reference": trusted}, tmp_path).weights  # pyright: ignore
        expected = min(int(np.searchsorted(np.cumsum(values) / values.sum(), explained)) + 1, 3)
        assert int((weights == 0).sum()) == expected
    with pytest.raises(InputError, match="share from 0 to 1"):
        fit(PCAResidual(1.1), {"reference": trusted}, tmp_path)
    with pytest.raises(InputError, match="k from 0 to 3"):
        fit(PCAResidual(k=4), {"reference": trusted}, tmp_path)


def test_pca_mahalanobis_and_the_residual_of_the_same_subspace_add_up_to_mahalanobis(tmp_path):
    trusted, _ = gaussian_rows(300, np.logspace(0, -1, 8), 0)
    x, _ = gaussian_rows(20, np.ones(8), 1)
    groups = {"reference": trusted}
    for k in (1, 3, 7):
        inside = fit(PCAMahalanobis(k=k, shrinkage="none"), groups, tmp_path)(x)
        outside = fit(PCAResidual(k=k, shrinkage="none"), groups, tmp_path)(x)
        whole = fit(Mahalanobis("none"), groups, tmp_path)(x)
        torch.testing.assert_close(k * inside + (8 - k) * outside, 8 * whole, rtol=1e-9, atol=0)
    everywhere = fit(PCAMahalanobis(1.0), groups, tmp_path)(x)
    torch.testing.assert_close(everywhere, fit(Mahalanobis(), groups, tmp_path)(x), rtol=1e-9, atol=0)


def test_pca_mahalanobis_is_the_weighed_part_inside_the_main_subspace(tmp_path):
    trusted, _ = gaussian_rows(300, np.sqrt([8.0, 4.0, 2.0, 1.0]), 0)
    x, _ = gaussian_rows(20, np.ones(4), 1)
    values, vectors = np.linalg.eigh(np.cov(trusted.numpy().T, ddof=0))
    inside = (x.numpy() - trusted.numpy().mean(0)) @ vectors[:, 2:]
    expected = (inside**2 / values[2:]).sum(1) / 2
    found = fit(PCAMahalanobis(0.79, shrinkage="none"), {"reference": trusted}, tmp_path)(x)
    np.testing.assert_allclose(found, expected, rtol=1e-8)


def test_pca_mahalanobis_sees_a_shift_inside_its_subspace_and_none_outside(tmp_path):
    trusted, rotation = gaussian_rows(2000, np.r_[np.full(2, 10.0), np.full(6, 0.1)], 0)
    fitted = fit(PCAMahalanobis(), {"reference": trusted}, tmp_path)
    x, _ = gaussian_rows(500, np.r_[np.full(2, 10.0), np.full(6, 0.1)], 1)
    labels = np.repeat([False, True], 500)
    for shift, low, high in ((40 * rotation[:, 0], 0.95, 1.0), (0.6 * rotation[:, 5], 0.45, 0.55)):
        assert low <= auroc(fitted(torch.cat([x, x + shift])).numpy(), labels).value <= high  # pyright: ignore


def test_a_pca_mahalanobis_without_directions_is_refused(tmp_path):
    trusted, _ = gaussian_rows(50, np.ones(4), 0)
    for score, words in ((PCAMahalanobis(k=0), "k from 1 to 4"), (PCAMahalanobis(-0.1), "share from 0 to 1")):
        with pytest.raises(InputError, match=words):
            fit(score, {"reference": trusted}, tmp_path)


def test_a_shift_inside_the_main_subspace_is_nothing_to_the_pca_residual(tmp_path):
    trusted, rotation = gaussian_rows(2000, np.r_[np.full(2, 10.0), np.full(6, 0.1)], 0)
    fitted = fit(PCAResidual(k=2), {"reference": trusted}, tmp_path)
    x, _ = gaussian_rows(500, np.r_[np.full(2, 10.0), np.full(6, 0.1)], 1)
    moved = x + 30 * rotation[:, 0]
    labels = np.repeat([False, True], 500)
    assert abs(auroc(fitted(torch.cat([x, moved])).numpy(), labels).value - 0.5) < 0.1  # pyright: ignore


def test_fewer_rows_than_features_still_separate_and_say_so(tmp_path):
    scales = np.logspace(0, -1, 60)
    trusted, _ = gaussian_rows(40, scales, 0)
    x, rotation = gaussian_rows(200, scales, 1)
    far = x + 2 * rotation[:, -1]
    labels = np.repeat([False, True], 200)
    for score in (Mahalanobis(), PCAResidual(), RelativeMahalanobis()):
        with pytest.warns(SmallSampleWarning, match="40 trusted examples for 60 features"):
            fitted = fit(score, {"reference": trusted}, tmp_path)
        assert auroc(fitted(torch.cat([x, far])).numpy(), labels).value > 0.8  # pyright: ignore


def test_constant_features_give_finite_scores_and_a_change_in_them_is_strange(tmp_path):
    trusted, _ = gaussian_rows(200, np.ones(4), 0)
    trusted[:, 2] = 5.0
    changed = trusted.clone()
    changed[:, 2] = 5.1
    for score in (Mahalanobis(), Diagonal(), PCAResidual(k=1)):
        fitted = fit(score, {"reference": trusted}, tmp_path)
        assert fitted(trusted).isfinite().all()
        assert (fitted(changed) > fitted(trusted)).all()


def test_a_site_that_never_varies_scores_zero_on_itself_and_higher_elsewhere(tmp_path):
    trusted = torch.zeros(50, 3)
    for score in (Mahalanobis(), RelativeMahalanobis(), Diagonal(), PCAMahalanobis(), PCAResidual()):
        fitted = fit(score, {"reference": trusted}, tmp_path)
        assert (fitted(trusted) == 0).all()
        assert fitted(trusted + 1).isfinite().all()


def test_all_gaussian_scores_share_one_basis(tmp_path):
    trusted, _ = gaussian_rows(100, np.ones(6), 0)
    given_moments = finished((MomentsOf("reference"),), {"reference": trusted}, tmp_path)
    fitted = [
        s.fit(given_moments, lambda *_: np.empty(0))
        for s in (Mahalanobis(), RelativeMahalanobis(), PCAResidual())
    ]
    assert all(one.basis is fitted[0].basis for one in fitted)


def test_scores_of_batches_of_shards_equal_those_of_the_whole(tmp_path):
    trusted, _ = gaussian_rows(100, np.logspace(0, -1, 6), 0)
    whole, left, right = (MomentsFitter(6) for _ in range(3))
    whole.update(trusted)
    left.update(trusted[:30])
    right.update(trusted[30:])
    left.merge(right)
    one, other = (
        Mahalanobis().fit({MomentsOf("reference"): fitter.finish()}, lambda *_: np.empty(0))(trusted)
        for fitter in (whole, left)
    )
    torch.testing.assert_close(one, other, rtol=1e-9, atol=0)
