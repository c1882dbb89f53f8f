"""The attribution of all edges beside the public package auto-circuit, on the same weights: differences and time.

Run it in an environment of its own that has this package, auto-circuit and transformer-lens<3 (later ones lack what
auto-circuit imports), with one thread (``OMP_NUM_THREADS=1``). A random
TransformerLens model in GPT-2's architecture (4 layers, 8 heads, width 256) lends its weights to the same model of
transformers. Steps take turns; `theirs` is the package's fast way (the gradient of a mask in one masked forward).
"""

from __future__ import annotations

import argparse
import statistics
import time
from importlib.metadata import version
from typing import Any

import torch
from auto_circuit.data import PromptDataLoader, PromptDataset
from auto_circuit.prune_algos.mask_gradient import mask_gradient_prune_scores
from auto_circuit.utils.graph_utils import patchable_model
from circuits import EDGES, gpt2, random_pairs
from measure import show
from transformer_lens import HookedTransformer, HookedTransformerConfig

from ulterior.circuits.finding.attribution import EdgeAttribution
from ulterior.circuits.graph import Graph
from ulterior.circuits.metrics import logit_difference
from ulterior.circuits.pairs import Pairs
from ulterior.circuits.streams import wire

LAYERS, HEADS, WIDTH, VOCABULARY = 4, 8, 256, 1000


def hooked() -> Any:
    """A random model of theirs."""
    torch.manual_seed(0)
    config = HookedTransformerConfig(
        n_layers=LAYERS,
        n_heads=HEADS,
        d_model=WIDTH,
        d_head=WIDTH // HEADS,
        d_mlp=4 * WIDTH,
        n_ctx=128,
        d_vocab=VOCABULARY,
        act_fn="gelu_new",
        normalization_type="LN",
        seed=0,
        device="cpu",
    )
    model: Any = HookedTransformer(config)
    model.cfg.use_attn_result = True
    model.cfg.use_split_qkv_input = True
    model.cfg.use_hook_mlp_in = True
    return model


def lend(theirs: Any, ours: Any) -> None:
    """Copy weights from their model to ours."""
    base = ours.transformer
    with torch.no_grad():
        ours.lm_head.weight = torch.nn.Parameter(theirs.unembed.W_U.T.clone())
        base.wte.weight = torch.nn.Parameter(theirs.embed.W_E.clone())
        base.wpe.weight.copy_(theirs.pos_embed.W_pos)
        for mine, block in zip(base.h, theirs.blocks, strict=True):
            attn = block.attn
            mine.attn.c_attn.weight.copy_(
                torch.cat([w.permute(1, 0, 2).flatten(1) for w in (attn.W_Q, attn.W_K, attn.W_V)], 1)
            )
            mine.attn.c_attn.bias.copy_(torch.cat([b.flatten() for b in (attn.b_Q, attn.b_K, attn.b_V)]))
            mine.attn.c_proj.weight.copy_(attn.W_O.flatten(0, 1))
            mine.attn.c_proj.bias.copy_(attn.b_O)
            mine.mlp.c_fc.weight.copy_(block.mlp.W_in)
            mine.mlp.c_fc.bias.copy_(block.mlp.b_in)
            mine.mlp.c_proj.weight.copy_(block.mlp.W_out)
            mine.mlp.c_proj.bias.copy_(block.mlp.b_out)
            for norm, theirs_norm in ((mine.ln_1, block.ln1), (mine.ln_2, block.ln2)):
                norm.weight.copy_(theirs_norm.w)
                norm.bias.copy_(theirs_norm.b)
        base.ln_f.weight.copy_(theirs.ln_final.w)
        base.ln_f.bias.copy_(theirs.ln_final.b)


def loader(pairs: Pairs) -> Any:
    """The pairs as they take them."""

    def stacked(rows: Any) -> torch.Tensor:
        return torch.stack([row.inputs["input_ids"] for row in rows])

    data = PromptDataset(
        stacked(pairs.clean),
        stacked(pairs.corrupted),
        [torch.tensor(ids) for ids in pairs.answers],
        [torch.tensor(ids) for ids in pairs.wrong],
    )
    return PromptDataLoader(data, seq_len=None, diverge_idx=0, batch_size=len(pairs), shuffle=False)


def as_ours(scores: dict[str, torch.Tensor], graph: Graph) -> torch.Tensor:
    """Their scores in our layout ``[u, v]``."""
    values = torch.zeros(len(graph.sources), len(graph.destinations))
    for layer in range(graph.n_layers):
        for part in "qkv":
            found = scores[f"blocks.{layer}.hook_{part}_input"].view(graph.n_heads, -1)
            values[: found.shape[1], graph.columns(layer, part)] = found.T
        found = scores[f"blocks.{layer}.hook_mlp_in"].view(1, -1)
        values[: found.shape[1], graph.columns(layer, "mlp")] = found.T
    values[:, -1] = scores[f"blocks.{graph.n_layers - 1}.hook_resid_post"].view(-1)
    return values


def main() -> None:
    """Compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(1)
    pairs = random_pairs(32, 16, VOCABULARY)
    theirs, subject = hooked(), gpt2(LAYERS, HEADS, WIDTH, VOCABULARY)
    lend(theirs, subject.model)
    patchable = patchable_model(theirs, factorized=True, slice_output="last_seq", separate_qkv=True)
    data, graph = loader(pairs), wire(subject).graph

    def public() -> torch.Tensor:
        for wrapper in patchable.dest_wrappers:
            wrapper.patch_mask.grad = None
        found = mask_gradient_prune_scores(
            patchable, data, None, grad_function="logit", answer_function="avg_diff", mask_val=0.0
        )
        return as_ours(found, graph)

    def own() -> torch.Tensor:
        return EdgeAttribution()(subject, pairs, EDGES, logit_difference).values

    turns = []
    for turn in range(given.repeats + 1):
        spent = []
        for step in (public, own):
            start = time.perf_counter()
            step()
            spent.append(time.perf_counter() - start)
        if turn:  # the first turn warms up
            turns.append(spent)
    seconds_theirs, seconds_ours = (statistics.median(some) for some in zip(*turns, strict=True))
    values, expected = own(), public()
    result = {
        "times_faster": round(statistics.median(first / second for first, second in turns), 2),
        "goal": 4.0,
        "seconds_theirs": round(seconds_theirs, 3),
        "seconds_ours": round(seconds_ours, 3),
        "largest_difference": float((values - expected).abs().max()),
        "largest_score": float(expected.abs().max()),
        "edges": EDGES.count(graph),
        "packages": {name: version(name) for name in ("auto-circuit", "transformer-lens")},
    }
    show(result, given.json)


if __name__ == "__main__":
    main()
