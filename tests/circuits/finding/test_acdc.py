from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.circuits.finding import known as truth
from tests.circuits.finding.known import known, known_pairs
from tests.circuits.models import one_batch, pairs, wired
from ulterior.circuits.ablations import Resample
from ulterior.circuits.finding.acdc import Acdc, reverse_order
from ulterior.circuits.finding.objective import check_objective
from ulterior.circuits.forward import masked_run
from ulterior.circuits.graph import Graph, Units
from ulterior.circuits.mask import Mask, full_mask
from ulterior.circuits.metrics import kl, logit_difference
from ulterior.circuits.streams import Wired, run_model
from ulterior.errors import InputError
from ulterior.readouts import last_logits

EDGES, NODES, NEURONS = Units("edges"), Units("nodes"), Units("neurons")


def one_by_one(of: Wired, given, threshold: float, units: Units, names: list[str]) -> Mask:
    """The search as it is published, trial by trial, each with a run of its own and nothing skipped."""
    batch = one_batch(of, given)
    ablated = Resample()(of, batch, neurons=True)
    reference = last_logits(run_model(of.subject, batch.clean), batch.clean)

    def loss(mask: Mask) -> float:
        output = masked_run(of, batch.clean, mask.values.double(), units, ablated)
        return -float(kl(output, batch, reference).double().mean())

    mask = full_mask(of.graph, units)
    current = loss(mask)
    for name in names:
        tried = mask.without([name])
        found = loss(tried)
        if found - current < threshold:
            mask, current = tried, found
    return mask


@pytest.mark.parametrize("ahead", [1, 16])
@pytest.mark.parametrize(
    "units", [pytest.param(EDGES, id="edges", marks=pytest.mark.slow), pytest.param(NODES, id="nodes")]
)
def test_the_search_in_batches_is_the_obvious_one_trial_by_trial(units, ahead):
    of, given = wired("llama"), pairs(3, 5)
    # A threshold at which a good part stays and a good part goes.
    threshold = {"edges": 3e-5, "nodes": 1e-3}[units.grain]
    ours = Acdc(threshold, ahead=ahead)(of.subject, given, units, logit_difference)
    every = units.names(of.graph)
    names = [every[number] for number in reverse_order(of.graph, units)]
    theirs = one_by_one(of, given, threshold, units, names)
    assert ours.kept == theirs.kept
    assert 0.1 < len(ours) / len(every) < 0.9


@pytest.mark.parametrize("order", ["backward", "forward", "random"])
def test_the_known_edges_are_found_in_every_order(order):
    of, given = known(), known_pairs()
    mask = Acdc(0.01, order=order, seed=3)(of.subject, given, EDGES, logit_difference)
    assert set(mask.kept) == truth.EDGES
    assert mask.is_binary


def test_the_known_nodes_are_found_and_so_are_circuits_for_the_metric_itself():
    of, given = known(), known_pairs()
    assert set(Acdc(0.01)(of.subject, given, NODES, kl).kept) == truth.NODES
    by_metric = Acdc(0.01, objective="distance")(of.subject, given, EDGES, logit_difference)
    assert set(by_metric.kept) == truth.EDGES


def test_destinations_go_from_the_output_to_the_input_and_the_seed_orders_their_edges():
    graph = Graph(2, 2, 1, 3)
    names = EDGES.names(graph)
    for order in ("backward", "forward", "random"):
        tried = [names[number] for number in reverse_order(graph, EDGES, order, seed=1)]
        assert sorted(tried) == sorted(names)
        columns = [graph.destinations.index(name.split("->")[1]) for name in tried]
        assert columns == sorted(columns, reverse=True)
    again, same, other = (reverse_order(graph, EDGES, "random", seed) for seed in (1, 1, 2))
    assert np.array_equal(again, same)
    assert not np.array_equal(again, other)
    nodes = [NODES.names(graph)[number] for number in reverse_order(graph, NODES)]
    assert nodes == ["mlp.1", "head.1.1", "head.1.0", "mlp.0", "head.0.1", "head.0.0", "embed"]
    cells = [NEURONS.names(graph)[number] for number in reverse_order(graph, NEURONS)]
    assert cells[:4] == ["neuron.1.2", "neuron.1.1", "neuron.1.0", "head.1.1"]
    placed = [Units("nodes", 2).names(graph)[number] for number in reverse_order(graph, Units("nodes", 2))]
    assert placed[:3] == ["mlp.1@1", "mlp.1@0", "head.1.1@1"]


def test_a_size_is_never_exceeded_and_is_reached_where_a_threshold_gives_it():
    of, given = known(), known_pairs(4)
    assert set(Acdc(size=4)(of.subject, given, NODES, kl).kept) == truth.NODES
    smaller = Acdc(size=3)(of.subject, given, NODES, kl)
    assert len(smaller) <= 3
    assert set(smaller.kept) < truth.NODES


def test_several_thresholds_give_scores_whose_masks_are_nested():
    of, given = known(), known_pairs(6)
    scores = Acdc((1e-3, 1.0, 6.0, 1e3))(of.subject, given, EDGES, kl)
    assert set(scores.above(1e-3).kept) == truth.EDGES
    assert set(scores.values.unique().tolist()) <= {0.0, torch.tensor(1e-3).item(), 1.0, 6.0}
    small, large = scores.nested((3, 5))
    assert set(small.kept) < set(large.kept) == truth.EDGES


def test_what_cannot_be_searched_for_is_refused():
    of, given = known(), known_pairs()
    with pytest.raises(InputError, match="positive"):
        Acdc(0.0)(of.subject, given, EDGES, kl)
    with pytest.raises(InputError, match="0 to 46"):
        Acdc(size=47)(of.subject, given, EDGES, kl)
    with pytest.raises(InputError, match=r"no objective 'kll'.*kl, distance"):
        check_objective("kll")
