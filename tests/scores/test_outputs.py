"""Scores of the outputs are the formulas they name."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.scores.planted import fit
from ulterior.errors import InputError
from ulterior.scores import Confidence, Delta, UntrustedBaseline

LOGITS = torch.tensor([[0.0, 0.0, 0.0], [2.0, 1.0, -1.0], [-3.0, 4.0, 4.0]])


def test_untrusted_baseline_is_minus_the_behaviour(tmp_path):
    assert fit(UntrustedBaseline(), {}, tmp_path)(LOGITS).tolist() == [0, -2, 3]


def test_confidence_is_minus_the_absolute_behaviour(tmp_path):
    assert fit(Confidence(), {}, tmp_path)(LOGITS).tolist() == [0, -2, -3]


def test_delta_is_the_aggregate_probability_minus_the_product_of_the_sensors(tmp_path):
    p = 1 / (1 + np.exp(-LOGITS.double().numpy()))
    expected = p[:, 0] - p[:, 1] * p[:, 2]
    np.testing.assert_allclose(fit(Delta(), {}, tmp_path)(LOGITS), expected, rtol=1e-12)


def test_delta_is_zero_for_sensors_that_are_believed_to_be_independent(tmp_path):
    sensors = torch.tensor([[0.3, -1.0, 2.0]], dtype=torch.float64)
    aggregate = torch.logit(torch.sigmoid(sensors).prod(1, keepdim=True))
    torch.testing.assert_close(
        fit(Delta(), {}, tmp_path)(torch.cat([aggregate, sensors], 1)), torch.zeros(1, dtype=torch.float64)
    )


def test_delta_without_sensors_is_refused():
    with pytest.raises(InputError, match="at least 2 outputs"):
        Delta()(LOGITS[:, :1])
