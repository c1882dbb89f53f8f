"""A small GPT-2 whose every edge can be exchanged while gradients reach its weights, which ``masked_run`` keeps out.

Equal to ``masked_run`` on the same model (a test holds it to that); here everything is written out, for models of this
one shape.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ulterior.circuits.graph import Graph

if TYPE_CHECKING:
    from transformers import GPT2LMHeadModel

__all__ = ["Student", "edge_run", "untrained_student"]


@dataclass(frozen=True)
class Student:
    """The shape of a student.

    Attributes:
        vocabulary: Tokens, padding included.
        length: Of a sequence.
        layers: Blocks.
        heads: Heads a block.
        width: Of the stream.
        neurons: A block.
    """

    vocabulary: int
    length: int
    layers: int = 2
    heads: int = 4
    width: int = 32
    neurons: int = 64


def untrained_student(shape: Student) -> GPT2LMHeadModel:
    """A model with random weights and no dropout."""
    from transformers import GPT2Config, GPT2LMHeadModel

    none = {
        "resid_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "attn_pdrop": 0.0,
        "bos_token_id": None,
        "eos_token_id": None,
    }
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=shape.vocabulary,
            n_positions=shape.length,
            n_embd=shape.width,
            n_layer=shape.layers,
            n_head=shape.heads,
            n_inner=shape.neurons,
            pad_token_id=0,
            tie_word_embeddings=False,
            **none,
        )
    )


def edge_run(
    model: GPT2LMHeadModel,
    graph: Graph,
    ids: Int[Tensor, "n s"],
    mask: Float[Tensor, "n u v"] | None = None,
    instead: Float[Tensor, "n s u d"] | None = None,
) -> tuple[Float[Tensor, "n s vocabulary"], Float[Tensor, "n s u d"]]:
    """Run a student with a mask of edges for each example; gradients reach weights, mask and streams.

    Args:
        model: The student.
        graph: Its graph.
        ids: Tokens, all of one length.
        mask: How much of each edge is kept; all of it if None.
        instead: What the sources add in the run that the rest is taken from.

    Returns:
        Logits, and what every source adds in this run.
    """
    transformer: Any = model.transformer
    length = ids.shape[1]
    heads, width = graph.n_heads, transformer.wte.weight.shape[1]
    head = width // heads
    after = torch.ones(length, length, dtype=torch.bool).triu(1)
    added = (transformer.wte(ids) + transformer.wpe.weight[:length])[:, :, None]
    constant = torch.zeros(width)

    def read(count: int, columns: slice) -> Tensor:
        if mask is None or instead is None:
            joined = added[:, :, :count].sum(2, keepdim=True)
            return (joined + constant).expand(-1, -1, columns.stop - columns.start, -1)
        away = added[:, :, :count] - instead[:, :, :count]
        kept = mask[:, None, :count, columns].transpose(2, 3) @ away
        return kept + (instead[:, :, :count].sum(2, keepdim=True) + constant)

    for layer, block in enumerate(transformer.h):
        count = graph.rows(layer, "heads").start
        weights = block.attn.c_attn.weight.view(width, 3, heads, head)
        biases = block.attn.c_attn.bias.view(3, heads, head)
        q, k, v = (
            torch.einsum("nshd,dhe->nhse", block.ln_1(read(count, graph.columns(layer, part))), weights[:, i])
            + biases[i][:, None]
            for i, part in enumerate("qkv")
        )
        pattern = (q @ k.transpose(2, 3) / head**0.5).masked_fill(after, -torch.inf).softmax(3)
        shares = torch.einsum(
            "nhse,hed->nshd", pattern @ v, block.attn.c_proj.weight.view(heads, head, width)
        )
        added = torch.cat((added, shares), 2)
        constant = constant + block.attn.c_proj.bias
        column = graph.columns(layer, "mlp")
        fed = block.mlp(block.ln_2(read(graph.reads[column.start], column)[:, :, 0]))
        added = torch.cat((added, fed[:, :, None]), 2)
    last = len(graph.destinations)
    x = read(len(graph.sources), slice(last - 1, last))[:, :, 0]
    return model.lm_head(transformer.ln_f(x)), added
