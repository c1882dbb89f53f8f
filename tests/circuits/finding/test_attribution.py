from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from tests.circuits.exact import InDoubles
from tests.circuits.models import one_batch, pairs, wired
from tests.families import DECODERS, tiny
from ulterior.circuits.ablations import Constant, Resample, Zero, mean_of
from ulterior.circuits.finding import contraction
from ulterior.circuits.finding.attribution import EdgeAttribution, edge_scores, unit_scores
from ulterior.circuits.finding.integrated import IntegratedInputs
from ulterior.circuits.forward import masked_run
from ulterior.circuits.graph import Units
from ulterior.circuits.mask import full_mask, random_mask
from ulterior.circuits.metrics import accuracy, kl, logit_difference, probability, readout
from ulterior.circuits.pairs import Pairs
from ulterior.circuits.streams import Wired, record, wire
from ulterior.errors import InputError
from ulterior.readouts import CAUSAL, pooled_norm
from ulterior.subject import RowError, Subject
from ulterior.tokens import token_collate

EDGES, NODES, NEURONS = Units("edges"), Units("nodes"), Units("neurons")
CLOSE = {"rtol": 1e-6, "atol": 1e-9}


def slope_in_the_mask(of: Wired, batch, units: Units, ablation, metric=logit_difference) -> Tensor:
    """The slow reference: the derivative of the masked forward in the mask, where it is all on."""
    ablated = ablation(of, batch, neurons=units.grain == "neurons").detach()
    values = units.exists(of.graph).double().requires_grad_()
    output = masked_run(of, batch.clean, values, units, ablated, grad=True)
    return torch.autograd.grad(metric(output, batch, None).sum(), values)[0]


@pytest.mark.parametrize("family", DECODERS)
def test_the_attribution_of_every_edge_is_the_slope_of_the_masked_forward_in_its_mask(family):
    of = wired(family)
    batch = one_batch(of, pairs(3, 6, ragged=True))
    with InDoubles():
        for ablation in (Resample(), Zero(), mean_of(of, pairs(5))):
            slope = slope_in_the_mask(of, batch, EDGES, ablation)
            ours = edge_scores(of, batch, logit_difference, ablation)
            assert not ours[:, ~of.graph.valid].any()
            torch.testing.assert_close(ours.sum(0), slope, rtol=1e-6, atol=1e-9 * float(slope.abs().max()))


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt2", "gpt_neox", "codegen", "olmo2"])
def test_the_attribution_of_other_units_is_that_slope_as_well(family):
    of = wired(family)
    batch = one_batch(of, pairs(3, 6, ragged=True))
    with InDoubles():
        mean = mean_of(of, pairs(5), neurons=True)
        for units, ablation in (
            (NODES, Resample()),
            (NEURONS, Resample()),
            (Units("edges", 6), mean),
            (Units("nodes", 6), mean),
            (Units("neurons", 6), mean),
        ):
            slope = slope_in_the_mask(of, batch, units, ablation, probability)
            ours = unit_scores(of, batch, units, probability, ablation).sum(0)
            torch.testing.assert_close(ours, slope, rtol=1e-6, atol=1e-9 * float(slope.abs().max()))


def test_examples_of_a_finders_scores_are_averaged_by_sign_or_by_size():
    of = wired("llama")
    given = pairs(5, ragged=True)
    each = torch.cat(
        [edge_scores(of, batch, logit_difference) for batch in given.batches(of.subject, tokens=1)]
    )
    for reduce, expected in (("signed", each.mean(0)), ("absolute", each.abs().mean(0))):
        ours = EdgeAttribution(reduce=reduce)(of.subject, given, EDGES, logit_difference)
        torch.testing.assert_close(ours.values, expected.float(), rtol=1e-5, atol=1e-8)


def test_neither_batches_nor_padding_nor_order_change_scores():
    of = wired("mistral")
    given = pairs(6, ragged=True)
    turned = given.take([3, 1, 5, 0, 2, 4])
    for units in (EDGES, Units("nodes", 7)):
        whole = EdgeAttribution(tokens=10**6)(of.subject, given, units, logit_difference).values
        for other, tokens in ((given, 1), (turned, 20)):
            ours = EdgeAttribution(tokens=tokens)(of.subject, other, units, logit_difference).values
            torch.testing.assert_close(ours, whole, rtol=1e-5, atol=1e-7)


def padded_on_the_left(family: str, dtype: torch.dtype) -> Wired:
    model = copy.deepcopy(tiny(family)).to(dtype)
    collate = token_collate(model, padding="left")
    options = {"use_cache": False}
    return wire(Subject.of(model, encode=lambda _: [], collate=collate, readouts=CAUSAL, options=options))


def test_padding_on_the_left_changes_no_score():
    of, given = padded_on_the_left("gemma2", torch.float32), pairs(3, ragged=True)
    for units in (EDGES, NODES):
        alone, together = (
            EdgeAttribution(tokens=tokens)(of.subject, given, units, logit_difference).values
            for tokens in (1, 10**6)
        )
        torch.testing.assert_close(together, alone, rtol=1e-3, atol=1e-5)


def test_rows_for_which_the_model_itself_gives_no_numbers_are_named():
    # In double precision, Gemma 2's softmax, which is in single, leaves no weight at all to a row of padding.
    of, given = padded_on_the_left("gemma2", torch.float64), pairs(4, ragged=True)
    for finder in (EdgeAttribution(), IntegratedInputs()):
        with pytest.raises(RowError, match=r"rows 1, 2 .*NaN or infinite on these pairs"):
            finder(of.subject, given, EDGES, logit_difference)


def test_scores_by_position_add_up_to_those_of_all_positions():
    of = wired("gpt2")
    given = pairs(4, ragged=True)
    for grain in ("edges", "nodes", "neurons"):
        by_position = EdgeAttribution()(of.subject, given, Units(grain, 9), logit_difference).values
        whole = EdgeAttribution()(of.subject, given, Units(grain), logit_difference).values
        torch.testing.assert_close(by_position.sum(0), whole, rtol=1e-4, atol=1e-7)
        assert not by_position[7:].any()


def test_the_edges_out_of_a_node_add_up_to_the_node():
    of = wired("gpt_neox")
    batch = one_batch(of, pairs())
    nodes = unit_scores(of, batch, NODES, logit_difference, Resample())
    torch.testing.assert_close(edge_scores(of, batch, logit_difference).sum(-1), nodes, **CLOSE)


def test_a_few_tokens_at_a_time_give_what_all_give_together(monkeypatch):
    of = wired("gemma3")
    batch = one_batch(of, pairs(3, ragged=True))
    constant = mean_of(of, pairs(3, length=7), by_position=True)
    for ablation in (Resample(), constant):
        monkeypatch.setattr(contraction, "ELEMENTS", 2**24)
        whole = edge_scores(of, batch, logit_difference, ablation)
        for tokens in (1, 3, 8):
            monkeypatch.setattr(contraction, "ELEMENTS", tokens * 32 * (11 + 8) + 1)
            ours = edge_scores(of, batch, logit_difference, ablation)
            torch.testing.assert_close(ours, whole, **CLOSE)


def test_an_ablation_that_stands_in_by_hand_is_the_same_as_by_name():
    of = wired("llama")
    batch = one_batch(of, pairs(4, ragged=True))
    streams, _ = record(of, batch.corrupted)
    by_hand = edge_scores(of, batch, logit_difference, Constant(streams))
    torch.testing.assert_close(by_hand, edge_scores(of, batch, logit_difference), **CLOSE)


def test_chosen_edges_come_in_the_order_of_their_names():
    of = wired("llama")
    batch = one_batch(of, pairs())
    mask = random_mask(of.graph, EDGES, 17)
    ours = edge_scores(of, batch, logit_difference, only=mask)
    whole = edge_scores(of, batch, logit_difference)
    places = [of.graph.place(name) for name in mask.kept]
    assert torch.equal(ours, torch.stack([whole[:, row, column] for row, column in places], 1))


class _Fixed(nn.Module):
    """Attends to all tokens before alike, whatever the queries and keys are."""

    def forward(self, x: Tensor) -> Tensor:
        return x * 0


def test_in_a_linear_model_attributions_are_the_effects_of_patching():
    model = copy.deepcopy(tiny("gpt2")).double()
    for block in model.transformer.h:
        block.ln_1, block.ln_2, block.mlp.act = nn.Identity(), nn.Identity(), nn.Identity()
        block.attn.c_attn.weight.data[:, :64] = 0  # queries and keys are constants
    model.transformer.ln_f = nn.Identity()
    subject = Subject.of(
        model,
        encode=lambda _: [],
        collate=token_collate(model),
        readouts=CAUSAL,
        options={"use_cache": False},
    )
    given = pairs(2, 5)
    of = wire(subject)
    batch = one_batch(of, given)
    ablated = Resample()(of, batch)
    with InDoubles():
        scores = edge_scores(of, batch, logit_difference)
        whole = full_mask(of.graph, EDGES).values.double()
        before = logit_difference(masked_run(of, batch.clean, whole, EDGES, ablated), batch)
        for row, column in of.graph.valid.nonzero()[::23].tolist():
            without = whole.clone()
            without[row, column] = 0
            after = logit_difference(masked_run(of, batch.clean, without, EDGES, ablated), batch)
            torch.testing.assert_close(scores[:, row, column], before - after, rtol=1e-6, atol=1e-10)


def test_the_model_is_left_as_it_was():
    of = wired("gpt2")
    batch = one_batch(of, pairs())
    flags = [parameter.requires_grad for parameter in of.subject.model.parameters()]
    hooks = [
        len(module._forward_hooks) + len(module._forward_pre_hooks) for module in of.subject.model.modules()
    ]
    edge_scores(of, batch, logit_difference)
    with pytest.raises(InputError):
        edge_scores(of, batch, accuracy)
    assert [parameter.requires_grad for parameter in of.subject.model.parameters()] == flags
    assert hooks == [
        len(module._forward_hooks) + len(module._forward_pre_hooks) for module in of.subject.model.modules()
    ]


def test_metrics_that_teach_nothing_are_refused_with_what_would_be_right():
    of = wired("llama")
    given = pairs()
    with pytest.raises(InputError, match="no gradient"):
        EdgeAttribution()(of.subject, given, EDGES, accuracy)
    with pytest.raises(InputError, match="flat"):
        EdgeAttribution()(of.subject, given, EDGES, kl)
    with pytest.raises(InputError, match="one number an example"):
        EdgeAttribution()(of.subject, given, EDGES, lambda output, *_: output.logits.sum())
    same = Pairs(given.clean, given.clean, given.answers, given.wrong)
    with pytest.raises(InputError, match="are the corrupted examples the clean ones"):
        EdgeAttribution()(of.subject, same, EDGES, logit_difference)
    with pytest.raises(InputError, match="an example has 7"):
        EdgeAttribution()(of.subject, given, Units("nodes", 4), logit_difference)
    other = replace(random_mask(of.graph, EDGES, 3), graph=replace(of.graph))
    edge_scores(of, one_batch(of, given), logit_difference, only=other)
    with pytest.raises(InputError, match="not over the edges"):
        edge_scores(of, one_batch(of, given), logit_difference, only=random_mask(of.graph, NODES, 3))


def test_a_model_without_a_head_is_attributed_by_a_readout_of_its_states():
    model = copy.deepcopy(tiny("llama", "states")).double()
    of = wire(replace(wired("llama").subject, model=model, collate=token_collate(model)))
    batch = one_batch(of, pairs(3, 6))
    metric = readout(pooled_norm)
    with InDoubles():
        slope = slope_in_the_mask(of, batch, EDGES, Resample(), metric)
        ours = edge_scores(of, batch, metric).sum(0)
    torch.testing.assert_close(ours, slope, rtol=1e-6, atol=1e-9 * float(slope.abs().max()))


def test_half_precision_is_warned_of_and_summed_in_float32():
    model = copy.deepcopy(tiny("llama"))
    subject = wired("llama").subject
    exact = EdgeAttribution()(subject, pairs(), EDGES, logit_difference).values
    rounded = replace(subject, model=model.to(torch.bfloat16), collate=token_collate(model))
    with pytest.warns(UserWarning, match="bfloat16"):
        ours = EdgeAttribution()(rounded, pairs(), EDGES, logit_difference).values
    assert float(torch.corrcoef(torch.stack([ours.flatten(), exact.flatten()]))[0, 1]) > 0.99
