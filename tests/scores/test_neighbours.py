"""Nearest neighbours equal scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from tests.scores.planted import fit, gaussian_rows
from ulterior.errors import InputError
from ulterior.scores import NearestNeighbours, nearest


@pytest.mark.parametrize(("k", "n"), [(1, 30), (5, 1000), (30, 30)])
def test_the_mean_distance_equals_scikit_learns(tmp_path, k, n):
    trusted, _ = gaussian_rows(n, np.logspace(1, -1, 12), 0, mean=50.0)
    x, _ = gaussian_rows(40, np.logspace(1, -1, 12), 1, mean=50.0)
    trusted, x = trusted.float(), x.float()
    mean, scale = trusted.double().mean(0), trusted.double().std(0, correction=0)
    reference = NearestNeighbors(n_neighbors=k).fit((trusted.double() - mean) / scale)
    expected = reference.kneighbors((x.double() - mean) / scale)[0].mean(1)
    found = fit(NearestNeighbours(k), {"reference": trusted}, tmp_path)(x)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_rows_and_store_are_worked_through_in_pieces_without_a_trace(tmp_path, monkeypatch):
    trusted, _ = gaussian_rows(500, np.ones(4), 0)
    x, _ = gaussian_rows(100, np.ones(4), 1)
    fitted = fit(NearestNeighbours(7), {"reference": trusted}, tmp_path)
    expected = fitted(x)
    monkeypatch.setattr(nearest, "_ROWS_AT_ONCE", 9)
    monkeypatch.setattr(nearest, "_STORED_AT_ONCE", 11)
    torch.testing.assert_close(fitted(x), expected, rtol=1e-12, atol=0)


def test_a_stored_row_is_at_distance_zero_from_itself(tmp_path):
    trusted, _ = gaussian_rows(200, np.ones(4), 0, mean=100.0)
    assert (
        fit(NearestNeighbours(1), {"reference": trusted.float()}, tmp_path)(trusted.float()).abs().max() == 0
    )


def test_more_neighbours_than_rows_are_refused(tmp_path):
    trusted, _ = gaussian_rows(5, np.ones(4), 0)
    with pytest.raises(InputError, match="5 stored rows"):
        fit(NearestNeighbours(6), {"reference": trusted}, tmp_path)
