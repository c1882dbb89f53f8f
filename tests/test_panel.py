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
from ulterior.detectors.detector import Detector
from ulterior.errors import InputError
from ulterior.features.activations import activations
from ulterior.panel import PanelSettings, fit_and_score_untrusted, fit_panel, split_trusted
from ulterior.scores.probes import TrustedProbe

SITES = ("first", "second")
SMALL = (mahalanobis(activations(SITES)), quantum_entropy(activations(SITES)))
CROSSED = PanelSettings(cross_fit=True)


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


def test_a_detector_is_offline_if_it_is_fitted_on_what_it_judges():
    feature = activations(SITES)
    modes = {one.name: one.mode for one in (mahalanobis(feature), quantum_entropy(feature), surface())}
    assert modes == {"mahalanobis": "online", "quantum_entropy": "offline", "surface": "offline"}
    assert Detector("probe", feature, TrustedProbe("good"), "probes", "").mode == "online"


def test_one_example_scores_as_in_its_batch():
    subject, test = counted_subject(), points(8, 2)
    panel = fit_panel([*SMALL, surface()], subject, points(100, 0), points(60, 1))
    together = panel.score(subject, test)
    for row in (0, 5):
        for name, alone in panel.score(subject, test.take(np.array([row]))).items():
            np.testing.assert_allclose(alone.fused[0], together[name].fused[row], rtol=1e-4, err_msg=name)
            assert alone.p[0] == together[name].p[row]


def false_alarms(settings: PanelSettings, alpha: float = 0.1, trials: int = 12) -> np.ndarray:
    """Share of untrusted examples, all of them usual, with p <= alpha: quantum entropy in each trial."""
    rates = []
    for trial in range(trials):
        # As many features as half of the untrusted examples: an in-sample fit learns their noise.
        trusted, untrusted = points(60, 2 * trial), points(16, 2 * trial + 1)
        detector = quantum_entropy(activations(SITES))
        _, scores = fit_and_score_untrusted(
            [detector], counted_subject(), trusted, untrusted, settings=replace(settings, seed=trial)
        )
        rates.append((scores["quantum_entropy"].p <= alpha).mean())
    return np.array(rates)


def test_with_cross_fitting_false_alarms_of_offline_detectors_stay_at_the_rate_and_without_they_do_not():
    crossed, in_sample = false_alarms(CROSSED), false_alarms(PanelSettings())
    error = crossed.std() / np.sqrt(len(crossed))
    assert crossed.mean() <= 0.1 + 3 * error
    assert in_sample.mean() > 0.1 + 3 * error
    assert in_sample.mean() > 2 * crossed.mean()


def test_cross_fitting_costs_no_second_pass_and_leaves_online_detectors_and_the_panel_as_they_are():
    trusted, untrusted = points(100, 0), points(60, 1)
    subject = counted_subject()
    crossed, by_half = fit_and_score_untrusted(SMALL, subject, trusted, untrusted, settings=CROSSED)
    assert subject.model.rows == 160
    plain, scores = fit_and_score_untrusted(SMALL, counted_subject(), trusted, untrusted)
    assert list(by_half) == list(scores) == ["mahalanobis", "quantum_entropy"]
    np.testing.assert_array_equal(by_half["mahalanobis"].p, scores["mahalanobis"].p)
    assert crossed.calibrations.keys() == plain.calibrations.keys() == crossed.seconds.keys() - {"pass"}
    for name, fresh in crossed.score(counted_subject(), points(20, 2)).items():
        np.testing.assert_array_equal(fresh.p, plain.score(counted_subject(), points(20, 2))[name].p)
    assert {name: one.in_sample for name, one in scores.items()} == {
        "mahalanobis": False,
        "quantum_entropy": True,
    }
    assert not any(one.in_sample for one in by_half.values())


def test_cross_fitted_scores_are_those_of_a_fit_on_the_other_half():
    trusted, untrusted = points(100, 0), points(60, 1)
    _, by_half = fit_and_score_untrusted(SMALL, counted_subject(), trusted, untrusted, settings=CROSSED)
    second = np.random.default_rng((0, 1)).permutation(60) % 2 == 1
    for own in (second, ~second):
        other = untrusted.take(np.flatnonzero(~own))
        slow = fit_panel(SMALL, counted_subject(), trusted, other)
        expected = slow.score(counted_subject(), untrusted.take(np.flatnonzero(own)))["quantum_entropy"]
        for part in ("site_scores", "site_p", "fused", "p"):
            found = getattr(by_half["quantum_entropy"], part)[own]
            np.testing.assert_allclose(found, getattr(expected, part), rtol=1e-3, err_msg=part)


def test_cross_fitting_still_finds_planted_anomalies_and_leaves_out_what_a_half_is_too_small_for():
    trusted = points(200, 0)
    from ulterior.examples import concat

    untrusted = concat([points(60, 1), points(20, 2, shift=1.0)])
    _, scores = fit_and_score_untrusted(SMALL, counted_subject(), trusted, untrusted, settings=CROSSED)
    p = scores["quantum_entropy"].p
    assert (p[60:] <= 0.05).mean() > 0.7
    panel, scores = fit_and_score_untrusted(SMALL, counted_subject(), trusted, points(3, 1), settings=CROSSED)
    assert list(scores) == list(panel.calibrations) == ["mahalanobis"]
    assert "need at least 2" in panel.skipped["quantum_entropy"]


def test_a_batch_alarm_is_quiet_on_fresh_trusted_examples_and_rings_on_shifted_ones():
    subject = counted_subject()
    panel = fit_panel([mahalanobis(activations(SITES))], subject, points(400, 0))
    fresh = [panel.drift(panel.score(subject, points(40, 10 + i)))["mahalanobis"].p for i in range(20)]
    # Twenty batches at 5%, all against one reference: more than four alarms have a chance of one in a thousand.
    assert sum(p <= 0.05 for p in fresh) <= 4
    moved = panel.drift(panel.score(subject, points(40, 1, shift=1.0)))["mahalanobis"]
    assert moved.p < 1e-4
    assert moved.effect.low > 0.5
    with pytest.raises(InputError, match="'other' is not in this panel; it has: mahalanobis"):
        panel.drift({"other": panel.score(subject, points(5, 1))["mahalanobis"]})
