"""Topological evolution dynamics: ranks are the slow count, classes are kept, and what is closer is not stranger."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.scores.test_joint import KEYS, fit, paths
from ulterior.scores import evolution
from ulterior.scores.evolution import TED


def slow_ranks(trusted: list[np.ndarray], x: list[np.ndarray], classes: np.ndarray) -> np.ndarray:
    """Ranks ``[n, sites - 1]``, one example and one distance at a time."""
    scaled = [
        ((a - b.mean(0)) / b.std(0), (b - b.mean(0)) / b.std(0)) for a, b in zip(x, trusted, strict=True)
    ]
    found = []
    for row in range(len(x[0])):
        distances = [np.array([np.linalg.norm(a[row] - known) for known in b]) for a, b in scaled]
        own = classes[int(np.argmin(distances[-1]))]
        ranks = []
        for site in distances[:-1]:
            order = np.argsort(site, kind="stable")
            ranks.append([classes[i] == own for i in order].index(True))
        found.append(ranks)
    return np.array(found)


@pytest.mark.parametrize("label", [None, "kind"])
def test_ranks_are_the_slow_count(tmp_path, label, monkeypatch):
    trusted, x = paths(60, 0), paths(25, 1)
    kinds = np.random.default_rng(0).integers(4, size=60)
    fitted = fit(TED(label), trusted, tmp_path, kind=np.array(["a", "b", "c", "d"])[kinds])
    expected = slow_ranks(
        [trusted[key].double().numpy() for key in KEYS],
        [x[key].double().numpy() for key in KEYS],
        np.arange(60) if label is None else kinds,
    )
    assert expected.max() > 0
    np.testing.assert_allclose(fitted.log_ranks(x).exp() - 1, expected, atol=1e-9)
    monkeypatch.setattr(evolution, "_ROWS_AT_ONCE", 4)
    np.testing.assert_allclose(fitted.log_ranks(x).exp() - 1, expected, atol=1e-9)


def test_trusted_ranks_leave_each_example_itself_out(tmp_path):
    trusted = paths(40, 0)
    fitted = fit(TED(), trusted, tmp_path)
    values = list(trusted.values())
    left_out = fitted.trusted.log_ranks(values, among_others=True).exp() - 1
    for row in (0, 17, 39):
        others = np.arange(40) != row
        # The scale stays that of all rows, so it is divided out before and is 1 for the slow count.
        scaled = [site(x).numpy() for site, x in zip(fitted.trusted.sites, values, strict=True)]
        distances = [np.linalg.norm(x[others] - x[row], axis=1) for x in scaled]
        nearest = int(np.argmin(distances[-1]))
        expected = [(site < site[nearest]).sum() for site in distances[:-1]]
        np.testing.assert_allclose(left_out[row], expected, atol=1e-9)
    np.testing.assert_allclose(fitted.mean, fitted.trusted.log_ranks(values, among_others=True).mean(0))


def test_a_copy_of_a_trusted_example_is_no_anomaly(tmp_path):
    trusted = paths(200, 0)
    fitted = fit(TED(), trusted, tmp_path)
    assert fitted({key: x[:50] for key, x in trusted.items()}).max() == 0


def test_copies_among_the_trusted_examples_do_not_count_as_closer(tmp_path):
    trusted, x = paths(50, 0), paths(20, 1)
    twice = fit(TED(), {key: torch.cat([rows, rows]) for key, rows in trusted.items()}, tmp_path)
    once = fit(TED(), trusted, tmp_path)
    # Every example that is closer now stands twice, and the own one has no rank against its copy.
    np.testing.assert_allclose(twice.log_ranks(x).exp() - 1, 2 * (once.log_ranks(x).exp() - 1), atol=1e-9)


def test_a_feature_that_is_constant_but_for_rounding_has_no_say(tmp_path):
    def with_constant(rows: dict, seed: int) -> dict:
        noise = (
            1e-4 * torch.from_numpy(np.random.default_rng(seed).normal(size=(len(rows[KEYS[0]]), 1))).float()
        )
        return {key: torch.cat([x, 1000 + noise], 1) for key, x in rows.items()}

    trusted, x = paths(100, 0), paths(30, 1)
    plain = fit(TED(), trusted, tmp_path)
    beside = fit(TED(), with_constant(trusted, 0), tmp_path)
    torch.testing.assert_close(beside(with_constant(x, 1)), plain(x), rtol=1e-9, atol=1e-12)


def test_by_class_an_example_that_was_of_another_class_before_is_found(tmp_path):
    """The planted backdoor of one source class: usual until the last site, where it lands in the target class."""
    rng = np.random.default_rng(0)
    centres = np.eye(4) * 6

    def rows(kinds: np.ndarray, last: np.ndarray) -> dict[str, torch.Tensor]:
        places = [kinds, kinds, kinds, last]
        return {
            key: torch.from_numpy(centres[place] + rng.normal(size=(len(place), 4))).float()
            for key, place in zip(KEYS, places, strict=True)
        }

    kinds = rng.integers(4, size=400)
    fitted = fit(TED("kind"), rows(kinds, kinds), tmp_path, kind=kinds)
    fresh = rng.integers(4, size=100)
    usual, planted = fitted(rows(fresh, fresh)), fitted(rows(np.full(100, 2), np.full(100, 0)))
    assert planted.min() > usual.quantile(0.99)
