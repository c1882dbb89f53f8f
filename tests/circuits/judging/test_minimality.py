from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from tests.circuits.judging.models import NODES, TRUE_NODES, decided, known, true_nodes
from ulterior.circuits.judging.conditions import conditions, ends, run_masks
from ulterior.circuits.judging.minimality import knockouts, minimality
from ulterior.circuits.mask import mask_of
from ulterior.circuits.metrics import logit_difference
from ulterior.metrics import holm


def test_a_unit_that_writes_nothing_is_not_shown_to_be_needed_and_the_p_values_are_those_of_paired_t_tests():
    given = conditions(known().subject, decided(12), logit_difference)
    at = ends(given, NODES)
    mask = mask_of(known().graph, NODES, [*TRUE_NODES, "head.0.0", "mlp.1"])
    values = run_masks(given, [mask])[0, 0]
    knocked = knockouts(given, mask, most=10)
    found = minimality(knocked, at, values)
    by_name = {one.unit: one for one in found.effects}
    assert set(by_name) == set(mask.kept)
    for idle in ("head.0.0", "mlp.1"):
        assert by_name[idle].effect.value == pytest.approx(0, abs=1e-6)
        assert by_name[idle].p_holm > 0.05
    p = [
        stats.ttest_rel(values, row).pvalue if np.ptp(values - row) > 1e-9 else 1.0 for row in knocked.values
    ]
    expected = dict(zip(knocked.units, holm(p), strict=True))
    for name in TRUE_NODES:
        assert by_name[name].p_holm == pytest.approx(expected[name], rel=1e-3, abs=1e-3)
    assert found.effects[0].unit in TRUE_NODES


def test_a_large_circuit_is_tested_in_a_random_part_which_is_stated():
    given = conditions(known().subject, decided(3), logit_difference)
    knocked = knockouts(given, true_nodes(), most=2, seed=3)
    assert len(knocked.units) == 2
    assert knocked.of == 3
    found = minimality(knocked, ends(given, NODES), run_masks(given, [true_nodes()])[0, 0])
    assert (len(found.effects), found.of) == (2, 3)
