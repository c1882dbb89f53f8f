from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from tests.circuits.judging.models import NODES, TRUE_NODES, decided, known, true_nodes
from tests.circuits.models import wired
from ulterior.circuits.judging.conditions import conditions, ends, run_masks
from ulterior.circuits.judging.hypotheses import equivalence, hypotheses, independence, random_path
from ulterior.circuits.judging.minimality import knockouts
from ulterior.circuits.mask import mask_of
from ulterior.circuits.metrics import logit_difference
from ulterior.metrics import holm


def test_a_circuit_that_always_does_worse_is_not_equivalent_and_one_that_is_the_model_is():
    whole = np.linspace(1, 2, 40)
    assert equivalence(whole - 0.1, whole)[1] < 1e-6
    assert equivalence(whole, whole) == (0.5, 1.0)
    assert equivalence(whole * (1 + 1e-9), whole) == (0.5, 1.0)  # rounding is no difference
    half = whole + np.where(np.arange(40) % 2, 0.1, -0.1)
    assert equivalence(half, whole) == (0.5, pytest.approx(1.0))


def test_p_values_of_equivalence_are_valid_at_the_edge_of_the_null():
    generator = np.random.default_rng(0)
    p = []
    for _ in range(400):
        better = generator.random(50) < 0.6
        p.append(equivalence(np.where(better, 2.0, 0.0), np.ones(50), 0.1)[1])
    assert np.mean(np.array(p) <= 0.05) <= 0.08


def test_independence_sees_what_a_correlation_does_not_and_is_valid_where_there_is_nothing():
    generator = np.random.default_rng(0)
    x = generator.normal(size=50)
    assert independence(x**2 + 0.05 * generator.normal(size=50), x)[1] < 0.01
    p = [independence(*generator.normal(size=(2, 20)), seed=i)[1] for i in range(40)]
    assert np.mean(np.array(p) <= 0.1) <= 0.25
    assert min(p) >= 1 / 2001
    assert independence(np.zeros(50), x)[1] == 1.0


def test_random_paths_lead_from_the_embedding_to_the_logits_along_edges_of_the_model():
    for family in ("llama", "gpt_neox"):
        graph = wired(family).graph
        generator = torch.Generator().manual_seed(0)
        for _ in range(30):
            path = random_path(graph, generator)
            assert path[0].startswith("embed->")
            assert path[-1].endswith("->logits")
            for before, after in pairwise(path):
                graph.place(after)
                reader, source = before.split("->")[1], after.split("->")[0]
                kind, layer, *rest = source.split(".")
                if kind == "mlp":
                    assert reader == source
                else:
                    shared = 1 if reader.endswith("q") else graph.n_heads // graph.n_kv_heads
                    assert reader.split(".")[:3] == ["head", layer, str(int(rest[0]) // shared)]


def test_a_unit_that_does_nothing_is_rejected_as_part_of_a_minimal_circuit_and_those_that_matter_are_not():
    given = conditions(known().subject, decided(10), logit_difference)
    mask = mask_of(known().graph, NODES, [*TRUE_NODES, "head.0.0"])
    at = ends(given, NODES)
    values, complement = run_masks(given, [mask, ~mask])[0]
    found = hypotheses(
        given, mask, at.whole, values, complement, knocked=knockouts(given, mask, most=9), paths=40
    )
    by_name = {one.name.removeprefix("minimality: "): one for one in found.minimality}
    assert by_name["head.0.0"].rejected
    assert not any(by_name[name].rejected for name in TRUE_NODES)
    assert not found.equivalence.rejected
    every = [found.equivalence, found.independence, *found.minimality]
    assert [one.p_holm for one in every] == pytest.approx(holm([one.p for one in every]))


def test_a_circuit_of_everything_leaves_nothing_to_compare_with():
    given = conditions(known().subject, decided(4), logit_difference)
    full = true_nodes() | ~true_nodes()
    at = ends(given, NODES)
    found = hypotheses(given, full, at.whole, at.whole, at.empty, knocked=knockouts(given, full, most=3))
    assert found.paths == 0
    assert found.minimality == ()
