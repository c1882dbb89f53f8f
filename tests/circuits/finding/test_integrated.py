from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.circuits.exact import InDoubles
from tests.circuits.models import one_batch, pairs, wired
from ulterior.capture import with_first_argument
from ulterior.circuits.ablations import Resample, Zero
from ulterior.circuits.finding.attribution import unit_scores
from ulterior.circuits.finding.integrated import (
    IntegratedActivations,
    IntegratedInputs,
    activation_scores,
    input_scores,
)
from ulterior.circuits.forward import masked_run
from ulterior.circuits.graph import Units
from ulterior.circuits.mask import full_mask
from ulterior.circuits.metrics import kl, logit_difference
from ulterior.circuits.streams import Streams, Wired, record, run_model
from ulterior.errors import InputError

SLOW = [pytest.param(family, marks=pytest.mark.slow) for family in ("gemma2", "gpt2", "codegen")]
EDGES, NODES, NEURONS = Units("edges"), Units("nodes"), Units("neurons")


def middles(steps: int) -> tuple[float, ...]:
    return tuple((step + 0.5) / steps for step in range(steps))


def effect_of(of: Wired, batch, names: list[str]) -> Tensor:
    """How much less the metric is with some nodes off."""
    mask = full_mask(of.graph, NODES).without(names).values.double()
    return whole(of, batch) - logit_difference(
        masked_run(of, batch.clean, mask, NODES, Resample()(of, batch)), batch
    )


def whole(of: Wired, batch) -> Tensor:
    return logit_difference(run_model(of.subject, batch.clean), batch)


@pytest.mark.parametrize("family", ["llama", *SLOW])
def test_over_inputs_the_embedding_gets_the_whole_change_of_the_metric(family):
    of = wired(family)
    batch = one_batch(of, pairs(2, 5, ragged=True))
    errors = []
    with InDoubles():
        change = whole(of, batch) - logit_difference(run_model(of.subject, batch.corrupted), batch)
        for steps in (3, 12):
            nodes = input_scores(of, batch, NODES, logit_difference, Resample(), middles(steps))
            errors.append(float((nodes[:, 0] - change).abs().max() / change.abs().max()))
        two = [
            input_scores(of, batch, units, logit_difference, Resample(), (0.4,)) for units in (EDGES, NODES)
        ]
    torch.testing.assert_close(two[0].sum(-1), two[1], rtol=1e-8, atol=1e-10)
    assert errors[1] < 5e-3
    assert errors[1] < errors[0] / 5  # the error of the middle rule falls with the square of the steps


@pytest.mark.slow
@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_over_inputs_an_edge_gets_the_mean_effect_of_finite_patches_of_it_along_the_way(family):
    """By forward passes alone: what one edge carries is moved a little either way, with the embedding on its way."""
    of, little = wired(family), 1e-4
    edges, given = of.graph.edges, pairs(2, 5).take([0])
    batch = one_batch(of, given.take([0] * len(edges)))  # an edge an example
    moved = torch.zeros(len(edges), *of.graph.valid.shape, dtype=torch.float64)
    for row, edge in enumerate(edges):
        moved[(row, *of.graph.place(edge))] = little
    slopes, kept = torch.zeros(len(edges), dtype=torch.float64), of.graph.valid.double()
    with InDoubles():
        clean, corrupted = (record(of, side)[0].sources for side in (batch.clean, batch.corrupted))
        change = clean - corrupted
        for gone in middles(3):
            entered = corrupted[:, :, 0] + gone * change[:, :, 0]
            hook = of.wiring.first.register_forward_pre_hook(
                lambda module, args, kwargs, x=entered: with_first_argument(args, kwargs, x), with_kwargs=True
            )
            try:
                # Kept to 1 + h, a source counts as what it is here and h times its change more.
                away = Streams(record(of, batch.clean)[0].sources - change)
                above, below = (
                    logit_difference(masked_run(of, batch.clean, mask, EDGES, away), batch)
                    for mask in (kept + moved, kept - moved)
                )
            finally:
                hook.remove()
            slopes += (above - below) / (2 * little) / 3
        ours = IntegratedInputs(steps=3)(of.subject, given, EDGES, logit_difference).as_dict()
    found = torch.tensor([ours[edge] for edge in edges], dtype=torch.float64)
    torch.testing.assert_close(found, slopes, rtol=1e-4, atol=1e-6)
    assert float(found.abs().max()) > 1e-2


@pytest.mark.parametrize("family", ["gpt_neox", *SLOW])
def test_over_activations_a_layers_units_get_the_effect_of_ablating_that_layer(family):
    of = wired(family)
    batch = one_batch(of, pairs(2, 5, ragged=True))
    layers = [["embed"], [f"head.0.{head}" for head in range(4)], ["mlp.0"], ["mlp.1"]]
    errors = []
    with InDoubles():
        effects = torch.stack([effect_of(of, batch, names) for names in layers], 1)
        for steps in (2, 8):
            nodes = activation_scores(of, batch, NODES, logit_difference, Resample(), middles(steps))
            ours = torch.stack(
                [nodes[:, [of.graph.source(name) for name in names]].sum(1) for names in layers], 1
            )
            errors.append(float((ours - effects).abs().max() / effects.abs().max()))
    assert errors[1] < 2e-2
    assert errors[1] < errors[0] / 6


@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_over_activations_edges_and_neurons_add_up_to_nodes(family):
    of = wired(family)
    batch = one_batch(of, pairs(2, 5, ragged=True))
    with InDoubles():
        edges, nodes, neurons = (
            activation_scores(of, batch, units, logit_difference, Resample(), (0.3,))
            for units in (EDGES, NODES, NEURONS)
        )
    torch.testing.assert_close(edges.sum(-1), nodes, rtol=1e-8, atol=1e-10)
    cells = neurons[:, of.graph.neuron_rows(1, "neurons")].sum(1)
    # What a feed-forward layer's neurons do not own, its bias, is the same in both runs.
    torch.testing.assert_close(cells, nodes[:, of.graph.source("mlp.1")], rtol=1e-8, atol=1e-10)


def test_at_the_clean_end_of_the_way_both_are_plain_attribution():
    of = wired("llama")
    batch = one_batch(of, pairs(3, 6))
    plain = unit_scores(of, batch, EDGES, logit_difference, Resample())
    for scores in (input_scores, activation_scores):
        ours = scores(of, batch, EDGES, logit_difference, Resample(), (1.0,))
        torch.testing.assert_close(ours, plain, rtol=1e-6, atol=1e-9)


def test_pooled_gradients_are_the_mean_of_those_with_each_layer_held():
    of = wired("llama")
    batch = one_batch(of, pairs(3, 6))
    ablated = Resample()(of, batch)
    slopes = []
    blocks = of.wiring.blocks
    for held in (None, *(block.outward for block in blocks), *(block.mlp for block in blocks)):
        values = of.graph.valid.double().requires_grad_()
        hook = held and held.register_forward_pre_hook(lambda _, args: (args[0].detach(),))
        if held in [block.mlp for block in blocks]:
            hook.remove()
            hook = held.register_forward_hook(lambda _, args, output: output.detach())
        output = masked_run(of, batch.clean, values, EDGES, ablated, grad=True)
        slopes.append(torch.autograd.grad(logit_difference(output, batch).sum(), values)[0])
        if hook:
            hook.remove()
    ours = activation_scores(of, batch, EDGES, logit_difference, Resample(), (1.0,), pooled=True).sum(0)
    torch.testing.assert_close(ours, torch.stack(slopes).mean(0), rtol=1e-5, atol=1e-8)


def test_steps_are_points_on_the_way_and_divergences_have_gradients_there():
    of = wired("gpt2")
    given = pairs(3, 6)
    batch = one_batch(of, given)
    left = IntegratedInputs(steps=2, rule="left")(of.subject, given, EDGES, logit_difference)
    expected = input_scores(of, batch, EDGES, logit_difference, Resample(), (0.0, 0.5)).mean(0)
    torch.testing.assert_close(left.values, expected.float(), rtol=1e-5, atol=1e-8)
    right = IntegratedActivations(steps=1, rule="right", ablation=Zero())(
        of.subject, given, NODES, logit_difference
    )
    expected = unit_scores(of, batch, NODES, logit_difference, Zero()).mean(0)
    torch.testing.assert_close(right.values, expected.float(), rtol=1e-5, atol=1e-8)
    divergence = IntegratedInputs()(of.subject, given, Units("nodes", 6), kl)
    assert float(divergence.values[:, 0].sum()) > 0  # what keeps the model as it is
    with pytest.raises(InputError, match="at least one"):
        IntegratedInputs(steps=0)(of.subject, given, EDGES, logit_difference)
