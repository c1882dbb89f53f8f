"""The one-class support vector machine is scikit-learn's, on a scale on which far rows still rank."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.svm import OneClassSVM as Machine

from tests.scores.planted import fit, gaussian_rows
from ulterior.errors import InputError
from ulterior.scores import OneClassSVM, one_class


@pytest.mark.parametrize(("nu", "gamma"), [(0.05, None), (0.5, 0.3)])
def test_the_score_is_the_log_of_scikit_learns_and_positive_where_it_calls_rows_outliers(tmp_path, nu, gamma):
    trusted, _ = gaussian_rows(200, np.logspace(0, -1, 5), 0)
    x, _ = gaussian_rows(60, 2 * np.logspace(0, -1, 5), 1)
    trusted, x = trusted.float(), x.float()
    mean, scale = trusted.double().mean(0), trusted.double().std(0, correction=0)
    z = ((x.double() - mean) / scale).numpy()
    machine = Machine(nu=nu, gamma=gamma or 1 / 5).fit(((trusted.double() - mean) / scale).numpy())
    found = fit(OneClassSVM(nu, gamma), {"reference": trusted}, tmp_path)(x).numpy()
    np.testing.assert_allclose(machine.offset_[0] * np.exp(-found), machine.score_samples(z), rtol=1e-6)
    assert ((found > 0) == (machine.predict(z) == -1)).all()
    assert 0 < (found > 0).mean() < 1


def test_about_the_share_nu_of_trusted_rows_lies_outside(tmp_path):
    trusted, _ = gaussian_rows(400, np.ones(4), 0)
    found = fit(OneClassSVM(0.2), {"reference": trusted.float()}, tmp_path)(trusted.float())
    assert float((found > 0).double().mean()) == pytest.approx(0.2, abs=0.03)


def test_rows_so_far_away_that_the_kernel_underflows_still_rank(tmp_path):
    trusted, _ = gaussian_rows(100, np.ones(4), 0)
    fitted = fit(OneClassSVM(), {"reference": trusted}, tmp_path)
    far = trusted.mean(0) + torch.tensor([100.0, 1e3, 1e6])[:, None] * torch.ones(4)
    assert np.exp(-fitted(far).numpy())[1:].max() == 0
    assert (fitted(far).diff() > 0).all()
    assert fitted(far).isfinite().all()


def test_rows_are_worked_through_in_pieces_without_a_trace(tmp_path, monkeypatch):
    trusted, _ = gaussian_rows(100, np.ones(4), 0)
    fitted = fit(OneClassSVM(), {"reference": trusted}, tmp_path)
    expected = fitted(trusted)
    monkeypatch.setattr(one_class, "_ROWS_AT_ONCE", 9)
    torch.testing.assert_close(fitted(trusted), expected, rtol=1e-12, atol=1e-12)


def test_shares_and_kernels_out_of_range_are_refused(tmp_path):
    trusted, _ = gaussian_rows(20, np.ones(4), 0)
    for score in (OneClassSVM(0.0), OneClassSVM(1.5), OneClassSVM(gamma=0.0)):
        with pytest.raises(InputError, match="give nu above 0 and at most 1"):
            fit(score, {"reference": trusted}, tmp_path)
