from __future__ import annotations

import pytest
import torch

from ulterior.circuits.command.drawing import DRAWN, drawing
from ulterior.circuits.graph import Graph, Units
from ulterior.circuits.mask import Scores, full_mask, mask_of, random_mask
from ulterior.report.layered import layered_svg

GRAPH = Graph(n_layers=3, n_heads=4, n_kv_heads=2, n_neurons=5)


def scored(units: Units) -> Scores:
    exists = units.exists(GRAPH)
    values = torch.zeros(units.shape(GRAPH))
    values[exists] = torch.randn(int(exists.sum()), generator=torch.Generator().manual_seed(0))
    return Scores(GRAPH, units, values)


def test_every_edge_of_a_small_circuit_is_drawn_upwards_with_its_exact_figure():
    scores = scored(Units("edges"))
    mask = mask_of(GRAPH, Units("edges"), ["embed->head.0.1.q", "head.0.1->mlp.2", "mlp.2->logits"])
    found = drawing(mask, scores)
    assert {edge.note.split(":")[0] for edge in found.edges} == set(mask.kept)
    rows = {node.name: node.row for node in found.nodes}
    assert all(rows[edge.source] < rows[edge.destination] for edge in found.edges)
    svg = layered_svg(found)
    for edge in found.edges:
        assert f"{edge.weight:+.4g}" in svg
    assert svg == layered_svg(drawing(mask, scores))


def test_of_too_many_edges_the_strongest_are_drawn_and_the_rest_is_stated():
    scores = scored(Units("edges"))
    found = drawing(scores.top(150), scores)
    drawn = {edge.note.split(":")[0] for edge in found.edges}
    assert drawn == set(scores.top(DRAWN).kept)
    assert f"The strongest {DRAWN} of 150 edges" == found.title


def test_shared_keys_are_drawn_into_each_head_that_reads_them():
    found = drawing(mask_of(GRAPH, Units("edges"), ["embed->head.1.1.k"]), None)
    assert {(edge.destination, edge.port) for edge in found.edges} == {("head.1.2", "k"), ("head.1.3", "k")}


@pytest.mark.parametrize("grain", ["nodes", "neurons"])
def test_nodes_and_neurons_are_boxes_coloured_by_sign(grain):
    units = Units(grain)
    scores = scored(units)
    found = drawing(scores.top(6), scores)
    assert not found.edges
    on = [node for node in found.nodes if not node.off]
    assert all(node.weight is not None for node in on)
    if grain == "nodes":
        assert len(on) == 6
        assert len(found.nodes) == len(GRAPH.sources)
    svg = layered_svg(found)
    for node in on:
        assert ("--anomalous" if node.weight < 0 else "--benign") in svg


def test_an_empty_circuit_is_drawn_too():
    for grain in ("edges", "nodes", "neurons"):
        assert layered_svg(drawing(full_mask(GRAPH, Units(grain), 0.0), None)).startswith("<svg")
    assert "<svg" in layered_svg(drawing(random_mask(GRAPH, Units("edges"), 30), None))
