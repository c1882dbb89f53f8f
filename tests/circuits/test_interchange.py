"""MIB's JSON: what is written comes back, names are theirs, and what does not fit is one clear error."""

from __future__ import annotations

import json

import pytest
import torch

from ulterior.circuits.graph import Graph, Units
from ulterior.circuits.interchange import read_mib_mask, read_mib_scores, write_mib
from ulterior.circuits.mask import Scores, full_mask, mask_of, random_mask
from ulterior.errors import InputError

PLAIN = Graph(n_layers=2, n_heads=4, n_kv_heads=4, n_neurons=3)
SHARED = Graph(n_layers=2, n_heads=6, n_kv_heads=2, n_neurons=3)
PARALLEL = Graph(n_layers=2, n_heads=4, n_kv_heads=4, n_neurons=3, parallel=True)
EDGES, NODES = Units("edges"), Units("nodes")


def scores_of(graph: Graph, units: Units) -> Scores:
    values = torch.randn(units.shape(graph), generator=torch.Generator().manual_seed(0))
    return Scores(graph, units, values * units.exists(graph))


@pytest.mark.parametrize("units", [EDGES, NODES], ids=lambda units: units.grain)
@pytest.mark.parametrize("graph", [PLAIN, SHARED, PARALLEL], ids=["plain", "shared", "parallel"])
def test_scores_and_masks_come_back(tmp_path, graph, units):
    path, scores = tmp_path / "circuit.json", scores_of(graph, units)
    mask = scores.top(5)
    write_mib(path, 32, scores, mask)
    torch.testing.assert_close(
        read_mib_scores(path, graph, units).values, scores.values, rtol=1e-6, atol=1e-7
    )
    back = read_mib_mask(path, graph, units)
    assert torch.equal(back.values, mask.values)
    assert back.name == "circuit"


def test_a_mask_alone_is_its_own_score(tmp_path):
    mask = random_mask(SHARED, EDGES, 9)
    write_mib(tmp_path / "one.json", 32, mask=mask)
    held = json.loads((tmp_path / "one.json").read_text())
    assert all(entry["score"] == float(entry["in_graph"]) for entry in held["edges"].values())


def test_the_names_and_the_number_of_edges_are_those_of_the_published_format(tmp_path):
    write_mib(tmp_path / "plain.json", 32, full_scores(PLAIN))
    held = json.loads((tmp_path / "plain.json").read_text())
    assert held["cfg"] == {"n_layers": 2, "n_heads": 4, "parallel_attn_mlp": False, "d_model": 32}
    assert len(held["edges"]) == (12 + 5) + (6 * 12 + 10) + 11
    assert len(held["nodes"]) == 2 * 5 + 2
    assert {"input->a0.h1<q>", "a0.h1->m0", "m0->a1.h3<v>", "a1.h0->logits"} < set(held["edges"])
    assert set(held["nodes"]) > {"input", "a0.h1", "m0", "logits"}
    write_mib(tmp_path / "parallel.json", 32, full_scores(PARALLEL))
    assert "a0.h1->m0" not in json.loads((tmp_path / "parallel.json").read_text())["edges"]


def full_scores(graph: Graph) -> Scores:
    return Scores(graph, EDGES, full_mask(graph, EDGES).values)


def test_an_edge_into_shared_keys_is_one_edge_into_each_of_their_query_heads(tmp_path):
    path, name = tmp_path / "shared.json", "mlp.0->head.1.1.k"
    mask = mask_of(SHARED, EDGES, [name])
    write_mib(path, 32, Scores(SHARED, EDGES, 3 * mask.values), mask)
    held = json.loads(path.read_text())
    on = {edge: entry["score"] for edge, entry in held["edges"].items() if entry["in_graph"]}
    assert on == {f"m0->a1.h{head}<k>": 1.0 for head in (3, 4, 5)}
    for edge in list(on)[:2]:  # one of them is enough for a mask, and the rest for a score
        held["edges"][edge] = {"in_graph": False, "score": 0.0}
    path.write_text(json.dumps(held))
    assert read_mib_mask(path, SHARED).kept == (name,)
    assert read_mib_scores(path, SHARED).as_dict()[name] == 1.0


def test_a_node_is_in_the_graph_if_something_enters_it_and_something_leaves_it(tmp_path):
    mask = mask_of(SHARED, EDGES, ["embed->head.0.1.v", "head.0.4->logits", "mlp.0->logits"])
    write_mib(tmp_path / "nodes.json", 32, mask=mask)
    nodes = json.loads((tmp_path / "nodes.json").read_text())["nodes"]
    assert {name for name, entry in nodes.items() if entry["in_graph"]} == {"input", "a0.h4", "logits"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda held: held["edges"].update({"a9.h0->logits": {"score": 1.0, "in_graph": True}}),
            "no edge 'a9.h0",
        ),
        (
            lambda held: held["edges"].update({"m1->a0.h0<q>": {"score": 1.0, "in_graph": True}}),
            "no edge 'm1->a0",
        ),
        (lambda held: held["edges"].update({"m0->logits": {"score": float("nan")}}), "score of 'm0->logits'"),
        (lambda held: held["edges"].update({"m0->logits": 3}), "of 'm0->logits' is 3"),
        (lambda held: held["cfg"].update(n_heads=5), "'n_heads': 5"),
        (lambda held: held.pop("nodes"), "KeyError 'nodes'"),
        (lambda held: held.update(edges=[]), "JSON objects"),
    ],
)
def test_a_file_that_does_not_fit_is_one_clear_error(tmp_path, change, message):
    path = tmp_path / "wrong.json"
    write_mib(path, 32, scores_of(PLAIN, EDGES))
    held = json.loads(path.read_text())
    change(held)
    path.write_text(json.dumps(held))
    with pytest.raises(InputError, match=message.replace("[", r"\[")):
        read_mib_scores(path, PLAIN)


def test_unknown_nodes_pickles_and_other_units_are_refused(tmp_path):
    path = tmp_path / "nodes.json"
    write_mib(path, 32, scores_of(PLAIN, NODES))
    held = json.loads(path.read_text())
    held["nodes"]["a7.h7"] = {"in_graph": True}
    path.write_text(json.dumps(held))
    with pytest.raises(InputError, match=r"no node 'a7\.h7'"):
        read_mib_mask(path, PLAIN, NODES)
    with pytest.raises(InputError, match="pickle"):
        read_mib_mask(tmp_path / "circuit.pt", PLAIN)
    with pytest.raises(InputError, match="no circuit in MIB's format"):
        read_mib_mask(tmp_path / "nothing.json", PLAIN)
    with pytest.raises(InputError, match="same at all positions"):
        write_mib(path, 32, mask=full_mask(PLAIN, Units("nodes", 3)))
    with pytest.raises(InputError, match="nothing to write"):
        write_mib(path, 32)
