"""Metrics equal their slow definitions, their intervals cover, and what is undefined says so."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score

from ulterior import metrics
from ulterior.errors import InputError
from ulterior.metrics import (
    Difference,
    Estimate,
    auroc,
    clopper_pearson,
    false_alarm_rate,
    holm,
    paired_auroc_difference,
    recall_at,
    verdict,
)

scored = st.lists(st.tuples(st.integers(-4, 4), st.booleans()), min_size=2, max_size=40)


def arrays(pairs: list[tuple[int, bool]]) -> tuple[np.ndarray, np.ndarray]:
    scores, labels = zip(*pairs, strict=True)
    assume(0 < sum(labels) < len(labels))
    return np.array(scores, float), np.array(labels)


def auroc_slowly(scores: np.ndarray, labels: np.ndarray) -> float:
    wins = [(p > q) + (p == q) / 2 for p in scores[labels] for q in scores[~labels]]
    return sum(wins) / len(wins)


def delong_variance_slowly(scores: np.ndarray, labels: np.ndarray) -> float:
    kernel = [[(p > q) + (p == q) / 2 for q in scores[~labels]] for p in scores[labels]]
    over, under = np.mean(kernel, 1), np.mean(kernel, 0)
    area = np.mean(kernel)
    first = sum((o - area) ** 2 for o in over) / (len(over) - 1)
    second = sum((u - area) ** 2 for u in under) / (len(under) - 1)
    return first / len(over) + second / len(under)


@settings(deadline=None, max_examples=50)
@given(scored)
def test_auroc_is_the_share_of_pairs_in_order_with_ties_as_halves(pairs):
    scores, labels = arrays(pairs)
    found = auroc(scores, labels)
    assert found.value == pytest.approx(auroc_slowly(scores, labels), abs=1e-12)
    assert found.value == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert 0 <= found.low <= found.value <= found.high <= 1  # pyright: ignore
    turned = auroc(-scores, labels)
    assert turned.value == pytest.approx(1 - found.value, abs=1e-12)  # pyright: ignore
    assert turned.low == pytest.approx(1 - found.high, abs=1e-9)  # pyright: ignore


@settings(deadline=None, max_examples=50)
@given(scored)
def test_the_interval_is_delongs_on_the_logit_scale(pairs):
    scores, labels = arrays(pairs)
    assume(1 < labels.sum() < len(labels) - 1)
    variance = delong_variance_slowly(scores, labels)
    found = auroc(scores, labels)
    assume(variance > 1e-12)
    assert found.value is not None
    spread = stats.norm.ppf(0.975) * math.sqrt(variance) / (found.value * (1 - found.value))
    centre = math.log(found.value / (1 - found.value))
    assert found.low == pytest.approx(1 / (1 + math.exp(spread - centre)), rel=1e-9)
    assert found.high == pytest.approx(1 / (1 + math.exp(-spread - centre)), rel=1e-9)


def test_perfect_separation_does_not_claim_certainty():
    small = auroc(np.arange(20.0), np.arange(20) >= 10)
    large = auroc(np.arange(2000.0), np.arange(2000) >= 1000)
    assert small.value == large.value == 1
    assert small.high == large.high == 1
    assert 0.6 < small.low < 0.75  # pyright: ignore
    assert 0.99 < large.low < 1  # pyright: ignore


def test_constant_scores_are_chance_with_an_interval():
    found = auroc(np.ones(40), np.arange(40) < 20)
    assert found.value == 0.5
    assert found.low < 0.4 < 0.6 < found.high  # pyright: ignore


def test_a_single_example_of_a_class_is_enough_for_a_figure_but_not_for_a_narrow_one():
    found = auroc(np.arange(100.0), np.arange(100) == 70)
    assert found.value == pytest.approx(70 / 99)
    assert found.high - found.low > 0.7  # pyright: ignore


@pytest.mark.parametrize("labels", [np.zeros(5, bool), np.ones(5, bool), np.zeros(0, bool)])
def test_one_class_only_is_undefined_and_never_a_half(labels):
    scores = np.arange(float(len(labels)))
    for found in (
        auroc(scores, labels),
        recall_at(scores, labels),
    ):
        assert found == Estimate(None, None, None, len(labels))
        assert not found.defined
    difference = paired_auroc_difference(scores, scores, labels)
    assert difference == Difference(None, None, None, len(labels), None)
    assert verdict(difference) == "undefined"


def test_scores_that_are_not_numbers_or_do_not_fit_are_refused():
    with pytest.raises(InputError, match="score 1 is not a finite number"):
        auroc(np.array([0, np.nan]), np.array([True, False]))


@settings(deadline=None, max_examples=50)
@given(scored, st.sampled_from([0.0, 0.01, 0.1, 0.25, 0.5]))
def test_recall_uses_the_lowest_threshold_whose_realised_rate_is_at_most_the_level(pairs, level):
    scores, labels = arrays(pairs)
    best = 0.0
    for threshold in np.unique(scores[~labels]):
        if (scores[~labels] > threshold).mean() <= level + 1e-12:
            best = max(best, (scores[labels] > threshold).mean())
    found = recall_at(scores, labels, level)
    assert found.value == pytest.approx(best, abs=1e-12)
    assert 0 <= found.low <= found.value <= found.high <= 1  # pyright: ignore


def test_recall_at_an_impossible_level_is_refused():
    with pytest.raises(InputError, match="false_alarms=1"):
        recall_at(np.zeros(2), np.array([True, False]), 1.0)


def test_the_bootstrap_of_the_threshold_is_the_one_that_draws_every_example():
    rng = np.random.default_rng(0)
    positive, negative = rng.normal(1.0, size=400), rng.normal(size=300)
    scores, labels = np.r_[positive, negative], np.arange(700) < 400
    found = recall_at(scores, labels, 0.05)
    drawn = []
    for _ in range(3000):
        p, q = rng.choice(positive, 400), np.sort(rng.choice(negative, 300))[::-1]
        drawn.append((p > q[15]).mean())
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert found.low == pytest.approx(low, abs=0.015)
    assert found.high == pytest.approx(high, abs=0.015)


def test_recall_without_a_miss_does_not_claim_certainty():
    found = recall_at(np.arange(20.0), np.arange(20) >= 10, 0.01)
    assert found.value == 1
    assert 0.5 < found.low < 0.75  # pyright: ignore


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (3, 10), (10, 10), (1, 1000)])
def test_clopper_pearson_equals_scipys(hits, n):
    expected = stats.binomtest(hits, n).proportion_ci(method="exact")
    assert clopper_pearson(hits, n) == pytest.approx((expected.low, expected.high), rel=1e-6, abs=1e-9)


def test_false_alarm_rate_is_a_share_with_its_exact_interval():
    flags = np.arange(50) < 2
    assert false_alarm_rate(flags) == Estimate(0.04, *clopper_pearson(2, 50), 50)
    assert not false_alarm_rate(np.zeros(0, bool)).defined


def two_detectors(rng: np.random.Generator, n: int, strong: float, weak: float, seeds: int = 3):
    labels, groups = np.arange(n) % 4 == 0, np.arange(n) % seeds
    shared = rng.normal(size=n)
    a, b = (shared + 0.5 * rng.normal(size=n) + labels * strength for strength in (strong, weak))
    return a, b, labels, groups


def test_the_difference_is_the_mean_over_seeds_of_the_differences():
    a, b, labels, groups = two_detectors(np.random.default_rng(0), 300, 1.0, 0.5)
    expected = np.mean(
        [
            auroc_slowly(a[groups == g], labels[groups == g])
            - auroc_slowly(b[groups == g], labels[groups == g])
            for g in range(3)
        ]
    )
    found = paired_auroc_difference(a, b, labels, groups)
    assert found.value == pytest.approx(expected, abs=1e-12)
    assert found == paired_auroc_difference(a, b, labels, groups)


def test_the_bootstrap_from_counts_is_the_one_that_copies_examples():
    a, b, labels, _ = two_detectors(np.random.default_rng(0), 200, 1.0, 0.5)
    a, b = np.round(a, 1), np.round(b, 1)
    found = paired_auroc_difference(a, b, labels)
    rng, drawn = np.random.default_rng(1), []
    for _ in range(1000):
        rows = np.r_[rng.choice(np.flatnonzero(labels), 50), rng.choice(np.flatnonzero(~labels), 150)]
        p, q = rows[:50], rows[50:]
        areas = [((s[p, None] > s[q]) + 0.5 * (s[p, None] == s[q])).mean() for s in (a, b)]
        drawn.append(areas[0] - areas[1])
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert found.low == pytest.approx(low, abs=0.01)
    assert found.high == pytest.approx(high, abs=0.01)


def test_the_bootstrap_is_the_same_whether_its_counts_are_kept_or_not(monkeypatch):
    a, b, labels, groups = two_detectors(np.random.default_rng(0), 300, 1.0, 0.5)
    kept = paired_auroc_difference(a, b, labels, groups)
    metrics._draws.cache_clear()
    monkeypatch.setattr(metrics, "_KEPT", 0)
    assert paired_auroc_difference(a, b, labels, groups) == kept


def test_verdicts_name_the_side_and_are_turned_round_with_the_detectors():
    a, b, labels, groups = two_detectors(np.random.default_rng(0), 2000, 1.0, 0.3)
    assert verdict(paired_auroc_difference(a, b, labels, groups)) == "better"
    assert verdict(paired_auroc_difference(b, a, labels, groups)) == "worse"
    assert verdict(paired_auroc_difference(a, a, labels, groups)) == "inconclusive"


def test_pairing_sees_a_difference_that_separate_intervals_do_not():
    a, b, labels, groups = two_detectors(np.random.default_rng(0), 800, 0.9, 0.65)
    one, other = auroc(a, labels), auroc(b, labels)
    assert other.high > one.low  # pyright: ignore
    assert verdict(paired_auroc_difference(a, b, labels, groups)) == "better"


def test_a_difference_that_seeds_disagree_about_is_inconclusive_though_examples_are_many():
    rng = np.random.default_rng(0)
    labels, groups = np.arange(3000) % 2 == 0, np.repeat([0, 1, 2], 1000)
    gain = np.array([0.6, -0.5, 0.5])[groups]
    a, b = rng.normal(size=3000) + labels * (1 + gain), rng.normal(size=3000) + labels * 1.0
    assert verdict(paired_auroc_difference(a, b, labels, groups)) == "inconclusive"


def test_seeds_with_one_class_only_are_left_out():
    a, b, labels, groups = two_detectors(np.random.default_rng(0), 300, 1.0, 0.5)
    more = np.r_[groups, np.full(10, 9)]
    found = paired_auroc_difference(
        np.r_[a, np.ones(10)], np.r_[b, np.zeros(10)], np.r_[labels, np.ones(10, bool)], more
    )
    assert found.value == paired_auroc_difference(a, b, labels, groups).value


def test_a_comparison_of_two_thousand_examples_is_quick():
    a, b, labels, groups = two_detectors(np.random.default_rng(0), 2000, 1.0, 0.5)
    start = time.process_time()
    paired_auroc_difference(a, b, labels, groups)
    assert time.process_time() - start < 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shift", "m", "n"), [(0.0, 30, 100), (1.5, 30, 100), (2.5, 40, 200), (1.0, 300, 300)]
)
def test_auroc_intervals_cover_the_true_area(shift, m, n):
    rng, truth, labels, hits = (
        np.random.default_rng(0),
        stats.norm.cdf(shift / math.sqrt(2)),
        np.arange(m + n) < m,
        0,
    )
    for _ in range(1500):
        found = auroc(rng.normal(size=m + n) + shift * labels, labels)
        hits += found.low <= truth <= found.high  # pyright: ignore
    assert 0.92 <= hits / 1500 <= 0.985


@pytest.mark.slow
@pytest.mark.parametrize(("m", "n", "level"), [(200, 1000, 0.05), (300, 2000, 0.01), (100, 300, 0.1)])
def test_recall_intervals_cover_the_true_recall(m, n, level):
    # The recall at the threshold whose true false-alarm rate is the level.
    rng, truth, hits = np.random.default_rng(0), stats.norm.sf(stats.norm.isf(level) - 2.0), 0
    labels = np.arange(m + n) < m
    for _ in range(600):
        found = recall_at(rng.normal(size=m + n) + 2.0 * labels, labels, level)
        hits += found.low <= truth <= found.high  # pyright: ignore
    assert hits / 600 >= 0.92


@pytest.mark.slow
def test_paired_intervals_cover_the_true_difference():
    rng, hits, labels = np.random.default_rng(0), 0, np.arange(400) % 2 == 0
    truth = stats.norm.cdf(1.0 / math.sqrt(2)) - stats.norm.cdf(0.7 / math.sqrt(2))
    for _ in range(300):
        shared = rng.normal(size=400) * math.sqrt(0.5)
        a, b = (shared + rng.normal(size=400) * math.sqrt(0.5) + labels * s for s in (1.0, 0.7))
        found = paired_auroc_difference(a, b, labels)
        hits += found.low <= truth <= found.high  # pyright: ignore
    assert 0.91 <= hits / 300 <= 0.985


def test_the_p_value_of_no_difference_is_uniform_and_of_a_large_one_tiny():
    p = []
    for seed in range(200):
        a, b, labels, _ = two_detectors(np.random.default_rng(seed), 200, 0.6, 0.6)
        p.append(paired_auroc_difference(a, b, labels).p)
    assert 0.01 <= np.mean(np.array(p) < 0.05) <= 0.09
    assert 0.4 < np.mean(np.array(p) < 0.5) < 0.6
    a, b, labels, groups = two_detectors(np.random.default_rng(0), 2000, 1.5, 0.2)
    assert paired_auroc_difference(a, b, labels, groups).p < 1e-6  # pyright: ignore
    assert paired_auroc_difference(a, a, labels, groups).p == 1


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_the_step_down_procedure(p):
    adjusted = holm(p)
    for level in (0.01, 0.05, 0.2):
        # By the book: from the smallest on, reject while p <= level / (number of tests that are left).
        rejected, left = set(), len(p)
        for index in sorted(range(len(p)), key=p.__getitem__):
            if p[index] * left > level:
                break
            rejected.add(index)
            left -= 1
        assert {i for i, one in enumerate(adjusted) if one <= level} == rejected
    assert all(one >= raw for one, raw in zip(adjusted, p, strict=True))


def test_with_no_difference_anywhere_holm_seldom_finds_one():
    rng = np.random.default_rng(0)
    wrong = [min(holm(list(rng.uniform(size=30)))) < 0.05 for _ in range(1_000)]
    assert np.mean(wrong) < 0.07
