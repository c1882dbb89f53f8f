from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.circuits.judging.models import EDGES, NODES, TRUE_NODES, decided, known, true_nodes
from tests.circuits.models import one_batch, wired
from tests.circuits.models import pairs as random_pairs
from ulterior.capture import first_argument
from ulterior.circuits.forward import masked_run
from ulterior.circuits.graph import Units
from ulterior.circuits.judging.scrubbing import Hypothesis, scrub
from ulterior.circuits.mask import full_mask, mask_of, random_mask
from ulterior.circuits.metrics import logit_difference
from ulterior.circuits.streams import head_shares, record
from ulterior.errors import InputError
from ulterior.readouts import last_logits


def test_a_right_hypothesis_loses_nothing_and_a_wrong_one_does():
    given = decided(8)
    right = scrub(Hypothesis(true_nodes()), known().subject, given, logit_difference, draws=3)
    np.testing.assert_allclose(right.scrubbed, np.tile(right.whole, (3, 1)), atol=1e-5)
    assert right.error.value == pytest.approx(0, abs=1e-5)
    wrong = scrub(
        Hypothesis(mask_of(known().graph, NODES, TRUE_NODES[1:])), known().subject, given, logit_difference
    )
    assert wrong.error.value > 0.2


def test_what_is_said_to_be_the_same_for_all_may_be_exchanged_if_it_is():
    given = decided(8)
    # The first layer's idle heads write nothing, for whatever input: exchanging them changes nothing.
    idle = Hypothesis(true_nodes(), {"head.0.0": [0] * 8, "mlp.1": [0] * 8})
    kept = scrub(idle, known().subject, given, logit_difference, draws=2)
    assert kept.error.value == pytest.approx(0, abs=1e-5)
    # The embedding differs between examples: exchanging it among all loses the behaviour.
    lost = scrub(Hypothesis(true_nodes(), {"embed": [0] * 8}), known().subject, given, logit_difference)
    assert lost.error.value > 0.2
    # Classes of one example each exchange nothing.
    alone = scrub(
        Hypothesis(true_nodes(), {"embed": list("abcdefgh")}), known().subject, given, logit_difference
    )
    assert alone.error.value == pytest.approx(0, abs=1e-5)


def test_everything_resampled_together_is_the_model_on_another_example():
    given = decided(6)
    nothing = Hypothesis(full_mask(known().graph, EDGES, 0.0))
    found = scrub(nothing, known().subject, given, logit_difference, draws=4, together=True)
    batch = one_batch(known(), given)
    logits = last_logits(record(known(), batch.clean)[1], batch.clean)
    right, wrong = batch.answers[:, 0], batch.wrong[:, 0]
    of_others = (logits[:, right] - logits[:, wrong]).T.numpy()  # [example's own answers, other example]
    for draw in found.scrubbed:
        for row, value in enumerate(draw):
            assert np.abs(of_others[row] - value).min() < 1e-5


@pytest.mark.parametrize("family", ["llama", "gpt2", "gpt_neox"])
def test_exchange_in_one_run_is_the_recursive_definition_source_by_source(family):
    """Each source's output computed by itself from forced inputs, then exchanged, in the order of the stream."""
    of = wired(family)
    batch = one_batch(of, random_pairs(4, 5)).clean
    graph = of.graph
    nodes = random_mask(graph, NODES, 7, 1)
    generator = torch.Generator().manual_seed(0)
    exchanged = torch.randint(4, (4, len(graph.sources)), generator=generator)
    off = record(of, batch)[0]
    off = type(off)(off.sources[torch.tensor([2, 3, 0, 1])])
    ours = masked_run(of, batch, nodes.edges().values.double(), EDGES, off, exchanged=exchanged).logits

    none = full_mask(graph, EDGES, 0.0).values.double()
    forced = off.sources.clone()  # what every reader reads of each source
    on = nodes.values > 0
    for number in range(len(graph.sources)):
        made = outputs_of(of, batch, none, type(off)(forced.clone()))[:, :, number]
        if on[number]:
            forced[:, :, number] = made[exchanged[:, number]]
    theirs = masked_run(of, batch, none, EDGES, type(off)(forced)).logits
    torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-9)


def outputs_of(of, batch, values, ablated):
    """What each source adds in a run in which every destination reads ``ablated`` alone."""
    kept: list[torch.Tensor] = []
    hooks = [
        of.wiring.first.register_forward_pre_hook(
            lambda _, args, kwargs: kept.append(first_argument(args, kwargs)[:, :, None]), with_kwargs=True
        )
    ]
    for block in of.wiring.blocks:
        hooks.append(
            block.outward.register_forward_hook(
                lambda _, args, kwargs, out, block=block: kept.append(
                    head_shares(block, first_argument(args, kwargs), out, of.graph.n_heads)
                ),
                with_kwargs=True,
            )
        )
        hooks.append(block.mlp.register_forward_hook(lambda _, args, out: kept.append(out[:, :, None])))
    masked_run(of, batch, values, EDGES, ablated)
    for hook in hooks:
        hook.remove()
    return torch.cat(kept, 2)


def test_wrong_hypotheses_are_refused():
    given = decided(4)
    with pytest.raises(InputError, match=r"no node 'head\.9\.9'"):
        scrub(Hypothesis(true_nodes(), {"head.9.9": [0] * 4}), known().subject, given, logit_difference)
    with pytest.raises(InputError, match="one for each of the 4 pairs"):
        scrub(Hypothesis(true_nodes(), {"embed": [0]}), known().subject, given, logit_difference)
    with pytest.raises(InputError, match="another model"):
        scrub(Hypothesis(full_mask(wired("gpt2").graph, NODES)), known().subject, given, logit_difference)
    with pytest.raises(InputError, match="by position"):
        scrub(
            Hypothesis(full_mask(known().graph, Units("nodes", 6))), known().subject, given, logit_difference
        )
