from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.circuits.models import one_batch, pairs, wired
from tests.families import DECODERS
from ulterior.circuits.ablations import Resample, Zero, mean_of
from ulterior.circuits.forward import masked_run
from ulterior.circuits.graph import Units
from ulterior.circuits.mask import full_mask, mask_of, random_mask
from ulterior.circuits.streams import Streams, Wired, record, run_model
from ulterior.errors import InputError
from ulterior.readouts import last_logits

EDGES, NODES, NEURONS = Units("edges"), Units("nodes"), Units("neurons")
CLOSE = {"rtol": 1e-9, "atol": 1e-10}
# These norm behind a sublayer, in float32 whatever the model's format: shares are exact to that precision.
ROUNDED = {"rtol": 1e-4, "atol": 1e-5}


def close(family: str) -> dict[str, float]:
    return ROUNDED if family in ("gemma2", "gemma3", "olmo2") else CLOSE


def logits(of: Wired, batch, values: Tensor, units: Units, ablated: Streams, **how) -> Tensor:
    return masked_run(of, batch, values.double(), units, ablated, **how).logits


@pytest.mark.parametrize("family", DECODERS)
def test_the_whole_mask_is_the_model_and_the_empty_mask_the_ablated_model(family):
    of = wired(family)
    batch = one_batch(of, pairs(ragged=True))
    ablated = Resample()(of, batch, neurons=True)
    clean, corrupted = (run_model(of.subject, side).logits for side in (batch.clean, batch.corrupted))
    real = batch.clean.mask
    for units in (EDGES, NODES, NEURONS):
        on = logits(of, batch.clean, full_mask(of.graph, units).values, units, ablated)
        off = logits(of, batch.clean, full_mask(of.graph, units, 0.0).values, units, ablated)
        torch.testing.assert_close(on[real], clean[real], **close(family))
        torch.testing.assert_close(off[real], corrupted[real], **close(family))


@pytest.mark.parametrize("family", DECODERS)
def test_one_edge_off_is_a_patch_by_hand(family):
    of = wired(family)
    batch = one_batch(of, pairs())
    ablated = Resample()(of, batch)
    streams, _ = record(of, batch.clean)
    graph = of.graph
    last = graph.n_layers - 1
    for edge in (
        "embed->head.0.1.q",
        f"head.0.2->head.{last}.1.k",
        f"mlp.0->head.{last}.0.v",
        f"embed->mlp.{last}",
        f"head.{last}.3->logits",
    ):
        mask = full_mask(graph, EDGES).without([edge])
        ours = logits(of, batch.clean, mask.values, EDGES, ablated)
        row, column = graph.place(edge)
        change = (ablated.sources - streams.sources)[:, :, row]
        torch.testing.assert_close(
            ours, by_hand(of, batch, graph.destinations[column], change), **close(family)
        )


def by_hand(of: Wired, batch, destination: str, change: Tensor) -> Tensor:
    """The model with a change of what one destination reads, and of nothing else, by hooks on the whole module."""
    model, wiring = of.subject.model, of.wiring
    kind, *where = destination.split(".")
    if kind == "logits":
        hook = wiring.final.register_forward_pre_hook(lambda _, args: (args[0] + change, *args[1:]))
    elif kind == "mlp":
        block = wiring.blocks[int(where[0])]
        entered = front_of(of, batch, int(where[0]), "mlp")
        hook = block.mlp.register_forward_pre_hook(lambda _, args: (block.mlp_norm(entered + change),))
    else:
        layer, head, part = int(where[0]), int(where[1]), where[2]
        block = wiring.blocks[layer]
        (projection,) = [one for one in block.projections if part in one.rows]
        own = projection.rows[part][head]
        entered = front_of(of, batch, layer, "attn")
        with torch.no_grad():
            moved = projection.module.forward(block.norm(entered + change))

        def put(_, args, output):
            output = output.clone()
            output[..., own] = moved[..., own]
            return output

        hook = projection.module.register_forward_hook(put)
    try:
        with torch.no_grad():
            return model(**batch.clean.inputs, use_cache=False).logits
    finally:
        hook.remove()


def front_of(of: Wired, batch, layer: int, part: str) -> Tensor:
    """The stream in front of a block's attention or feed-forward layer, from the model's own modules."""
    block, kept = of.wiring.blocks[layer], {}
    from ulterior.architectures import find_anatomy

    whole = find_anatomy(of.subject.model).blocks[layer]
    hooks = [
        whole.register_forward_pre_hook(
            lambda _, args, kwargs: kept.update(x=args[0] if args else kwargs["hidden_states"]),
            with_kwargs=True,
        ),
        (block.after or block.outward).register_forward_hook(
            lambda _, args, output: kept.update(added=output)
        ),
    ]
    with torch.no_grad():
        of.subject.model(**batch.clean.inputs, use_cache=False)
    for hook in hooks:
        hook.remove()
    return kept["x"] if part == "attn" or block.parallel else kept["x"] + kept["added"]


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt2", "gpt_neox", "codegen"])
def test_a_mask_of_nodes_is_the_mask_of_edges_that_it_implies(family):
    of = wired(family)
    batch = one_batch(of, pairs(ragged=True))
    generator = torch.Generator().manual_seed(1)
    for ablated in (Resample()(of, batch), Zero()(of, batch), mean_of(of, pairs(9))(of, batch)):
        mask = full_mask(of.graph, NODES)
        values = torch.rand(mask.values.shape, generator=generator)
        ours = logits(of, batch.clean, values, NODES, ablated)
        theirs = logits(of, batch.clean, values[:, None] * of.graph.valid, EDGES, ablated)
        torch.testing.assert_close(ours[batch.clean.mask], theirs[batch.clean.mask], **close(family))


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt2", "gpt_neox", "codegen"])
def test_all_neurons_of_a_layer_off_is_its_node_off(family):
    of = wired(family)
    batch = one_batch(of, pairs())
    ablated = Resample()(of, batch, neurons=True)
    node = full_mask(of.graph, NODES).without(["mlp.1", "head.0.2"])
    cells = [f"neuron.1.{number}" for number in range(of.graph.n_neurons)]
    neurons = full_mask(of.graph, NEURONS).without([*cells, "head.0.2"])
    torch.testing.assert_close(
        logits(of, batch.clean, neurons.values, NEURONS, ablated),
        logits(of, batch.clean, node.values, NODES, ablated),
        **close(family),
    )


@pytest.mark.parametrize("units", [EDGES, NODES, NEURONS], ids=lambda units: units.grain)
@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt2", "gpt_neox", "codegen"])
def test_gradients_in_the_mask_are_finite_differences(family, units):
    of = wired(family)
    batch = one_batch(of, pairs(2, 5))
    ablated = Resample()(of, batch, neurons=True).detach()
    exists = units.exists(of.graph)
    generator = torch.Generator().manual_seed(2)
    values = (torch.rand(exists.shape, generator=generator).double() * exists).requires_grad_()

    def value(at: Tensor, grad: bool = False) -> Tensor:
        return (
            last_logits(masked_run(of, batch.clean, at, units, ablated, grad=grad), batch.clean)
            .double()[:, 5]
            .sum()
        )

    (gradient,) = torch.autograd.grad(value(values, grad=True), values)
    assert not gradient[~exists].any()
    direction = torch.randn(exists.shape, generator=generator).double() * exists
    step = 1e-3
    ahead, behind = (value(values.detach() + sign * step * direction) for sign in (1, -1))
    slope = (ahead - behind) / (2 * step)
    # The readout is rounded to float32.
    torch.testing.assert_close((gradient * direction).sum(), slope, rtol=2e-3, atol=2e-3)


def test_masks_by_example_and_by_position_are_what_they_say():
    of = wired("llama")
    batch = one_batch(of, pairs(3, 6))
    ablated = Resample()(of, batch)
    masks = [random_mask(of.graph, EDGES, 60, seed).values for seed in range(3)]
    together = logits(of, batch.clean, torch.stack(masks), EDGES, ablated)
    for row, mask in enumerate(masks):
        alone = logits(of, batch.clean, mask, EDGES, ablated)[row]
        torch.testing.assert_close(together[row], alone, **CLOSE)
    everywhere = masks[0].expand(9, *masks[0].shape)
    torch.testing.assert_close(
        logits(of, batch.clean, everywhere, Units("edges", 9), ablated),
        logits(of, batch.clean, masks[0], EDGES, ablated),
        **CLOSE,
    )


def test_a_unit_off_at_one_position_changes_nothing_before_it():
    of = wired("llama")
    batch = one_batch(of, pairs(3, 6))
    ablated = Resample()(of, batch)
    units = Units("nodes", 6)
    mask = full_mask(of.graph, units).without(["mlp.0@3"])
    ours = logits(of, batch.clean, mask.values, units, ablated)
    whole = run_model(of.subject, batch.clean).logits
    torch.testing.assert_close(ours[:, :3], whole[:, :3], **CLOSE)
    assert not torch.allclose(ours[:, 3:], whole[:, 3:])


def test_the_model_is_left_as_it_was():
    of = wired("gpt2")
    batch = one_batch(of, pairs())
    before = run_model(of.subject, batch.clean).logits
    flags = [parameter.requires_grad for parameter in of.subject.model.parameters()]
    logits(of, batch.clean, random_mask(of.graph, EDGES, 9).values, EDGES, Resample()(of, batch), grad=True)
    assert [parameter.requires_grad for parameter in of.subject.model.parameters()] == flags
    assert torch.equal(run_model(of.subject, batch.clean).logits, before)


def test_wrong_masks_are_refused_with_what_would_be_right():
    of = wired("llama")
    batch = one_batch(of, pairs(3, 6))
    ablated = Resample()(of, batch)
    with pytest.raises(InputError, match="expected"):
        masked_run(of, batch.clean, torch.ones(3), EDGES, ablated)
    short = Units("nodes", 4)
    with pytest.raises(InputError, match="knows 4 positions, an example has 6"):
        masked_run(of, batch.clean, full_mask(of.graph, short).values, short, ablated)
    with pytest.raises(InputError, match="ablation of neurons"):
        masked_run(of, batch.clean, full_mask(of.graph, NEURONS).values, NEURONS, ablated)
    with pytest.raises(InputError, match=r"no edges named 'mlp.1->mlp.0'"):
        mask_of(of.graph, EDGES, ["mlp.1->mlp.0"])
