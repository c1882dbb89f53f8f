from __future__ import annotations

import pytest
import torch

from ulterior.circuits.graph import Graph, Units
from ulterior.circuits.mask import Mask, Scores, full_mask, load_mask, mask_of, random_mask
from ulterior.errors import InputError

GRAPH = Graph(n_layers=2, n_heads=2, n_kv_heads=1, n_neurons=3)
EDGES, NODES, NEURONS = Units("edges"), Units("nodes"), Units("neurons")


def test_gpt2_small_has_as_many_edges_as_published():
    assert Units("edges").count(Graph(12, 12, 12, 3072)) == 32_491


@pytest.mark.parametrize("units", [EDGES, NODES, NEURONS, Units("nodes", 3), Units("edges", 2)])
def test_every_unit_has_one_name_and_its_mask_has_that_one_on(units):
    names = units.names(GRAPH)
    assert len(set(names)) == len(names) == units.count(GRAPH)
    for name in names[:: max(1, len(names) // 7)]:
        assert mask_of(GRAPH, units, [name]).kept == (name,)


def test_edges_go_forward_only_and_a_parallel_block_does_not_feed_itself():
    assert "head.0.1->mlp.0" in EDGES.names(GRAPH)
    assert "mlp.0->head.0.1.q" not in EDGES.names(GRAPH)
    parallel = Graph(2, 2, 1, 3, parallel=True)
    assert "head.0.1->mlp.0" not in EDGES.names(parallel)
    assert "head.0.1->mlp.1" in EDGES.names(parallel)


def test_set_operations_are_those_of_sets_of_names():
    a, b = random_mask(GRAPH, EDGES, 20, 0), random_mask(GRAPH, EDGES, 15, 1)
    mine, theirs = set(a.kept), set(b.kept)
    assert set((a & b).kept) == mine & theirs
    assert set((a | b).kept) == mine | theirs
    assert set((a - b).kept) == mine - theirs
    assert set((~a).kept) == set(EDGES.names(GRAPH)) - mine
    assert a.overlap(b) == len(mine & theirs) / len(mine | theirs)
    assert a.overlap(a) == 1.0
    assert (len(a), len(b)) == (20, 15)


def test_top_takes_the_largest_by_size_and_is_nested():
    values = torch.zeros(NODES.shape(GRAPH))
    values[:4] = torch.tensor([0.5, -3.0, 2.0, 1.0])
    scores = Scores(GRAPH, NODES, values)
    assert scores.top(2).kept == ("head.0.0", "head.0.1")
    assert scores.top(2, signed=True).kept == ("head.0.1", "mlp.0")
    small, large = scores.nested((1, 3))
    assert set(small.kept) < set(large.kept)
    assert scores.above(1.0).kept == ("head.0.0", "head.0.1", "mlp.0")
    with pytest.raises(InputError, match="0 to 7"):
        scores.top(8)


def test_nodes_imply_edges_and_edges_have_nodes():
    nodes = mask_of(GRAPH, NODES, ["embed", "mlp.1"])
    edges = nodes.edges()
    assert {name.split("->")[0] for name in edges.kept} == {"embed", "mlp.1"}
    assert edges.nodes().kept == nodes.kept
    with pytest.raises(InputError, match="neurons"):
        full_mask(GRAPH, NEURONS).edges()


def test_a_mask_comes_back_from_disk(tmp_path):
    mask = random_mask(GRAPH, Units("edges", 2), 9)
    mask.save(tmp_path)
    back = load_mask(tmp_path)
    assert (back.graph, back.units, back.name) == (mask.graph, mask.units, mask.name)
    assert torch.equal(back.values, mask.values)


@pytest.mark.parametrize("broken", ["mask.json", "mask.safetensors"])
def test_a_broken_mask_is_one_clear_error(tmp_path, broken):
    random_mask(GRAPH, EDGES, 9).save(tmp_path)
    (tmp_path / broken).write_text("{")
    with pytest.raises(InputError, match="holds no mask"):
        load_mask(tmp_path)


def test_values_that_make_no_mask_are_refused():
    shape = NODES.shape(GRAPH)
    with pytest.raises(InputError, match="between 0 and 1"):
        Mask(GRAPH, NODES, torch.full(shape, 1.5))
    with pytest.raises(InputError, match="NaN"):
        Scores(GRAPH, NODES, torch.full(shape, float("nan")))
    with pytest.raises(InputError, match="shape"):
        Mask(GRAPH, NODES, torch.ones(3))
    with pytest.raises(InputError, match="one grain"):
        full_mask(GRAPH, NODES) & full_mask(GRAPH, EDGES)
