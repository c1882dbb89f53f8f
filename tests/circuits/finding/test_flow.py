from __future__ import annotations

import pytest
import torch

from tests.circuits.models import one_batch, pairs, wired
from ulterior.circuits.finding import contraction
from ulterior.circuits.finding.flow import InformationFlow, flow_scores
from ulterior.circuits.graph import Units
from ulterior.circuits.metrics import logit_difference
from ulterior.circuits.streams import record
from ulterior.errors import InputError

EDGES = Units("edges")


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt2", "gpt_neox", "codegen"])
def test_shares_are_those_of_each_term_of_each_sum_one_after_the_other(family):
    of = wired(family)
    batch = one_batch(of, pairs(2, 5, ragged=True))
    sources = record(of, batch.clean)[0].sources
    ours = flow_scores(of, batch, Units("edges", 5))
    graph, fronts = of.graph, {}
    norm = of.wiring.blocks[1].mlp_norm
    hook = norm.register_forward_pre_hook(lambda module, args: fronts.update(x=args[0]))
    with torch.no_grad():
        of.subject.model(**batch.clean.inputs, use_cache=False)
    hook.remove()
    column = graph.columns(1, "mlp").start
    lengths = batch.clean.mask.sum(1)
    for example in range(2):
        for position in range(int(lengths[example])):
            whole, terms = fronts["x"][example, position], sources[example, position]
            near = [
                max(0.0, float(whole.abs().sum() - (whole - terms[row]).abs().sum()))
                for row in range(graph.reads[column])
            ]
            for row, one in enumerate(near):
                share = one / sum(near) / float(lengths[example])
                assert float(ours[example, position, row, column]) == pytest.approx(share, rel=1e-3, abs=1e-6)


def test_shares_of_a_destination_sum_to_one_and_the_first_block_reads_the_embedding_alone():
    of = wired("gpt_neox")
    given = pairs(4, ragged=True)
    scores = InformationFlow()(of.subject, given, EDGES, logit_difference).values
    torch.testing.assert_close(scores.sum(0), torch.ones(len(of.graph.destinations)))
    torch.testing.assert_close(scores[0, : of.graph.columns(0, "mlp").stop], torch.ones(13))
    assert not scores[~of.graph.valid].any()
    by_position = InformationFlow()(of.subject, given, Units("edges", 8), logit_difference).values
    torch.testing.assert_close(by_position.sum(0), scores)


def test_a_few_tokens_at_a_time_give_what_all_give_together(monkeypatch):
    of = wired("gpt2")
    batch = one_batch(of, pairs(3, ragged=True))
    whole = [flow_scores(of, batch, units) for units in (EDGES, Units("edges", 7))]
    monkeypatch.setattr(contraction, "ELEMENTS", 3 * 2 * 11 * 32 + 1)
    ours = [flow_scores(of, batch, units) for units in (EDGES, Units("edges", 7))]
    torch.testing.assert_close(ours, whole)


def test_only_edges_have_a_flow():
    with pytest.raises(InputError, match="of edges, not of nodes"):
        InformationFlow()(wired("gpt2").subject, pairs(), Units("nodes"), logit_difference)
