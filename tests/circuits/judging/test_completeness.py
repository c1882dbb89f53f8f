from __future__ import annotations

import numpy as np
import pytest

from tests.circuits.judging.models import EDGES, NODES, TRUE_NODES, decided, known, true_nodes
from ulterior.circuits.judging.completeness import completeness, without, worst_removal
from ulterior.circuits.judging.conditions import conditions, ends, run_masks
from ulterior.circuits.mask import full_mask, mask_of, random_mask
from ulterior.circuits.metrics import accuracy, logit_difference
from ulterior.errors import InputError


def how(n: int = 6):
    return conditions(known().subject, decided(n), logit_difference)


def test_the_known_circuit_is_complete():
    given = how(8)
    found = completeness(given, true_nodes(), ends(given, NODES), subsets=4, steps=2)
    assert found.complement.error.value == pytest.approx(
        1, abs=1e-5
    )  # nothing is left: as far as the empty circuit
    np.testing.assert_allclose(found.complement.each, 0, atol=1e-4)
    assert found.mean.value == pytest.approx(0, abs=1e-5)
    assert found.worst is not None
    assert found.worst.incompleteness.value == pytest.approx(0, abs=1e-5)
    assert found.worst_is_held_out
    assert len(found.subsets) == 4


def test_the_full_circuit_is_complete_and_its_complement_is_the_empty_one():
    given = how()
    full = full_mask(known().graph, EDGES)
    found = completeness(given, full, ends(given, EDGES), subsets=3, steps=0)
    np.testing.assert_allclose(found.complement.each, 0, atol=1e-12)
    assert found.mean.value == 0
    assert found.worst is None


def test_a_circuit_without_one_of_two_ways_is_incomplete_and_the_search_finds_where():
    given = how()
    at = ends(given, NODES)
    # The model has two ways from the embedding to the logits: direct, and through the heads.
    partial = mask_of(known().graph, NODES, ["embed", "head.0.0", "head.1.0"])
    part = worst_removal(given, partial, steps=2, candidates=3)
    circuit, model = run_masks(given, without(partial, part))[0]
    start = run_masks(given, without(partial, ()))[0]
    assert np.abs(circuit - model).mean() >= np.abs(start[0] - start[1]).mean()
    found = completeness(given, partial, at, subsets=4, steps=0)
    assert found.mean.value > 0.01


def test_the_search_is_as_good_as_trying_every_unit_where_it_tries_as_many():
    given = how()
    circuit = random_mask(known().graph, EDGES, 12, 0) | mask_of(
        known().graph, EDGES, ["embed->logits", "embed->head.0.1.v", "head.0.1->logits"]
    )
    exact = {
        name: float(np.abs(np.subtract(*run_masks(given, without(circuit, (name,)))[0])).mean())
        for name in circuit.kept
    }
    start = float(np.abs(np.subtract(*run_masks(given, without(circuit, ()))[0])).mean())
    (best,) = worst_removal(given, circuit, steps=1, candidates=len(circuit)) or (None,)
    if max(exact.values()) <= start:
        assert best is None
    else:
        assert exact[best] == pytest.approx(max(exact.values()), rel=1e-5)


def test_a_circuit_of_one_unit_or_of_none_is_judged_all_the_same():
    given = how()
    at = ends(given, NODES)
    one = completeness(given, mask_of(known().graph, NODES, ["embed"]), at, subsets=3, steps=1)
    none = completeness(given, full_mask(known().graph, NODES, 0.0), at, subsets=3, steps=1)
    assert (one.subsets, none.subsets, none.worst) == ((), (), None)
    assert not one.mean.defined
    assert none.complement.error.value == pytest.approx(0, abs=1e-5)  # the complement of nothing is the model


def test_a_metric_without_gradient_is_refused_by_the_search():
    given = conditions(known().subject, decided(3), accuracy)
    with pytest.raises(InputError, match="gradient"):
        worst_removal(given, mask_of(known().graph, NODES, TRUE_NODES[:1]), steps=1, candidates=1)
