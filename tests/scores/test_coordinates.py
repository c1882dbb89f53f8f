"""Laplace and L0: their definitions, and what they are for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from tests.scores.planted import fit, gaussian_rows
from ulterior.errors import InputError
from ulterior.metrics import auroc
from ulterior.scores import L0, Diagonal, Laplace, coordinates


def test_laplace_is_minus_the_log_density_of_the_most_likely_laplace_distribution(tmp_path, monkeypatch):
    monkeypatch.setattr(coordinates, "_AT_ONCE", 2)
    rng = np.random.default_rng(0)
    trusted = torch.from_numpy(rng.laplace(3, [0.5, 1, 2, 4, 8], size=(200, 5))).float()
    x = torch.from_numpy(rng.normal(size=(20, 5))).float()
    expected = np.zeros(20)
    for column, values in zip(trusted.double().numpy().T, x.double().numpy().T, strict=True):
        middle, spread = stats.laplace.fit(column)
        expected += -stats.laplace.logpdf(values, middle, spread) - np.log(2 * spread)
    found = fit(Laplace(), {"reference": trusted}, tmp_path)(x)
    np.testing.assert_allclose(found * 5, expected, rtol=1e-9)


def test_laplace_is_one_on_average_on_trusted_rows_and_does_not_change_with_shift_and_scale(tmp_path):
    trusted, _ = gaussian_rows(300, np.logspace(0, -1, 6), 0)
    found = fit(Laplace(), {"reference": trusted.float()}, tmp_path)(trusted.float())
    assert float(found.mean()) == pytest.approx(1, rel=1e-6)
    scale = torch.tensor([1.0, 2, 4, 8, 0.5, 32])
    moved = (trusted.float() - 2) * scale
    torch.testing.assert_close(
        fit(Laplace(), {"reference": moved}, tmp_path)(moved), found, rtol=1e-4, atol=1e-5
    )


def test_laplace_tells_a_broad_shift_from_heavy_tails_better_than_squares_do(tmp_path):
    rng = np.random.default_rng(0)
    trusted = torch.from_numpy(rng.standard_t(2.2, size=(3000, 30)))
    x = rng.standard_t(2.2, size=(2000, 30))
    x[1000:] += 0.8 * np.sign(rng.normal(size=(1000, 30)))
    labels = np.arange(2000) >= 1000
    absolute, square = (
        auroc(fit(score, {"reference": trusted}, tmp_path)(torch.from_numpy(x)).numpy(), labels).value
        for score in (Laplace(), Diagonal())
    )
    assert absolute > square + 0.05  # pyright: ignore


def test_a_constant_coordinate_gives_finite_laplace_scores_and_a_change_in_it_is_strange(tmp_path):
    trusted, _ = gaussian_rows(200, np.ones(4), 0)
    trusted[:, 2], trusted[:, 3] = 5.0, 0.0
    fitted = fit(Laplace(), {"reference": trusted}, tmp_path)
    for column in (2, 3):
        changed = trusted.clone()
        changed[:, column] += 0.1
        assert (fitted(changed) > fitted(trusted).max()).all()
        assert fitted(changed).isfinite().all()


def test_l0_counts_active_latents_that_trusted_rows_never_have(tmp_path):
    trusted = torch.tensor([[0.0, 1, 0, 0], [2, 0, 0, 0], [0, 3, 0, 0], [0, 1, 0.2, -1]])
    x = torch.tensor([[1.0, 1, 1, 1], [0, 0, 0, 5], [9, 9, 0, -3], [0.1, 0.1, 0.4, 0.6]])
    groups = {"reference": trusted}
    assert fit(L0(), groups, tmp_path)(x).tolist() == [1, 1, 0, 1]
    # Active above 0.5 only: then the third is never active either.
    assert fit(L0(threshold=0.5), groups, tmp_path)(x).tolist() == [2, 1, 0, 1]
    # In at most a quarter of the rows: the first and the third as well.
    assert fit(L0(rare=0.25), groups, tmp_path)(x).tolist() == [3, 1, 1, 3]


def test_l0_of_trusted_rows_is_zero_and_a_planted_latent_is_found(tmp_path):
    rng = np.random.default_rng(0)
    trusted = torch.from_numpy(np.where(rng.random((300, 400)) < 0.02, 1.0, 0)).float()
    trusted[:, ::10] = 0
    fitted = fit(L0(), {"reference": trusted}, tmp_path)
    assert (fitted(trusted) == 0).all()
    fresh = torch.from_numpy(np.where(rng.random((200, 400)) < 0.02, 1.0, 0)).float()
    fresh[:, ::10] = 0
    strange = fresh.clone()
    strange[:, 40] = 0.3
    labels = np.repeat([False, True], 200)
    assert auroc(fitted(torch.cat([fresh, strange])).numpy(), labels).value > 0.99  # pyright: ignore


def test_a_share_out_of_range_is_refused(tmp_path):
    with pytest.raises(InputError, match="share from 0 to below 1"):
        fit(L0(rare=1.0), {"reference": torch.zeros(5, 2)}, tmp_path)
