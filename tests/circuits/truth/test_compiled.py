"""Compiled transformers compute their programs, and nothing but the circuit does."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch import Tensor

from ulterior.circuits.ablations import Resample
from ulterior.circuits.forward import masked_run
from ulterior.circuits.graph import ARROW, Units
from ulterior.circuits.mask import full_mask, mask_of, random_mask
from ulterior.circuits.pairs import PairBatch
from ulterior.circuits.streams import Wired, run_model, wire
from ulterior.circuits.truth.compiler import CERTAINTY, compile_plan
from ulterior.circuits.truth.plan import plan_of
from ulterior.circuits.truth.programs import PROGRAMS
from ulterior.circuits.truth.truth import compiled_truth, program_pairs
from ulterior.readouts import last_logits

EDGES = Units("edges")


@cache
def truth(name: str):
    return compiled_truth(PROGRAMS[name], seed=1)


@cache
def wired(name: str) -> Wired:
    return wire(truth(name).build())


def batch(name: str, n: int, seed: int = 0) -> PairBatch:
    (pairs,) = truth(name).pairs(n, seed).batches(wired(name).subject, 10**6)
    return pairs


def logits(of: Wired, pairs: PairBatch, values: Tensor) -> Tensor:
    return last_logits(masked_run(of, pairs.clean, values, EDGES, Resample()(of, pairs)), pairs.clean)


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_logits_are_those_of_the_program_on_500_sequences(name):
    of, pairs = wired(name), batch(name, 500)
    said = last_logits(run_model(of.subject, pairs.clean), pairs.clean)
    meant = torch.zeros_like(said).scatter_(1, pairs.answers, CERTAINTY)
    torch.testing.assert_close(said, meant, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", PROGRAMS)
def test_all_that_is_outside_the_circuit_together_changes_nothing(name):
    of, pairs = wired(name), batch(name, 60, seed=1)
    whole = last_logits(run_model(of.subject, pairs.clean), pairs.clean)
    circuit = logits(of, pairs, truth(name).mask(of.graph).values)
    torch.testing.assert_close(circuit, whole, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", PROGRAMS)
def test_whatever_of_the_circuit_is_exchanged_the_rest_of_the_model_adds_nothing_to_it(name):
    of, pairs = wired(name), batch(name, 12, seed=2)
    outside = full_mask(of.graph, EDGES) - truth(name).mask(of.graph)
    for seed in range(2):
        some = random_mask(of.graph, EDGES, len(of.graph.edges) // 2, seed)
        without, more = some - outside, some | outside
        torch.testing.assert_close(
            logits(of, pairs, without.values), logits(of, pairs, more.values), rtol=0, atol=1e-4
        )


@pytest.mark.parametrize("name", PROGRAMS)
def test_each_edge_of_the_circuit_alone_changes_the_output_of_some_pair_and_each_other_edge_none(name):
    of, pairs = wired(name), batch(name, 16, seed=3)
    whole = last_logits(run_model(of.subject, pairs.clean), pairs.clean)
    every, true = full_mask(of.graph, EDGES), truth(name).edges
    for edge in sorted(true):
        change = logits(of, pairs, every.without([edge]).values) - whole
        assert change.abs().max() > CERTAINTY / 10, edge
    others = sorted(set(of.graph.edges) - true)
    for edge in others[:: max(1, len(others) // 10)]:
        change = logits(of, pairs, every.without([edge]).values) - whole
        assert change.abs().max() < 1e-5, edge


@pytest.mark.parametrize("name", PROGRAMS)
def test_without_distractors_an_edge_is_wired_where_one_matrix_reads_what_another_writes(name):
    plan = plan_of(PROGRAMS[name], seed=1)
    model = compile_plan(plan)
    shape = model.shape

    def written(source: str) -> Tensor:
        kind, *where = source.split(".")
        if kind == "embed":
            return torch.cat((model.tokens.weight, model.positions.weight)).T
        block = model.blocks[int(where[0])]
        if kind == "mlp":
            return torch.cat((block.mlp.down.weight, block.mlp.down.bias[:, None]), 1)
        return block.attn.o_proj.weight[:, int(where[1]) * shape.head : (int(where[1]) + 1) * shape.head]

    def read(destination: str) -> Tensor:
        kind, *where = destination.split(".")
        if kind == "logits":
            return model.unembed.weight
        block = model.blocks[int(where[0])]
        if kind == "mlp":
            return block.mlp.up.weight
        rows = slice(int(where[1]) * shape.head, (int(where[1]) + 1) * shape.head)
        return getattr(block.attn, f"{where[2]}_proj").weight[rows]

    graph = wired(name).graph
    found = {
        edge
        for edge in graph.edges
        if bool((read(edge.split(ARROW)[1]) @ written(edge.split(ARROW)[0])).any())
    }
    # Keys that all have one score are read by a matrix of zeros: a uniform selector reads nothing.
    uniform = {edge for edge in plan.wired - found if edge.endswith(".k")}
    assert found == plan.wired - uniform
    assert plan.edges <= found


def test_heads_are_drawn_and_a_block_has_as_many_as_it_needs():
    program = PROGRAMS["addition"]
    assert len({frozenset(plan_of(program, seed=seed).edges) for seed in range(8)}) > 1
    narrow = plan_of(program, heads=1)
    assert narrow.heads == 2
    assert plan_of(program, layers=4).layers == 4


def test_pairs_differ_in_their_answers_and_come_back_from_their_seed():
    program = PROGRAMS["names"]
    first, again, other = (program_pairs(program, 9, seed) for seed in (0, 0, 1))
    assert first.texts == again.texts != other.texts
    assert all(right != wrong for right, wrong in zip(first.answers, first.wrong, strict=True))
    circuit = truth("names")
    assert circuit.edges < circuit.wired <= set(mask_of(wired("names").graph, EDGES, circuit.wired).kept)
