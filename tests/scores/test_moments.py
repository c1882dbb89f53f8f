"""Streaming moments equal those of the whole, to 1e-9, however the rows arrive."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.covariance import ledoit_wolf_shrinkage
from sklearn.covariance import oas as sklearn_oas

from ulterior.errors import InputError
from ulterior.scores import (
    Mahalanobis,
    Moments,
    MomentsFitter,
    MomentsOf,
    PCAResidual,
    RelativeMahalanobis,
    SmallSampleWarning,
)


def rows(n: int, d: int, seed: int, offset: float = 0.0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + offset)


def gathered(*batches: torch.Tensor) -> MomentsFitter:
    fitter = MomentsFitter(batches[0].shape[1])
    for batch in batches:
        fitter.update(batch)
    return fitter


def batch_moments(x: torch.Tensor) -> Moments:
    """Two passes over all rows at once: the slow reference."""
    mean = x.mean(0)
    centred = x - mean
    return Moments(len(x), mean, centred.T @ centred / len(x), float(centred.square().sum(1).square().sum()))


def assert_same(found: Moments, expected: Moments, relative: float = 1e-9) -> None:
    scale = float(expected.covariance.abs().max())
    assert found.n == expected.n
    torch.testing.assert_close(found.mean, expected.mean, rtol=relative, atol=relative * scale**0.5)
    torch.testing.assert_close(found.covariance, expected.covariance, rtol=relative, atol=relative * scale)
    assert found.fourth == pytest.approx(expected.fourth, rel=relative)


cuts = st.lists(st.integers(0, 60), max_size=6)


@settings(deadline=None, max_examples=40)
@given(cuts, st.integers(1, 5), st.integers(0, 1000), st.sampled_from([0.0, 10.0, 1e3]))
def test_streaming_equals_batch(cut, d, seed, offset):
    x = rows(60, d, seed, offset)
    expected = batch_moments(x)
    assert_same(gathered(*x.tensor_split(sorted(cut))).finish(), expected)


@settings(deadline=None, max_examples=40)
@given(cuts, st.permutations(range(7)), st.integers(0, 1000))
def test_merged_shards_equal_the_whole_in_any_order(cut, order, seed):
    x = rows(60, 4, seed, offset=20.0)
    shards = list(x.tensor_split(sorted(cut)))
    merged = MomentsFitter(4)
    for index in order:
        if index < len(shards):
            merged.merge(gathered(shards[index]))
    assert_same(merged.finish(), batch_moments(x))


def test_a_merge_leaves_the_other_as_it_was_and_is_a_tree_or_a_chain_alike():
    parts = [gathered(rows(20, 3, seed, offset=seed)) for seed in range(4)]
    before = parts[1].finish()
    left, right = MomentsFitter(3), MomentsFitter(3)
    for part in parts[:2]:
        left.merge(part)
    for part in parts[2:]:
        right.merge(part)
    left.merge(right)
    assert_same(
        left.finish(), batch_moments(torch.cat([rows(20, 3, seed, offset=seed) for seed in range(4)]))
    )
    assert_same(parts[1].finish(), before, 0)


def test_a_large_mean_costs_no_digits_where_summed_squares_lose_them_all():
    x = rows(500, 3, 0) + 1e8
    expected = batch_moments(x - 1e8).covariance
    found = gathered(*x.split(7)).finish().covariance
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
    naive = x.T @ x / 500 - x.mean(0)[:, None] * x.mean(0)
    assert (naive - expected).abs().max() > 0.1


def test_half_precision_rows_are_gathered_in_float64():
    x = rows(100, 3, 0)
    for dtype in (torch.float32, torch.bfloat16):
        narrow = x.to(dtype)
        assert_same(gathered(*narrow.split(9)).finish(), batch_moments(narrow.double()))


@pytest.mark.parametrize(("n", "d"), [(100, 6), (12, 20)])
def test_intensities_of_streamed_moments_equal_scikit_learns(n, d):
    x = rows(n, d, 1, offset=3.0)
    moments = gathered(*x.split(5)).finish()
    assert moments.intensity("oas") == pytest.approx(sklearn_oas(x.numpy())[1], rel=1e-10)
    assert moments.intensity("ledoit-wolf") == pytest.approx(ledoit_wolf_shrinkage(x.numpy()), rel=1e-8)
    assert moments.intensity("none") == 0
    assert moments.intensity(0.25) == 0.25


def test_the_eigendecomposition_is_made_once_and_rebuilds_the_covariance():
    moments = gathered(rows(50, 6, 0)).finish()
    values, vectors = moments.eigen
    assert moments.eigen[1] is vectors
    torch.testing.assert_close((vectors * values) @ vectors.T, moments.covariance)


def test_oas_shrinks_towards_the_mean_variance_as_scikit_learn_does():
    x = rows(100, 6, 0)
    moments = gathered(x).finish()
    rebuilt = (moments.eigen[1] * moments.spectrum("oas")) @ moments.eigen[1].T
    torch.testing.assert_close(rebuilt, torch.from_numpy(sklearn_oas(x.numpy())[0]), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_rows_are_refused_with_the_groups_name(n):
    fitter = MomentsFitter(3, "reference")
    fitter.update(rows(5, 3, 0)[:n])
    with pytest.raises(InputError, match=f"'reference' has {n} rows"):
        fitter.finish()


def test_a_shrinkage_that_means_nothing_is_refused():
    moments = gathered(rows(50, 3, 0)).finish()
    for wrong in (1.5, -0.1, float("nan")):
        with pytest.raises(InputError, match="share from 0 to 1"):
            moments.intensity(wrong)


def test_fewer_rows_than_features_warn_once_however_many_sites_and_scores():
    sites = [gathered(rows(10, 20, seed)).finish() for seed in range(3)]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for moments in sites:
            assert (moments.spectrum() > 0).all()
            for score in (Mahalanobis(), RelativeMahalanobis(), PCAResidual()):
                score.fit({MomentsOf("reference"): moments}, lambda *_: np.empty(0))
    assert [str(w.message) for w in caught if w.category is SmallSampleWarning] == [
        "10 trusted examples for 20 features: the covariance rests on shrinkage; more than 20 examples would give "
        "sharper detectors"
    ]


@pytest.mark.parametrize("shrinkage", ["oas", "ledoit-wolf", "nonlinear", "none", 0.5])
def test_constant_features_give_positive_finite_variances(shrinkage):
    x = rows(50, 4, 0)
    x[:, 1], x[:, 2] = 7.0, 0.0
    for constant in (x, torch.zeros(50, 4, dtype=torch.float64)):
        moments = gathered(constant).finish()
        for variances in (moments.spectrum(shrinkage), moments.variances):
            assert (variances > 0).all()
            assert variances.isfinite().all()
