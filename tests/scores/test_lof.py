"""The local outlier factor equals scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.neighbors import LocalOutlierFactor

from tests.scores.planted import fit, gaussian_rows
from ulterior.errors import InputError
from ulterior.metrics import auroc
from ulterior.scores import LOF, NearestNeighbours


@pytest.mark.parametrize(("k", "n"), [(1, 30), (20, 600), (29, 30)])
def test_the_factor_equals_scikit_learns(tmp_path, k, n):
    trusted, _ = gaussian_rows(n, np.logspace(1, -1, 12), 0, mean=50.0)
    x, _ = gaussian_rows(40, 2 * np.logspace(1, -1, 12), 1, mean=50.0)
    trusted, x = trusted.float(), x.float()
    mean, scale = trusted.double().mean(0), trusted.double().std(0, correction=0)
    reference = LocalOutlierFactor(n_neighbors=k, novelty=True).fit(
        ((trusted.double() - mean) / scale).numpy()
    )
    expected = -reference.score_samples(((x.double() - mean) / scale).numpy())
    np.testing.assert_allclose(fit(LOF(k), {"reference": trusted}, tmp_path)(x), expected, rtol=1e-6)


def test_rows_that_stand_on_one_spot_equal_scikit_learns_factor_too(tmp_path):
    spread, _ = gaussian_rows(60, np.ones(4), 0)
    trusted = torch.cat([spread, spread[:1].expand(8, -1)]).float()
    mean, scale = trusted.double().mean(0), trusted.double().std(0, correction=0)
    reference = LocalOutlierFactor(n_neighbors=3, novelty=True).fit(
        ((trusted.double() - mean) / scale).numpy()
    )
    x, _ = gaussian_rows(20, np.ones(4), 1)
    expected = -reference.score_samples(((x.float().double() - mean) / scale).numpy())
    found = fit(LOF(3), {"reference": trusted}, tmp_path)(x.float())
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert fit(LOF(3), {"reference": trusted}, tmp_path)(trusted).isfinite().all()


def test_the_factor_is_about_one_among_trusted_rows_and_does_not_change_with_shift_and_scale(tmp_path):
    trusted, _ = gaussian_rows(400, np.ones(3), 0)
    x, _ = gaussian_rows(50, np.ones(3), 1)
    found = fit(LOF(), {"reference": trusted}, tmp_path)(x)
    assert 0.95 < float(found.median()) < 1.1
    scale = torch.tensor([2.0, 32.0, 0.5], dtype=torch.float64)
    moved = fit(LOF(), {"reference": (trusted - 3) * scale}, tmp_path)((x - 3) * scale)
    torch.testing.assert_close(moved, found, rtol=1e-4, atol=0)


def test_a_row_just_outside_a_dense_cluster_is_found_where_plain_distance_does_not_find_it(tmp_path):
    rng = np.random.default_rng(0)
    dense, loose = rng.normal(size=(300, 2)) * 0.05, rng.normal(size=(300, 2)) * 2 + 12
    fresh = np.concatenate([rng.normal(size=(100, 2)) * 0.05, rng.normal(size=(100, 2)) * 2 + 12])
    angle = rng.uniform(0, 2 * np.pi, 100)
    near = 0.4 * np.stack([np.cos(angle), np.sin(angle)], 1)
    trusted = torch.from_numpy(np.concatenate([dense, loose])).float()
    x, labels = torch.from_numpy(np.concatenate([fresh, near])).float(), np.arange(300) >= 200
    local, plain = (
        auroc(fit(score, {"reference": trusted}, tmp_path)(x).numpy(), labels).value
        for score in (LOF(), NearestNeighbours())
    )
    assert local > 0.95  # pyright: ignore
    assert plain < 0.75  # pyright: ignore


def test_as_many_neighbours_as_rows_are_refused(tmp_path):
    trusted, _ = gaussian_rows(5, np.ones(4), 0)
    with pytest.raises(InputError, match="give k from 1 to 4"):
        fit(LOF(5), {"reference": trusted}, tmp_path)
