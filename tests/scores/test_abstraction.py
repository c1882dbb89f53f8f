"""The abstraction's states are white, its maps are the best linear ones, and its errors are weighed by their spread."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.scores.test_joint import KEYS, fit, paths, rerouted
from ulterior.errors import InputError
from ulterior.scores.abstraction import LocallyConsistentAbstraction
from ulterior.scores.shrinkage import oas


def maps_rows(rows: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The rows that the maps are learned from."""
    return {key: x[torch.arange(len(x)) % 3 != 2] for key, x in rows.items()}


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    return fit(LocallyConsistentAbstraction(4), paths(600, 0), tmp_path_factory.mktemp("scratch"))


def test_every_state_is_white_on_trusted_rows_and_so_cannot_collapse(fitted):
    learned, fresh = maps_rows(paths(600, 0)), paths(4000, 1)
    for key, state in zip(fitted.reads, fitted.states, strict=True):
        z = state(learned[key])
        # Ridge regression is whitened by the plain covariance: exact on the rows it was learned from.
        torch.testing.assert_close(z.mean(0), torch.zeros(4).double(), atol=1e-6, rtol=0)
        torch.testing.assert_close(z.T @ z / len(z), torch.eye(4).double(), atol=1e-5, rtol=0)
        spread = state(fresh[key]).T.cov()
        torch.testing.assert_close(spread, torch.eye(4).double(), atol=0.15, rtol=0)


def test_the_diagram_commutes_as_well_as_any_linear_map_from_the_site_can(fitted):
    fresh = paths(4000, 1)
    for i, step in enumerate(fitted.steps):
        before, after = fitted.states[i], fitted.states[i + 1]
        x, target = fresh[KEYS[i]].double().numpy(), after(fresh[KEYS[i + 1]]).numpy()
        error = target - (before(fresh[KEYS[i]]) @ step.weight).numpy()
        centred = x - x.mean(0)
        # Found with the fresh rows themselves, by all the features of the site.
        best = target - centred @ np.linalg.lstsq(centred, target, rcond=None)[0]
        assert (error**2).sum() <= 1.1 * (best**2).sum()


def test_the_score_is_the_slow_mahalanobis_distance_of_the_errors(fitted):
    x, held = paths(20, 1), {key: rows[2::3] for key, rows in paths(600, 0).items()}

    def errors(rows: dict, i: int) -> np.ndarray:
        before = (rows[KEYS[i]].double() - fitted.states[i].mean) @ fitted.states[i].weight
        after = (rows[KEYS[i + 1]].double() - fitted.states[i + 1].mean) @ fitted.states[i + 1].weight
        return (after - before @ fitted.steps[i].weight).numpy()

    expected = np.zeros(20)
    for i in range(3):
        usual, found = errors(held, i), errors(x, i)
        covariance = np.cov(usual.T, bias=True)
        share = oas(200, 4, np.trace(covariance), (covariance**2).sum())
        precision = np.linalg.inv((1 - share) * covariance + share * np.trace(covariance) / 4 * np.eye(4))
        expected += [(e - usual.mean(0)) @ precision @ (e - usual.mean(0)) / 4 / 3 for e in found]
    np.testing.assert_allclose(fitted(x), expected, rtol=1e-5)
    assert fitted(paths(2000, 2)).mean() == pytest.approx(1, abs=0.15)


def test_the_step_at_which_rows_change_places_is_the_one_with_the_error(fitted):
    steps = fitted.of_steps(rerouted(300, 3)).mean(0)
    assert steps[1] > 5 * steps[0]
    assert steps[1] > 5 * steps[2]


def test_more_features_than_rows_still_separate(tmp_path):
    rng = np.random.default_rng(0)
    lifts = [torch.from_numpy(rng.normal(size=(8, 200))).float() for _ in KEYS]

    def wide(rows: dict) -> dict:
        return {
            key: x @ lift + 0.1 * torch.from_numpy(rng.normal(size=(len(x), 200))).float()
            for (key, x), lift in zip(rows.items(), lifts, strict=True)
        }

    few = fit(LocallyConsistentAbstraction(4), wide(paths(90, 0)), tmp_path)
    usual, planted = few(wide(paths(100, 1))), few(wide(rerouted(100, 1)))
    assert (planted[:, None] > usual).double().mean() > 0.9


def test_a_site_of_constants_neither_fails_nor_hides_the_others(tmp_path):
    def constant(rows: dict) -> dict:
        return {"embed@last": torch.full((len(rows[KEYS[0]]), 3), 2.5), **rows}

    beside = fit(LocallyConsistentAbstraction(3), constant(paths(300, 0)), tmp_path)
    usual, planted = beside(constant(paths(100, 1))), beside(constant(rerouted(100, 1)))
    assert usual.isfinite().all()
    assert (planted[:, None] > usual).double().mean() > 0.9


def test_a_state_is_no_larger_than_the_narrowest_site_and_a_size_of_none_is_refused(tmp_path):
    rows = {KEYS[0]: paths(60, 0)[KEYS[0]][:, :2], KEYS[1]: paths(60, 0)[KEYS[1]]}
    assert fit(LocallyConsistentAbstraction(16), rows, tmp_path).states[1].weight.shape == (8, 2)
    with pytest.raises(InputError, match="size of at least 1"):
        fit(LocallyConsistentAbstraction(0), rows, tmp_path)
