"""An example's circuit is the derivative of the masked forward; what a circuit explains is what that forward gives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.families import texts
from tests.features.test_attributions import subject_of, three_outputs
from tests.features.test_reading import gathered
from tests.test_serialise import through_disk
from ulterior.capture import Captured
from ulterior.circuits.ablations import Zero
from ulterior.circuits.forward import masked_run
from ulterior.circuits.graph import Units
from ulterior.circuits.pairs import PairBatch
from ulterior.circuits.streams import Streams, record, wire
from ulterior.errors import InputError
from ulterior.examples import Examples
from ulterior.features.circuits import (
    CircuitAncestor,
    CircuitDistance,
    CircuitEdges,
    CircuitFaithfulness,
    circuit_ancestor,
    circuit_distance,
    circuit_edges,
    circuit_faithfulness,
)
from ulterior.features.edge_tables import edge_table
from ulterior.features.feature import Run
from ulterior.features.preparing import prepare
from ulterior.features.reading import read
from ulterior.subject import RowError, Subject

EDGES = Units("edges")
EXAMPLES = Examples.of(text=texts(4, 7, 5))
# Their norms compute in float32 whatever the model's format.
ROUNDED = ("llama", "gemma2")


def run_of(subject: Subject, examples: Examples = EXAMPLES) -> Run:
    batch = subject.collate(subject.encode(examples))
    return Run(examples, batch, Captured({}), subject.run(batch), subject)


def through_a_mask(subject: Subject, examples: Examples = EXAMPLES) -> torch.Tensor:
    """``[n, k, u, v]``: derivatives of the masked forward, one mask an example, at the whole model."""
    wired, batch = wire(subject), subject.collate(subject.encode(examples))
    nobody = torch.zeros(len(batch), 0, dtype=torch.long)
    off = Zero()(wired, PairBatch(batch, batch, nobody, nobody, np.arange(len(batch))))
    ones = torch.ones(len(batch), *EDGES.shape(wired.graph), dtype=torch.float64).requires_grad_()
    with torch.enable_grad():
        columns = three_outputs(masked_run(wired, batch, ones, EDGES, off, grad=True), batch)
    return torch.stack(
        [torch.autograd.grad(one.sum(), ones, retain_graph=True)[0] for one in columns.unbind(1)], 1
    )


def prepared(subject: Subject, asked, examples: Examples = EXAMPLES):
    ready, refused = prepare([asked], subject, examples, batch_tokens=8)
    assert not refused
    return ready[asked]


@pytest.mark.parametrize(
    ("family", "padding"), [("llama", "left"), ("gemma2", "right"), ("gpt_neox", "left")]
)
def test_every_edge_of_every_example_is_the_derivative_of_the_masked_forward(family, padding):
    subject = subject_of(family, padding=padding)
    rtol, atol = (1e-3, 1e-6) if family in ROUNDED else (1e-8, 1e-10)
    ours = edge_table(run_of(subject), "sensors")
    torch.testing.assert_close(ours, through_a_mask(subject), rtol=rtol, atol=atol)
    assert float(ours.abs().amax()) > 1e-3


def test_rows_for_which_the_model_itself_gives_no_numbers_are_named():
    # In double precision, Gemma 2's softmax, which is in single, leaves no weight at all to a row of padding.
    subject = subject_of("gemma2", padding="left")
    feature = CircuitEdges(wire(subject).graph.edges[:2], "sensors")
    with pytest.raises(RowError, match=r"rows 0, 2 .*edge attribution.* is NaN or infinite"):
        gathered(subject, EXAMPLES, [feature])


def test_the_chosen_edges_are_the_largest_on_trusted_examples_and_do_not_depend_on_batches():
    subject, graph = subject_of("llama"), wire(subject_of("llama")).graph
    chosen = prepared(subject, circuit_edges("sensors", 5))
    assert isinstance(chosen, CircuitEdges)
    sizes = through_a_mask(subject).abs().sum((0, 1))
    by_name = {edge: float(sizes[graph.place(edge)]) for edge in graph.edges}
    assert set(chosen.edges) == set(sorted(by_name, key=lambda edge: -by_name[edge])[:5])
    feature = through_disk(chosen)
    alone, together = (
        gathered(subject, EXAMPLES, [feature], batch_tokens=tokens)["circuit_edges"] for tokens in (1, 100)
    )
    assert alone.shape == (3, 15)
    np.testing.assert_allclose(alone, together, rtol=1e-5, atol=1e-7)
    expected = [
        [float(one[k][graph.place(edge)]) for edge in feature.edges for k in range(3)]
        for one in through_a_mask(subject)
    ]
    np.testing.assert_allclose(alone, expected, rtol=1e-5, atol=1e-7)


def test_edges_held_against_trusted_means_are_derivatives_of_the_forward_that_those_stand_in_for():
    subject = subject_of("llama")
    wired, run = wire(subject), run_of(subject)
    feature = through_disk(prepared(subject, circuit_edges("sensors", 7, off="mean")))
    assert isinstance(feature, CircuitEdges)
    real = run.batch.mask
    assert real is not None
    off = Streams(record(wired, run.batch)[0].sources[real].mean(0)[None, None])
    ones = torch.ones(len(run.batch), *EDGES.shape(wired.graph), dtype=torch.float64).requires_grad_()
    with torch.enable_grad():
        columns = three_outputs(masked_run(wired, run.batch, ones, EDGES, off, grad=True), run.batch)
    slopes = [torch.autograd.grad(one.sum(), ones, retain_graph=True)[0] for one in columns.unbind(1)]
    places = [wired.graph.place(edge) for edge in feature.edges]
    expected = torch.stack([slope[:, row, column] for row, column in places for slope in slopes], 1)
    found = gathered(subject, EXAMPLES, [feature])["circuit_edges"]
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


def test_edges_are_chosen_by_variance_and_read_as_shares_where_that_is_asked_for():
    subject, exists = subject_of("llama"), EDGES.exists(wire(subject_of("llama")).graph)
    tables, graph = through_a_mask(subject), wire(subject).graph
    chosen = prepared(subject, circuit_edges("sensors", 5, by="variance", shares=True))
    assert isinstance(chosen, CircuitEdges)
    spread = tables.var(0, correction=0).sum(0)
    by_name = {edge: float(spread[graph.place(edge)]) for edge in graph.edges}
    assert set(chosen.edges) == set(sorted(by_name, key=lambda edge: -by_name[edge])[:5])
    whole = tables[..., exists].abs().sum(2)
    expected = [
        [float(tables[row, k][graph.place(edge)] / whole[row, k]) for edge in chosen.edges for k in range(3)]
        for row in range(len(tables))
    ]
    found = gathered(subject, EXAMPLES, [chosen])["circuit_edges"]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)


def test_the_whole_circuit_explains_all_and_one_edge_what_the_masked_forward_with_trusted_means_gives():
    subject = subject_of("llama")
    wired, run = wire(subject), run_of(subject)
    whole = prepared(subject, circuit_faithfulness("sensors", 10**6))
    found = gathered(subject, EXAMPLES, [whole])["circuit_faithfulness"]
    np.testing.assert_allclose(found[:, :3], three_outputs(run.output, run.batch), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found[:, 3:], 0, atol=1e-6)
    some = through_disk(prepared(subject, circuit_faithfulness("sensors", 9)))
    assert isinstance(some, CircuitFaithfulness)
    assert int(some.mask.sum()) == 9
    real = run.batch.mask
    assert real is not None
    means = record(wired, run.batch)[0].sources[real].mean(0)
    torch.testing.assert_close(some.means, means.float(), rtol=1e-5, atol=1e-6)
    output = masked_run(wired, run.batch, some.mask.double(), EDGES, Streams(means[None, None]))
    kept = three_outputs(output, run.batch).detach()
    found = gathered(subject, EXAMPLES, [some])["circuit_faithfulness"]
    np.testing.assert_allclose(found[:, :3], kept, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        found[:, 3:], three_outputs(run.output, run.batch) - kept, rtol=1e-3, atol=1e-5
    )


def test_distances_are_zero_from_oneself_and_those_of_the_definitions_otherwise():
    subject = subject_of("llama")
    first = EXAMPLES.take([0])
    itself = prepared(subject, circuit_distance("sensors", 20), first)
    np.testing.assert_allclose(gathered(subject, first, [itself])["circuit_distance"], 0, atol=1e-6)
    feature = through_disk(itself)
    assert isinstance(feature, CircuitDistance)
    found = gathered(subject, EXAMPLES, [feature])["circuit_distance"]
    exists = EDGES.exists(wire(subject).graph)
    tables = through_a_mask(subject)[:, :, exists].numpy()
    tops = [set(np.argsort(-np.abs(one).sum(0))[:20]) for one in tables]
    for row, one in enumerate(tables):
        jaccard = len(tops[0] & tops[row]) / len(tops[0] | tops[row])
        a, b = one.ravel(), tables[0].ravel()
        cosines = [x @ y / np.linalg.norm(x) / np.linalg.norm(y) for x, y in ((a, b), (abs(a), abs(b)))]
        np.testing.assert_allclose(found[row], [1 - jaccard, *(1 - cosine for cosine in cosines)], atol=1e-5)


def test_outputs_that_are_one_share_their_circuits_and_others_what_lies_on_the_same_edges():
    subject = subject_of("llama")

    def twice(output, batch):
        return three_outputs(output, batch)[:, [0, 0, 1]]

    subject = replace(subject, readouts={**subject.readouts, "twice": twice})
    found = gathered(subject, EXAMPLES, [CircuitAncestor("twice")])["circuit_ancestor"].reshape(3, 4, 3)
    np.testing.assert_allclose(found[:, :, 0], 1, rtol=1e-5)  # two blocks, the logits, the cosine
    np.testing.assert_allclose(found[:, :, 1], found[:, :, 2], rtol=1e-5)
    graph, tables = wire(subject).graph, through_a_mask(subject)
    own = tables[:, :2, :, : graph.columns(0, "mlp").stop].abs().flatten(2)
    part = own / own.sum(2, keepdim=True)
    np.testing.assert_allclose(found[:, 0, 1], part.amin(1).sum(1), rtol=1e-4)
    cosine = torch.cosine_similarity(tables[:, 0].flatten(1), tables[:, 1].flatten(1), 1)
    np.testing.assert_allclose(found[:, 3, 1], cosine, rtol=1e-4)


def test_what_cannot_be_read_is_one_clear_line():
    subject = subject_of("llama")
    with pytest.raises(InputError, match="one output only"):
        list(read(subject, EXAMPLES, [circuit_ancestor("behaviour")]))
    with pytest.raises(InputError, match="no readout 'sense'"):
        list(read(subject, EXAMPLES, [circuit_ancestor("sense")]))
    with pytest.raises(InputError, match="these families only"):
        list(read(subject_of("bert"), EXAMPLES, [circuit_ancestor("sensors")]))
    with pytest.raises(InputError, match="needs statistics of trusted examples"):
        list(read(subject, EXAMPLES, [circuit_edges()]))
    with pytest.raises(InputError, match="no edge"):
        list(read(subject, EXAMPLES, [CircuitEdges(("mlp.1->mlp.0",), "sensors")]))
    with pytest.raises(InputError, match="0 edges"):
        circuit_edges(most=0)
