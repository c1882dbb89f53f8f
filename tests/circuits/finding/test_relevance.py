from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM

from tests.circuits.exact import InDoubles
from tests.circuits.models import one_batch, pairs, wired
from tests.families import DECODERS, SHARED, SIZE
from ulterior.circuits import streams
from ulterior.circuits.ablations import Resample, Zero
from ulterior.circuits.finding.attribution import edge_scores, unit_scores
from ulterior.circuits.finding.relevance import RelevancePatching, relevance_rules
from ulterior.circuits.forward import masked_run
from ulterior.circuits.graph import Units
from ulterior.circuits.metrics import kl, logit_difference
from ulterior.circuits.streams import run_model, wire
from ulterior.circuits.wiring import gain
from ulterior.errors import InputError
from ulterior.readouts import CAUSAL
from ulterior.subject import Subject
from ulterior.tokens import token_collate

EDGES, NODES = Units("edges"), Units("nodes")
loose = partial(relevance_rules, fixed_attention=False)


@pytest.mark.parametrize("family", DECODERS)
def test_relevance_of_every_edge_is_the_slope_of_the_masked_forward_under_the_rules(family, monkeypatch):
    # The masked forward tells heads apart behind a norm without running that norm, whose scale is then held here.
    monkeypatch.setattr(streams, "gain", lambda norm, x: gain(norm, x.detach()))
    of = wired(family)
    batch = one_batch(of, pairs(2, 5, ragged=True))
    with InDoubles():
        values = of.graph.valid.double().requires_grad_()
        ablated = Resample()(of, batch).detach()
        with loose(of):
            output = masked_run(of, batch.clean, values, EDGES, ablated, grad=True)
        (slope,) = torch.autograd.grad(logit_difference(output, batch).sum(), values)
        ours = unit_scores(of, batch, EDGES, logit_difference, Resample(), rules=loose).sum(0)
    torch.testing.assert_close(ours, slope, rtol=1e-6, atol=1e-9 * float(slope.abs().max()))


@pytest.mark.parametrize("family", ["mistral", "qwen3", "gemma", "gemma3", "olmo2", "phi3", "smollm3"])
def test_without_biases_every_cut_through_the_model_gets_the_whole_metric(family):
    of = wired(family)
    batch = one_batch(of, pairs(3, 6, ragged=True))
    with InDoubles():
        metric = logit_difference(run_model(of.subject, batch.clean), batch)
        edges = unit_scores(of, batch, EDGES, logit_difference, Zero(), rules=relevance_rules)
        nodes = unit_scores(of, batch, NODES, logit_difference, Zero(), rules=relevance_rules)
    close = {"rtol": 1e-8, "atol": 1e-9}
    torch.testing.assert_close(edges.sum(-1), nodes, **close)
    torch.testing.assert_close(edges[:, :, -1].sum(1), metric, **close)  # in front of the logits
    torch.testing.assert_close(nodes[:, 0], metric, **close)  # behind the embedding
    # Between the blocks: what sources before it give to readers behind it.
    first = of.graph.rows(1, "heads").start
    across = edges[:, :first, of.graph.columns(1, "q").start :].sum((1, 2))
    torch.testing.assert_close(across, metric, **close)


@pytest.mark.parametrize("family", ["llama", "gpt2", "codegen"])
def test_fixed_probabilities_give_nothing_to_queries_and_keys_and_outputs_stay_the_same(family):
    of = wired(family)
    batch = one_batch(of, pairs(3, 6))
    scores = unit_scores(of, batch, EDGES, logit_difference, Resample(), rules=relevance_rules)
    for layer in range(of.graph.n_layers):
        for part in "qk":
            assert not scores[:, :, of.graph.columns(layer, part)].any()
        assert scores[:, :1, of.graph.columns(layer, "v")].all()
    plain = run_model(of.subject, batch.clean).logits
    with relevance_rules(of):
        assert torch.equal(run_model(of.subject, batch.clean).logits, plain)
    assert torch.equal(run_model(of.subject, batch.clean).logits, plain)


def test_the_rules_are_those_of_a_model_written_by_hand():
    """One gated feed-forward layer behind a root-mean-square norm, with each rule as its formula says."""
    of = wired("mistral")
    mlp, norm = of.wiring.blocks[1].mlp, of.wiring.blocks[1].mlp_norm
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(4, 32, generator=generator).double()
    slope = torch.randn(4, 32, generator=generator).double()
    with InDoubles(), relevance_rules(of):
        leaf = x.clone().requires_grad_()
        (ours,) = torch.autograd.grad((mlp(norm(leaf)) * slope).sum(), leaf)
    scale = (x.pow(2).mean(1, keepdim=True) + norm.variance_epsilon).rsqrt()
    normed = x * scale * norm.weight
    gate, up = normed @ mlp.gate_proj.weight.T, normed @ mlp.up_proj.weight.T
    behind = slope @ mlp.down_proj.weight / 2
    at_gate = behind * up * nn.functional.silu(gate) / gate
    at_up = behind * nn.functional.silu(gate)
    by_hand = (at_gate @ mlp.gate_proj.weight + at_up @ mlp.up_proj.weight) * norm.weight * scale
    torch.testing.assert_close(ours, by_hand, rtol=1e-9, atol=1e-12)


def test_every_edge_of_a_model_of_one_layer_is_what_the_rules_give_by_hand():
    torch.manual_seed(0)
    shape = {**SIZE, **SHARED, "num_hidden_layers": 1, "num_key_value_heads": 4}
    model = LlamaForCausalLM(LlamaConfig(**shape, attn_implementation="eager")).eval().double()
    subject = Subject.of(
        model,
        encode=lambda _: [],
        collate=token_collate(model),
        readouts=CAUSAL,
        options={"use_cache": False},
    )
    of, given = wire(subject), pairs(2, 6).take([0])
    batch, block = one_batch(of, given), model.model.layers[0]
    mlp, n_heads, width = block.mlp, 4, 8

    def rms(norm: nn.Module, x: Tensor) -> Tensor:
        """What the norm multiplies its input by."""
        return (x.pow(2).mean(-1, keepdim=True) + norm.variance_epsilon).rsqrt() * norm.weight

    def added(ids: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The embedding ``[s, d]``, the heads' shares ``[h, s, d]``, the layer's MLP ``[s, d]``, and probabilities."""
        pattern = model(input_ids=ids, output_attentions=True, use_cache=False).attentions[0][0]
        x = model.model.embed_tokens(ids)[0]
        v = block.self_attn.v_proj(x * rms(block.input_layernorm, x)).unflatten(1, (n_heads, width))
        outward = block.self_attn.o_proj.weight.unflatten(1, (n_heads, width))
        shares = torch.einsum("hqk,khe,dhe->hqd", pattern, v, outward)
        behind = x + shares.sum(0)
        return x, shares, mlp(behind * rms(block.post_attention_layernorm, behind)), pattern

    with torch.no_grad(), InDoubles():
        x, shares, fed, pattern = added(batch.clean.inputs["input_ids"])
        other = added(batch.corrupted.inputs["input_ids"])
        at_logits = torch.zeros_like(x)
        last = x[-1] + shares[:, -1].sum(0) + fed[-1]
        right, wrong = int(batch.answers), int(batch.wrong)
        at_logits[-1] = (model.lm_head.weight[right] - model.lm_head.weight[wrong]) * rms(
            model.model.norm, last
        )
        middle = x + shares.sum(0)
        front = middle * rms(block.post_attention_layernorm, middle)
        gate, up = front @ mlp.gate_proj.weight.T, front @ mlp.up_proj.weight.T
        half = at_logits @ mlp.down_proj.weight / 2
        through = half * nn.functional.silu(gate)
        at_mlp = (through / gate * up) @ mlp.gate_proj.weight + through @ mlp.up_proj.weight
        at_mlp = at_mlp * rms(block.post_attention_layernorm, middle)
        outward = block.self_attn.o_proj.weight.unflatten(1, (n_heads, width))
        inward = block.self_attn.v_proj.weight.unflatten(0, (n_heads, width))
        at_values = torch.einsum("hqk,qd,dhe,hef->hkf", pattern, at_logits + at_mlp, outward, inward)
        at_values = at_values * rms(block.input_layernorm, x)
    with InDoubles():
        ours = RelevancePatching()(subject, given, EDGES, logit_difference).as_dict()
    changes = {
        "embed": x - other[0],
        **{f"head.0.{head}": shares[head] - other[1][head] for head in range(n_heads)},
        "mlp.0": fed - other[2],
    }
    readers = {
        "logits": at_logits,
        "mlp.0": at_mlp,
        **{f"head.0.{head}.v": at_values[head] for head in range(n_heads)},
    }
    for edge, score in ours.items():
        source, destination = edge.split("->")
        # Queries and keys get nothing, since probabilities are constants.
        slope = readers.get(destination, torch.zeros_like(x))
        assert score == pytest.approx(float((changes[source] * slope).sum()), rel=1e-4, abs=1e-7), edge
    assert max(map(abs, ours.values())) > 1e-3


def test_a_model_without_the_parts_for_the_rules_is_refused_with_what_is_missing():
    of = wired("gpt2")

    with pytest.raises(InputError, match="flat"):
        RelevancePatching()(of.subject, pairs(), EDGES, kl)
    act = of.wiring.blocks[0].mlp.act
    try:
        of.wiring.blocks[0].mlp.act = None
        with pytest.raises(InputError, match="no rule for GPT2MLP"), relevance_rules(of):
            pass
    finally:
        of.wiring.blocks[0].mlp.act = act


def test_the_finder_is_the_mean_of_its_examples():
    of = wired("gpt2")
    given = pairs(3, 6)
    ours = RelevancePatching()(of.subject, given, EDGES, logit_difference)
    each = unit_scores(of, one_batch(of, given), EDGES, logit_difference, Resample(), rules=relevance_rules)
    torch.testing.assert_close(ours.values, each.mean(0).float(), rtol=1e-5, atol=1e-8)
    assert not torch.allclose(each, edge_scores(of, one_batch(of, given), logit_difference))
