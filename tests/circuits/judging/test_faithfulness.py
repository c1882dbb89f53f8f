from __future__ import annotations

import numpy as np
import pytest

from tests.circuits.judging.models import EDGES, NEURONS, NODES, decided, known, true_nodes
from tests.circuits.models import pairs, wired
from ulterior.circuits.judging.conditions import Ends, conditions, ends, run_masks, run_whole
from ulterior.circuits.judging.faithfulness import faithfulness, mean_of, ratio_of_means
from ulterior.circuits.mask import full_mask, random_mask
from ulterior.circuits.metrics import kl, logit_difference, probability
from ulterior.errors import InputError


@pytest.mark.parametrize("units", [NODES, EDGES, NEURONS], ids=lambda units: units.grain)
@pytest.mark.parametrize("metric", [logit_difference, kl, probability])
def test_the_full_circuit_has_faithfulness_1_and_the_empty_one_0(units, metric):
    of, given = wired("gpt2"), pairs(6)
    how = conditions(of.subject, given, metric, neurons=units.grain == "neurons")
    at = ends(how, units)
    full, empty = (full_mask(of.graph, units, value) for value in (1.0, 0.0))
    on, off = run_masks(how, [full, empty])[0]
    f, zero = faithfulness(on, at), faithfulness(off, at)
    np.testing.assert_allclose(f.each[~np.isnan(f.each)], 1, atol=1e-4)
    np.testing.assert_allclose(zero.each[~np.isnan(zero.each)], 0, atol=1e-12)
    assert f.error.value == pytest.approx(0, abs=1e-5)
    assert zero.error.value == pytest.approx(1)
    if f.overall.defined:
        assert (f.overall.value, zero.overall.value) == (pytest.approx(1, abs=1e-5), 0)


def test_a_circuit_known_by_construction_is_faithful_and_its_complement_is_empty():
    how = conditions(known().subject, decided(), logit_difference)
    at = ends(how, NODES)
    on, off = run_masks(how, [true_nodes(), ~true_nodes()])[0]
    np.testing.assert_allclose(on, at.whole, atol=1e-5)
    np.testing.assert_allclose(off, at.empty, atol=1e-5)


def test_errors_that_cancel_in_the_mean_do_not_cancel_here():
    n = 20
    at = Ends(np.full(n, 2.0), np.zeros(n))
    values = np.where(np.arange(n) % 2 == 0, 4.0, 0.0)  # twice the behaviour, or none: right on average alone
    f = faithfulness(values, at)
    assert f.overall.value == pytest.approx(1)
    assert f.error.value == pytest.approx(1)
    assert f.near.value == 0
    assert sorted(set(f.each)) == [0.0, 2.0]


def test_an_example_with_a_tiny_gap_has_no_ratio_of_its_own_and_is_counted():
    at = Ends(np.array([1.0, 1.0, 1e-6]), np.zeros(3))
    f = faithfulness(np.array([1.0, 0.5, 0.3]), at)
    assert f.tiny == 1
    np.testing.assert_array_equal(np.isnan(f.each), [False, False, True])
    assert f.median.value == pytest.approx(0.75)
    assert f.overall.value == pytest.approx(1.8 / 2, rel=1e-5)


def test_a_ratio_to_what_may_be_nothing_is_undefined():
    gap = np.array([1.0, -1.0, 1.1, -0.9, 0.5, -0.5])
    assert not ratio_of_means(np.ones(6), gap).defined
    assert not ratio_of_means(np.ones(2), np.zeros(2)).defined
    assert ratio_of_means(np.ones(6), np.abs(gap)).defined


def test_one_pair_has_a_figure_and_no_interval():
    one = ratio_of_means(np.array([0.5]), np.array([2.0]))
    assert (one.value, one.low, one.high) == (0.25, None, None)


def test_intervals_of_the_ratio_cover_the_truth_about_as_often_as_they_say():
    generator = np.random.default_rng(0)
    trials, n, truth = 300, 40, 0.7
    hits = 0
    for trial in range(trials):
        gap = 2 + generator.normal(size=n)
        kept = truth * gap + 0.5 * generator.normal(size=n)
        found = ratio_of_means(kept, gap, seed=trial)
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= truth <= found.high
    assert (
        0.90 <= hits / trials <= 0.985
    )  # 95% within four standard errors; the bootstrap is a little short at n = 40


def test_intervals_of_a_mean_cover_the_truth():
    generator = np.random.default_rng(1)
    found = [mean_of(generator.exponential(size=60), seed=trial) for trial in range(300)]
    hits = sum(one.low <= 1.0 <= one.high for one in found)
    assert 0.88 <= hits / 300 <= 0.985


def test_figures_do_not_depend_on_the_order_or_the_batches_of_the_pairs():
    given = decided(7, ragged=True)
    order = np.random.default_rng(0).permutation(7)
    masks = [random_mask(known().graph, EDGES, 60, seed) for seed in range(3)]
    together = conditions(known().subject, given, logit_difference, tokens=10_000)
    apart = conditions(known().subject, given.take(order), logit_difference, tokens=1)
    np.testing.assert_allclose(run_masks(together, masks)[:, :, order], run_masks(apart, masks), atol=1e-5)
    np.testing.assert_allclose(run_whole(together)[:, order], run_whole(apart), atol=1e-5)
    one, other = (faithfulness(run_masks(how, masks)[0, 0], ends(how, EDGES)) for how in (together, apart))
    assert one.overall.value == pytest.approx(other.overall.value, abs=1e-5)
    assert one.error.value == pytest.approx(other.error.value, abs=1e-5)


def test_what_cannot_be_judged_is_one_clear_error():
    how = conditions(known().subject, decided(3), logit_difference)
    with pytest.raises(InputError, match="another model"):
        run_masks(how, [full_mask(wired("gpt2").graph, NODES)])
    with pytest.raises(InputError, match="several grains"):
        run_masks(how, [full_mask(known().graph, NODES), full_mask(known().graph, EDGES)])
    with pytest.raises(InputError, match="no held-out pairs"):
        conditions(known().subject, decided(3).take([]), logit_difference)
    broken = conditions(
        known().subject, decided(3), lambda output, batch, reference: output.logits[:, 0, 0] / 0
    )
    with pytest.raises(InputError, match=r"rows 0, 1, 2.*NaN or infinite"):
        run_whole(broken)
