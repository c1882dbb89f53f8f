"""The isolation forest equals scikit-learn's, tree by tree."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.ensemble import IsolationForest as Forest

from tests.scores.planted import fit, gaussian_rows
from ulterior.errors import InputError
from ulterior.scores import IsolationForest, isolation


@pytest.mark.parametrize(("trees", "rows", "n"), [(1, 256, 40), (20, 64, 500), (20, 2, 30)])
def test_the_score_equals_scikit_learns(tmp_path, trees, rows, n):
    trusted, _ = gaussian_rows(n, np.logspace(1, -1, 6), 0, mean=50.0)
    x, _ = gaussian_rows(200, 2 * np.logspace(1, -1, 6), 1, mean=50.0)
    trusted, x = trusted.float(), x.float()
    forest = Forest(n_estimators=trees, max_samples=min(rows, n), random_state=7).fit(trusted.numpy())
    found = fit(IsolationForest(trees, rows, seed=7), {"reference": trusted}, tmp_path)(x)
    np.testing.assert_allclose(found, -forest.score_samples(x.numpy()), rtol=1e-9)


def test_the_usual_number_of_cuts_equals_what_random_cuts_need():
    """Of n places on a line, mean cuts that part one from the others, from the recursion over the place of a cut."""
    slow = [0.0, 0.0]
    for n in range(2, 40):
        # A cut is as likely between any two neighbours; the row is in the left part of size i with chance i / n.
        slow.append(1 + sum((i * slow[i] + (n - i) * slow[n - i]) / n for i in range(1, n)) / (n - 1))
    found = isolation.usual_cuts(np.arange(40))
    # Exact up to two rows; beyond, the logarithm stands for a harmonic number, as it does in the paper.
    assert found[:3].tolist() == [0, 0, 1]
    np.testing.assert_allclose(found[20:], slow[20:], rtol=0.015)


def test_the_score_does_not_change_when_features_are_moved_and_scaled(tmp_path):
    trusted = torch.from_numpy(np.random.default_rng(0).integers(0, 1000, size=(300, 3))).float()
    x = torch.from_numpy(np.random.default_rng(1).integers(0, 1000, size=(50, 3)) + 0.5).float()
    score = IsolationForest(20, 64)
    before = fit(score, {"reference": trusted}, tmp_path)(x)
    scale = torch.tensor([2.0, 0.25, 16.0])
    after = fit(score, {"reference": trusted * scale + 32}, tmp_path)(x * scale + 32)
    torch.testing.assert_close(after, before, rtol=0.02, atol=0)


def test_one_seed_gives_one_forest_and_another_another(tmp_path):
    trusted, _ = gaussian_rows(200, np.ones(4), 0)
    one, again, other = (
        fit(IsolationForest(10, seed=seed), {"reference": trusted}, tmp_path)(trusted) for seed in (0, 0, 1)
    )
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_a_change_in_a_feature_that_never_varied_is_not_seen(tmp_path):
    trusted, _ = gaussian_rows(200, np.ones(4), 0)
    trusted[:, 2] = 5.0
    changed = trusted.clone()
    changed[:, 2] = 9.0
    fitted = fit(IsolationForest(10), {"reference": trusted}, tmp_path)
    assert torch.equal(fitted(changed), fitted(trusted))
    still = fit(IsolationForest(10), {"reference": torch.ones(20, 2)}, tmp_path)
    assert still(torch.ones(3, 2)).isfinite().all()


def test_a_forest_without_trees_or_rows_is_refused(tmp_path):
    trusted, _ = gaussian_rows(20, np.ones(4), 0)
    for score in (IsolationForest(trees=0), IsolationForest(rows=1)):
        with pytest.raises(InputError, match="at least 1 tree, and at least 2 rows"):
            fit(score, {"reference": trusted}, tmp_path)
