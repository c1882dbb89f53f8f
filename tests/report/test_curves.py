from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ulterior.report import roc_curve


def slow_recall(scores: np.ndarray, anomalous: np.ndarray, rate: float) -> float:
    """Try every threshold: the best recall of those that flag at most ``rate`` of the normal examples."""
    best = 0.0
    for threshold in [-np.inf, *scores]:
        flagged = scores > threshold
        if flagged[~anomalous].mean() <= rate + 1e-9:
            best = max(best, float(flagged[anomalous].mean()))
    return best


@given(st.integers(0, 10_000), st.integers(2, 30), st.booleans())
def test_recall_is_that_of_the_best_threshold_within_the_false_alarm_rate_also_with_ties(seed, n, ties):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 4, n).astype(float) if ties else rng.normal(size=n)
    anomalous = np.arange(n) % 2 == 0
    curve = roc_curve("d", [scores], [anomalous], resamples=0)
    expected = [slow_recall(scores, anomalous, rate) for rate in curve.false_alarms]
    np.testing.assert_allclose(curve.recall, expected, atol=1e-12)


def test_the_band_holds_the_curve_and_narrows_with_more_examples():
    rng = np.random.default_rng(0)
    widths = []
    for n in (100, 1600):
        anomalous = np.arange(n) % 2 == 0
        curve = roc_curve("d", [rng.normal(size=n) + 2 * anomalous], [anomalous])
        assert curve.low is not None
        assert curve.high is not None
        assert np.all(curve.low <= curve.recall)
        assert np.all(curve.recall <= curve.high)
        widths.append(
            np.mean(np.interp(np.geomspace(0.05, 0.5, 9), curve.false_alarms, curve.high - curve.low))
        )
    assert widths[1] < widths[0] / 2


def test_the_curve_is_the_mean_over_seeds_and_rises_to_one():
    rng = np.random.default_rng(1)
    truths = [np.arange(80) % 2 == 0] * 3
    scores = [rng.normal(size=80) + y for y in truths]
    together = roc_curve("d", scores, truths)
    alone = [roc_curve("d", [s], [y]).recall for s, y in zip(scores, truths, strict=True)]
    np.testing.assert_allclose(together.recall, np.mean(alone, axis=0))
    assert together.recall[-1] == 1
    assert np.all(np.diff(together.recall) >= 0)


def test_equal_input_gives_an_equal_band():
    rng = np.random.default_rng(2)
    s, y = rng.normal(size=50), np.arange(50) % 2 == 0
    np.testing.assert_array_equal(roc_curve("d", [s], [y]).high, roc_curve("d", [s], [y]).high)


@pytest.mark.parametrize("label", [True, False])
def test_one_class_alone_has_no_curve(label):
    with pytest.raises(ValueError, match="both classes"):
        roc_curve("d", [np.zeros(5)], [np.full(5, label)])


def test_scores_without_labels_are_refused():
    with pytest.raises(ValueError, match="1 arrays of scores, 0 of labels"):
        roc_curve("d", [np.zeros(5)], [])
