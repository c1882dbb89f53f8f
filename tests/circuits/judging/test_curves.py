from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.circuits.judging.models import EDGES, NEURONS, NODES, TRUE_NODES, decided, known, true_scores
from tests.circuits.models import one_batch, pairs, wired
from ulterior.circuits.judging.conditions import conditions, ends, run_masks
from ulterior.circuits.judging.curves import (
    SHARES,
    _areas,
    area,
    curve,
    magnitude_scores,
    random_scores,
    sizes_at,
)
from ulterior.circuits.metrics import logit_difference
from ulterior.circuits.streams import record


def test_a_circuit_that_is_perfect_at_every_size_has_cmd_0_and_cpr_1():
    gap = np.array([1.0, 2.0, 3.0])
    cmd, cpr = _areas(np.tile(gap, (len(SHARES), 1)), gap, SHARES, 0)
    assert cmd.value == pytest.approx(0, abs=1e-12)
    assert cpr.value == pytest.approx(0.999)  # the axis begins at .001
    nothing, _ = _areas(np.zeros((len(SHARES), 3)), gap, SHARES, 0)
    assert nothing.value == pytest.approx(0.999)


def test_the_areas_are_the_trapezoids_of_the_benchmark():
    values = np.random.default_rng(0).normal(size=len(SHARES))
    by_hand = sum(
        (SHARES[i + 1] - SHARES[i]) * (values[i] + values[i + 1]) / 2 for i in range(len(SHARES) - 1)
    )
    assert area(values, SHARES) == pytest.approx(by_hand)


def test_scores_that_rank_the_known_circuit_first_are_faithful_from_its_size_on():
    given = conditions(known().subject, decided(6), logit_difference)
    found = curve(given, [true_scores()], ends(given, NODES), name="true", complement=True)
    for size, off, outside in zip(found.sizes, found.error, found.complement, strict=True):
        if size >= len(TRUE_NODES):
            assert off.value == pytest.approx(0, abs=1e-5)
            assert not outside.defined or outside.value == pytest.approx(0, abs=1e-5)
    assert found.cmd_each.value is not None
    assert found.cmd_each.value < 0.6


def test_a_curve_is_what_its_masks_give_one_by_one():
    given = conditions(known().subject, decided(5), logit_difference)
    at = ends(given, EDGES)
    scores = random_scores(known().graph, EDGES, 0)
    found = curve(given, [scores], at, name="one", shares=(0.05, 0.3, 1.0))
    for size, off in zip(found.sizes, found.error, strict=True):
        values = run_masks(given, [scores.top(size)])[0, 0]
        assert off.value == pytest.approx(
            np.abs(values - at.whole).mean() / np.abs(at.whole - at.empty).mean()
        )
    assert found.error[-1].value == pytest.approx(0, abs=1e-5)


def test_the_error_of_several_random_orders_is_not_that_of_their_mean():
    given = conditions(known().subject, decided(5), logit_difference)
    at = ends(given, EDGES)
    orders = [random_scores(known().graph, EDGES, seed) for seed in range(3)]
    together = curve(given, orders, at, name="random", shares=(0.3, 1.0))
    alone = [curve(given, [one], at, name="random", shares=(0.3, 1.0)).error[0].value for one in orders]
    assert together.error[0].value == pytest.approx(np.mean(alone))


def test_sizes_are_shares_of_the_units_and_at_least_one():
    assert sizes_at((0.001, 0.1, 1.0), 32_491) == (32, 3249, 32_491)
    assert sizes_at((0.001, 0.5, 1.0), 9) == (1, 4, 9)


def test_magnitudes_are_mean_norms_over_the_real_tokens():
    of, given = wired("gpt2"), pairs(3, ragged=True)
    scores = magnitude_scores(of, given, NODES, tokens=5)
    batch = one_batch(of, given).clean
    streams, _ = record(of, batch)
    expected = streams.sources.norm(dim=-1)[batch.mask].mean(0)
    torch.testing.assert_close(scores.values, expected.float(), rtol=1e-5, atol=1e-6)
    edges = magnitude_scores(of, given, EDGES).as_dict()
    assert edges["head.0.1->mlp.1"] == pytest.approx(scores.as_dict()["head.0.1"], rel=1e-5)
    neurons = magnitude_scores(of, given, NEURONS).as_dict()
    cells = record(of, batch, neurons=True)[0].neurons[:, :, 1, 7][batch.mask].abs().mean()
    norm = of.wiring.blocks[1].down_weight[7].norm()
    assert neurons["neuron.1.7"] == pytest.approx(float(cells * norm), rel=1e-4)
    assert neurons["head.1.2"] == pytest.approx(scores.as_dict()["head.1.2"], rel=1e-5)


def test_areas_are_undefined_where_the_behaviour_is_not_there():
    gap = np.array([1.0, -1.0, 0.9, -1.1])
    cmd, cpr = _areas(np.zeros((len(SHARES), 4)), gap, SHARES, 0)
    assert not cmd.defined
    assert not cpr.defined
