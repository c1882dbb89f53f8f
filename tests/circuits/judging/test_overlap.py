from __future__ import annotations

import numpy as np
import pytest
import torch

from ulterior.circuits.graph import Graph, Units
from ulterior.circuits.judging.overlap import mask_overlap, overlap
from ulterior.circuits.mask import Scores, full_mask, mask_of, random_mask
from ulterior.errors import InputError

GRAPH = Graph(n_layers=2, n_heads=2, n_kv_heads=1, n_neurons=3)
EDGES, NODES = Units("edges"), Units("nodes")


def test_scores_that_rank_every_true_unit_first_have_auroc_1_and_constant_ones_one_half():
    truth = random_mask(GRAPH, EDGES, 9)
    values = truth.values * 3 - 0.5 * truth.units.exists(GRAPH)
    assert overlap(Scores(GRAPH, EDGES, values), truth).auroc.value == 1.0
    assert overlap(full_mask(GRAPH, EDGES), truth).auroc.value == 0.5
    assert overlap(Scores(GRAPH, EDGES, -values), truth, signed=True).auroc.value == 0.0
    assert overlap(Scores(GRAPH, EDGES, -values), truth).auroc.value == 1.0  # by size


def test_the_curve_encloses_the_area_and_runs_from_0_to_1():
    truth = random_mask(GRAPH, EDGES, 12)
    exists = EDGES.exists(GRAPH)
    drawn = torch.randn(int(exists.sum()), generator=torch.Generator().manual_seed(0)).round(decimals=1)
    values = torch.zeros(EDGES.shape(GRAPH))
    values[exists] = drawn
    found = overlap(Scores(GRAPH, EDGES, values), truth)
    assert (found.false[0], found.true[0], found.false[-1], found.true[-1]) == (0, 0, 1, 1)
    assert np.trapezoid(found.true, found.false) == pytest.approx(found.auroc.value)


def test_precision_and_recall_count_shared_units():
    mask, truth = (
        mask_of(GRAPH, NODES, names) for names in (["embed", "mlp.0", "mlp.1"], ["embed", "head.0.1"])
    )
    found = mask_overlap(mask, truth)
    assert found.precision.value == pytest.approx(1 / 3)
    assert found.recall.value == 0.5
    assert found.f1 == pytest.approx(2 / 5)
    assert found.jaccard == 1 / 4
    empty = full_mask(GRAPH, NODES, 0.0)
    assert not mask_overlap(empty, truth).precision.defined
    assert mask_overlap(empty, empty).f1 == 1.0


def test_another_grain_is_refused():
    with pytest.raises(InputError, match="known circuit"):
        mask_overlap(full_mask(GRAPH, NODES), full_mask(GRAPH, EDGES))
