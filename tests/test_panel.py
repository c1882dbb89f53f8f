"""The law of one pass, and the promises of the numbers that come out of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.subjects import counted_subject, points
from ulterior.detectors.catalogue import (
    activation_panel,
    confidence,
    mahalanobis,
    nearest_neighbours,
    quantum_entropy,
    surface,
)
from ulterior.errors import InputError
from ulterior.features.activations import activations
from ulterior.panel import PanelSettings, fit_and_score_untrusted, fit_panel, split_trusted

SITES = ("first", "second")


def small_panel():
    return (*activation_panel(SITES, "last"), surface())


def test_one_forward_an_example_however_many_detectors():
    subject = counted_subject()
    panel = fit_panel(small_panel(), subject, points(100, 0), points(60, 1))
    assert subject.model.rows == 160
    panel.score(subject, points(40, 2))
    assert subject.model.rows == 200


def test_scoring_the_untrusted_set_that_was_fitted_on_costs_no_second_pass_and_gives_the_same_scores():
    subject = counted_subject()
    trusted, untrusted = points(100, 0), points(60, 1, shift=0.5)
    panel, scores = fit_and_score_untrusted(small_panel(), subject, trusted, untrusted)
    assert subject.model.rows == 160
    again = panel.score(subject, untrusted)
    for name, detector_scores in scores.items():
        np.testing.assert_allclose(detector_scores.fused, again[name].fused, rtol=1e-6, err_msg=name)
        np.testing.assert_array_equal(detector_scores.p, again[name].p)


def test_a_detector_scores_the_same_alone_and_in_a_panel():
    trusted, untrusted, test = points(100, 0), points(60, 1), points(30, 2)
    together = fit_panel(small_panel(), counted_subject(), trusted, untrusted).score(counted_subject(), test)
    for detector in small_panel():
        alone = fit_panel([detector], counted_subject(), trusted, untrusted).score(counted_subject(), test)
        np.testing.assert_allclose(together[detector.name].fused, alone[detector.name].fused, rtol=1e-9)


def test_scores_do_not_depend_on_batch_size_or_order():
    trusted, untrusted, test = points(100, 0), points(60, 1), points(30, 2)
    subject = counted_subject()
    whole = fit_panel(small_panel(), subject, trusted, untrusted, settings=PanelSettings(batch_tokens=1024))
    pieces = fit_panel(small_panel(), subject, trusted, untrusted, settings=PanelSettings(batch_tokens=3))
    order = np.random.default_rng(0).permutation(len(test))
    for name, scores in whole.score(subject, test).items():
        other = pieces.score(subject, test.take(order), PanelSettings(batch_tokens=1))[name]
        # `first` has rank 6 of 8: two of its variances are rounding, and scores that weigh them see some of it.
        np.testing.assert_allclose(scores.fused[order], other.fused, rtol=1e-3, err_msg=name)


def test_planted_anomalies_are_found_and_fresh_trusted_examples_are_not():
    subject = counted_subject()
    panel = fit_panel([mahalanobis(activations(SITES))], subject, points(1000, 0))
    planted = panel.score(subject, points(200, 1, shift=1.0))["mahalanobis"]
    fresh = panel.score(subject, points(2000, 2))["mahalanobis"]
    assert (planted.p <= 0.01).mean() > 0.9
    # 2,000 trials at 5%, on top of a calibration set of some 200.
    assert (fresh.p <= 0.05).mean() < 0.10
    assert planted.fused.mean() > fresh.fused.mean()


def test_the_condition_decides_on_whom_the_reference_rests_and_who_calibrates():
    # Half of the trusted rows lie far away; only the near ones are in the state that is examined.
    near, far = points(200, 0), points(200, 1, shift=5.0)
    from ulterior.examples import concat

    trusted = concat([near, far])

    def is_near(examples):
        return examples["x"][:, -1] < 2.5

    subject = counted_subject()
    panel = fit_panel([mahalanobis(activations(SITES))], subject, trusted, condition=is_near)
    p = panel.score(subject, points(100, 2, shift=5.0))["mahalanobis"].p
    assert np.median(p) < 0.05
    fit, held = split_trusted(trusted, is_near, PanelSettings())
    assert is_near(trusted.take(held)).all()
    assert sorted([*fit, *held]) == list(range(400))


def test_detectors_that_lack_their_group_are_left_out_with_the_reason():
    feature = activations(SITES)
    panel = fit_panel([mahalanobis(feature), quantum_entropy(feature)], counted_subject(), points(50, 0))
    assert [fitted.detector.name for fitted in panel.detectors] == ["mahalanobis"]
    assert "no suspects examples" in panel.skipped["quantum_entropy"]
    with pytest.raises(
        InputError, match="no detector could be fitted; quantum_entropy: there are no suspects"
    ):
        fit_panel([quantum_entropy(feature)], counted_subject(), points(50, 0))


def test_every_token_is_a_sample_and_the_strangest_token_speaks_for_its_example():
    subject = counted_subject()
    feature = activations(SITES, at="all")
    panel = fit_panel(
        [mahalanobis(feature), nearest_neighbours(feature)], subject, points(60, 0), points(30, 1)
    )
    assert panel.score(subject, points(20, 2))["mahalanobis"].fused.shape == (20,)


def test_names_must_differ_and_trusted_examples_must_suffice():
    feature = activations(SITES)
    with pytest.raises(InputError, match="repeated: mahalanobis"):
        fit_panel([mahalanobis(feature), mahalanobis(feature)], counted_subject(), points(50, 0))
    two = [mahalanobis(feature), replace(mahalanobis(feature), name="again")]
    assert len(fit_panel(two, counted_subject(), points(50, 0)).detectors) == 2
    with pytest.raises(InputError, match="4 usable trusted examples are too few"):
        fit_panel([confidence()], counted_subject(), points(4, 0))


def test_a_scratch_folder_that_cannot_be_used_is_named(tmp_path):
    missing = PanelSettings(scratch=tmp_path / "absent")
    with pytest.raises(InputError, match=r"cannot use the scratch folder .*absent"):
        fit_panel(
            [nearest_neighbours(activations(SITES))], counted_subject(), points(50, 0), settings=missing
        )
