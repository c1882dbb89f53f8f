"""Coupling: equal to covariances and correlations by loops, and unmoved by what should not matter."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.scores.planted import fit
from ulterior.errors import InputError
from ulterior.scores.coupling import Coupling, influence

RNG = np.random.default_rng(0)
TRUSTED, NEW = (torch.from_numpy(RNG.normal(size=(n, 15)) + RNG.normal(size=15)).float() for n in (40, 6))


def test_the_influence_kernel_is_the_covariance_of_each_pair_of_traces():
    kernel = influence(NEW.double(), TRUSTED.double())
    for i in range(6):
        for j in range(40):
            assert kernel[i, j].item() == pytest.approx(np.cov(NEW[i], TRUSTED[j])[0, 1], rel=1e-5)


@pytest.mark.parametrize("over", ["mean", "square", "top"])
def test_scores_are_minus_correlations_over_the_trusted_traces(over, tmp_path):
    found = fit(Coupling(over=over), {"reference": TRUSTED}, tmp_path)(NEW)
    for i in range(6):
        each = np.array([np.corrcoef(NEW[i], one)[0, 1] for one in TRUSTED])
        by_hand = {"mean": each.mean(), "square": (each**2).mean(), "top": np.sort(each)[-4:].mean()}[over]
        assert found[i].item() == pytest.approx(-by_hand, rel=1e-4)


def test_neither_the_size_of_a_trace_nor_its_mean_changes_a_correlation(tmp_path):
    fitted = fit(Coupling(), {"reference": TRUSTED}, tmp_path)
    torch.testing.assert_close(fitted(7 * NEW + 3), fitted(NEW), rtol=1e-4, atol=1e-6)


def test_a_trace_that_does_not_move_is_coupled_to_nothing(tmp_path):
    fitted = fit(Coupling(), {"reference": TRUSTED}, tmp_path)
    assert fitted(torch.ones(1, 15)).item() == 0


def test_too_few_draws_are_named(tmp_path):
    with pytest.raises(InputError, match="3 or more draws"):
        fit(Coupling(), {"reference": TRUSTED[:, :2]}, tmp_path)
