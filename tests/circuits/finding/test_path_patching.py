from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.circuits.models import one_batch, pairs, wired
from tests.circuits.test_forward import by_hand, front_of
from tests.families import DECODERS
from ulterior.circuits.ablations import Resample
from ulterior.circuits.finding.path_patching import PathPatching, path, path_patching, paths_between
from ulterior.circuits.graph import Units
from ulterior.circuits.metrics import logit_difference
from ulterior.circuits.streams import Wired, head_shares, record, run_model
from ulterior.errors import InputError

CLOSE = {"rtol": 0.0, "atol": 3e-6}  # metrics are read in float32
ROUNDED = {"rtol": 0.0, "atol": 3e-5}  # these norm behind a sublayer, in float32
NODES = Units("nodes")


def close(family: str) -> dict[str, float]:
    return ROUNDED if family in ("gemma2", "gemma3", "olmo2") else CLOSE


def effect(of: Wired, batch, logits: Tensor) -> np.ndarray:
    """m(M) - m(logits), for each pair."""

    class Output:
        pass

    patched = Output()
    patched.logits = logits
    whole = logit_difference(run_model(of.subject, batch.clean), batch)
    return (whole - logit_difference(patched, batch)).double().numpy()


@pytest.mark.parametrize("family", DECODERS)
def test_a_direct_path_to_one_receiver_is_a_patch_by_hand_with_all_behind_it_free(family):
    of, given = wired(family), pairs()
    batch = one_batch(of, given)
    change = Resample()(of, batch).sources - record(of, batch.clean)[0].sources
    for edge in ("embed->head.1.1.k", "head.0.3->head.1.1.q", "mlp.0->head.1.0.v", "head.1.2->logits"):
        source, destination = edge.split("->")
        expected = by_hand(of, batch, destination, change[:, :, of.graph.source(source)])
        ours = path_patching(of.subject, given, path(of.graph, edge), logit_difference)
        np.testing.assert_allclose(ours[batch.rows], effect(of, batch, expected), **close(family))


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt2", "gpt_neox_serial"])
def test_a_path_of_three_edges_is_three_patches_by_hand_with_all_beside_it_frozen(family):
    of, given = wired(family), pairs()
    batch = one_batch(of, given)
    clean, change = record(of, batch.clean)[0].sources, Resample()(of, batch).sources
    change = change - clean
    # embed -> values of block 0 -> head 0.3 -> feed-forward of block 1 -> logits, each change by hand.
    graph, block = of.graph, of.wiring.blocks[0]
    served = graph.n_heads // graph.n_kv_heads
    kept: dict[str, Tensor] = {}
    hook = block.outward.register_forward_hook(
        lambda _, args, output: kept.update(shares=head_shares(block, args[0], output, graph.n_heads))
    )
    by_hand(of, batch, f"head.0.{3 // served}.v", change[:, :, 0])
    hook.remove()
    head = graph.source("head.0.3")
    from_head = kept["shares"][:, :, 3] - clean[:, :, head]

    last = of.wiring.blocks[1]
    fed = (last.mlp_after or last.mlp).register_forward_hook(lambda _, args, output: kept.update(fed=output))
    by_hand(of, batch, "mlp.1", from_head)
    fed.remove()
    from_mlp = kept["fed"] - clean[:, :, graph.source("mlp.1")]
    expected = effect(of, batch, by_hand(of, batch, "logits", from_mlp))

    route = path(graph, f"embed->head.0.{3 // served}.v", "head.0.3->mlp.1", "mlp.1->logits")
    ours = path_patching(of.subject, given, route, logit_difference)
    np.testing.assert_allclose(ours[batch.rows], expected, **close(family))
    assert np.abs(expected).max() > 1e-4


def test_paths_through_nodes_carry_the_direct_path_and_those_through_them():
    of, given = wired("llama"), pairs()
    batch = one_batch(of, given)
    graph = of.graph
    clean, ablated = record(of, batch.clean)[0].sources, Resample()(of, batch).sources
    source = graph.source("head.0.1")
    change = ablated[:, :, source] - clean[:, :, source]
    # Wang et al.'s routes: feed-forward layers hand on, other heads are frozen.
    block0, block1 = of.wiring.blocks
    with torch.no_grad():
        first = (
            block0.mlp(block0.mlp_norm(front_of(of, batch, 0, "mlp") + change))
            - clean[:, :, graph.source("mlp.0")]
        )
        front = front_of(of, batch, 1, "mlp")
        second = block1.mlp(block1.mlp_norm(front + change + first)) - clean[:, :, graph.source("mlp.1")]
    expected = effect(of, batch, by_hand(of, batch, "logits", change + first + second))
    route = paths_between(graph, "head.0.1", "logits", "mlp.*")
    ours = path_patching(of.subject, given, route, logit_difference)
    np.testing.assert_allclose(ours[batch.rows], expected, **CLOSE)


def test_scores_of_nodes_are_the_means_of_their_own_direct_paths_however_runs_are_cut():
    of, given = wired("gpt2"), pairs(3, ragged=True)
    for receivers, through in (("logits", ()), ("head.1.*.q, head.1.*.k", "mlp.*")):
        scores = PathPatching(receivers, through)(of.subject, given, NODES, logit_difference)
        small = PathPatching(receivers, through, tokens=30)(of.subject, given, NODES, logit_difference)
        torch.testing.assert_close(small.values, scores.values, rtol=1e-5, atol=2e-6)
        for node in ("embed", "head.0.2", "mlp.1"):
            route = paths_between(of.graph, node, receivers, through)
            alone = path_patching(of.subject, given, route, logit_difference)
            np.testing.assert_allclose(scores.as_dict()[node], alone.mean(), **CLOSE)
    assert scores.as_dict()["mlp.1"] == 0.0  # it comes after all of these receivers


def test_paths_that_are_none_are_refused_with_what_would_be_right():
    of = wired("llama")
    with pytest.raises(InputError, match=r"does not go on.*head\.0\.0, head\.0\.1"):
        path(of.graph, "embed->head.0.0.k", "head.0.2->logits")
    with pytest.raises(InputError, match="no edge"):
        path(of.graph, "mlp.1->head.0.0.q")
    with pytest.raises(InputError, match="at least one edge"):
        path(of.graph)
    with pytest.raises(InputError, match=r"Units\('nodes'\)"):
        PathPatching()(of.subject, pairs(), Units("edges"), logit_difference)
