"""Beatrix: the slow formula of all four orders, its medians, and its classes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.scores.planted import fit, gaussian_rows
from ulterior.errors import InputError
from ulterior.metrics import auroc
from ulterior.scores import Beatrix, Mahalanobis, beatrix


def slowly(trusted: np.ndarray, x: np.ndarray, width: float = 10.0) -> np.ndarray:
    """Mean over four orders and the upper triangle of the excess over median +- width MAD, relative to the bound."""

    def features(row: np.ndarray) -> np.ndarray:
        found = []
        for p in (1, 2, 3, 4):
            G = np.outer(row**p, row**p)
            found.append((np.sign(G) * np.abs(G) ** (1 / p))[np.triu_indices(len(row))])
        return np.concatenate(found)

    usual = np.array([features(row) for row in trusted])
    median = np.median(usual, axis=0)
    mad = np.median(np.abs(usual - median), axis=0)
    low, high = median - width * mad, median + width * mad
    scores = []
    for row in x:
        g = features(row)
        excess = np.maximum(low - g, 0) / np.maximum(np.abs(low), mad)
        excess += np.maximum(g - high, 0) / np.maximum(np.abs(high), mad)
        scores.append(excess.mean())
    return np.array(scores)


@pytest.mark.parametrize("width", [10.0, 1.0])
def test_the_score_equals_the_formula_of_all_four_orders(tmp_path, monkeypatch, width):
    monkeypatch.setattr(beatrix, "_ROWS_AT_ONCE", 7)
    trusted, _ = gaussian_rows(61, np.logspace(0, -1, 5), 0, mean=1.0)
    x, _ = gaussian_rows(30, 8 * np.logspace(0, -1, 5), 1, mean=-1.0)
    trusted, x = trusted.float(), x.float()
    found = fit(Beatrix(width=width), {"reference": trusted}, tmp_path)(x)
    expected = slowly(trusted.double().numpy(), x.double().numpy(), width)
    assert (expected > 0).mean() > 0.3
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-12)


def test_the_median_is_that_of_all_rows_and_not_an_average_over_batches(tmp_path):
    # Sorted rows: medians of batches, averaged, are far from the median of all in a skewed sample.
    values = torch.sort(
        torch.from_numpy(np.random.default_rng(0).exponential(size=(301, 1)) ** 3), dim=0
    ).values
    values = values.float()
    fitted = fit(Beatrix(width=0.0), {"reference": values}, tmp_path)
    products = (values.double() ** 2).numpy()
    assert float(fitted.upper[0, 0, 0]) == np.median(products)  # pyright: ignore
    averaged = np.mean([np.median(batch) for batch in np.array_split(products, 6)])
    assert averaged > 3 * np.median(products)


def test_usual_rows_score_zero_and_scaling_all_features_changes_nothing(tmp_path):
    trusted, _ = gaussian_rows(500, np.ones(6), 0)
    x, _ = gaussian_rows(200, np.ones(6), 1)
    fitted = fit(Beatrix(), {"reference": trusted}, tmp_path)
    assert float((fitted(x) == 0).double().mean()) > 0.95
    scaled = fit(Beatrix(), {"reference": trusted * 64}, tmp_path)
    torch.testing.assert_close(scaled(x * 512 / 8 * 5), fitted(x * 5), rtol=1e-6, atol=0)


def test_products_show_a_combination_that_single_coordinates_do_not(tmp_path):
    rng = np.random.default_rng(0)
    size = rng.uniform(1, 1.2, size=(600, 1))
    trusted = torch.from_numpy(size * (1 + 0.01 * rng.normal(size=(600, 2))))
    sign = np.array([[1.0, -1.0]])
    strange = torch.from_numpy(size[:100] * sign)
    fitted = fit(Beatrix(), {"reference": trusted}, tmp_path)
    assert (fitted(strange) > fitted(trusted).max()).all()


def test_each_class_has_its_own_ranges_and_a_row_is_strange_only_outside_of_all(tmp_path):
    rng = np.random.default_rng(0)
    names = np.array(["one", "two", "rare"])[np.r_[np.zeros(100, int), np.ones(100, int), np.full(3, 2)]]
    centre = {"one": [10.0, 0.1], "two": [0.1, 10.0], "rare": [50.0, 50.0]}
    trusted = torch.from_numpy(np.array([centre[name] for name in names]) + 0.05 * rng.normal(size=(203, 2)))
    groups, x = {"reference": trusted}, torch.tensor([[10.0, 0.1], [0.1, 10.0], [5.0, 5.0], [50.0, 50.0]])
    own = fit(Beatrix("kind"), groups, tmp_path, kind=names)
    assert own.lower.shape[0] == 2  # pyright: ignore
    assert own(x)[:2].tolist() == [0, 0]
    assert (own(x)[2:] > 0.1).all()
    single = {"reference": trusted[:100]}
    torch.testing.assert_close(
        fit(Beatrix("kind"), single, tmp_path, kind=names)(x),
        fit(Beatrix(), single, tmp_path)(x),
        rtol=0,
        atol=0,
    )


def test_a_wide_site_is_read_at_its_coordinates_of_largest_variance_alone(tmp_path):
    scales = torch.tensor([0.1, 3.0, 0.2, 2.0, 1.0])
    trusted = 1 + torch.from_numpy(np.random.default_rng(0).normal(size=(200, 5))).float() * scales
    fitted = fit(Beatrix(coordinates=2), {"reference": trusted}, tmp_path)
    assert fitted.chosen.tolist() == [1, 3]  # pyright: ignore
    moved = trusted.clone()
    moved[:, [0, 2, 4]] += 1000
    assert torch.equal(fitted(moved), fitted(trusted))
    alone = fit(Beatrix(), {"reference": trusted[:, [1, 3]]}, tmp_path)
    assert torch.equal(fitted(trusted * 40), alone(trusted[:, [1, 3]] * 40))


def test_dead_and_constant_coordinates_and_the_largest_half_precision_values_give_finite_scores(tmp_path):
    trusted, _ = gaussian_rows(50, np.ones(4), 0)
    trusted[:, 0], trusted[:, 1] = 0.0, 5.0
    fitted = fit(Beatrix(), {"reference": trusted.float()}, tmp_path)
    largest = torch.full((1, 4), torch.finfo(torch.float16).max)
    assert fitted(largest).isfinite().all()
    assert (fitted(trusted.float()) == 0).float().mean() > 0.9
    for column in (0, 1):
        changed = trusted.float()
        changed[:, column] += 0.5
        assert (fitted(changed) > 0).all()


def test_too_few_rows_and_sizes_out_of_range_are_refused(tmp_path):
    groups: dict[str, Tensor | list[str]] = {"reference": torch.rand(9, 3)}
    with pytest.raises(InputError, match="at least 10 trusted rows"):
        fit(Beatrix(), groups, tmp_path)
    for score in (Beatrix(coordinates=0), Beatrix(width=-1.0)):
        with pytest.raises(InputError, match="at least 1 coordinate"):
            fit(score, groups, tmp_path)


def test_many_mads_are_needed_where_squares_see_a_small_shift_already(tmp_path):
    trusted, rotation = gaussian_rows(1000, np.ones(6), 0)
    x, _ = gaussian_rows(400, np.ones(6), 1)
    labels = np.repeat([False, True], 400)
    small, large = (torch.cat([x, x + shift * rotation[:, 0]]) for shift in (3.0, 60.0))
    fitted, plain = (fit(score, {"reference": trusted}, tmp_path) for score in (Beatrix(), Mahalanobis()))
    assert auroc(plain(small).numpy(), labels).value > 0.85  # pyright: ignore
    assert auroc(fitted(small).numpy(), labels).value < 0.7  # pyright: ignore
    assert auroc(fitted(large).numpy(), labels).value > 0.99  # pyright: ignore
