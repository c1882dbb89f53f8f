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
    instead: Float[Tensor, "n u s d"] | None = None,
) -> tuple[Float[Tensor, "n s vocabulary"], Float[Tensor, "n u s d"]]:
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
    n, length = ids.shape
    heads, width = graph.n_heads, transformer.wte.weight.shape[1]
    head = width // heads
    after = torch.ones(length, length, dtype=torch.bool).triu(1)
    added = (transformer.wte(ids) + transformer.wpe.weight[:length])[:, None]
    constant = torch.zeros(width)

    def read(count: int, columns: slice) -> Tensor:
        """What destinations read, ``[n, v, s, d]``; one for all of them where nothing is exchanged."""
        if mask is None or instead is None:
            return added[:, :count].sum(1, keepdim=True) + constant
        theirs = instead[:, :count]
        # One product an example: over its sources, for all positions and channels side by side.
        away = (added[:, :count] - theirs).flatten(2)
        kept = mask[:, :count, columns].transpose(1, 2) @ away
        return kept.unflatten(2, (length, width)) + (theirs.sum(1, keepdim=True) + constant)

    for layer, block in enumerate(transformer.h):
        count = graph.rows(layer, "heads").start
        every = slice(graph.columns(layer, "q").start, graph.columns(layer, "v").stop)
        q, k, v = _projected(block.attn.c_attn, block.ln_1(read(count, every)), heads)
        scores = (q @ k.transpose(1, 2)) * head**-0.5
        pattern = scores.masked_fill(after, -torch.inf).softmax(2)
        outward = block.attn.c_proj.weight.view(heads, head, width)
        shares = (pattern @ v).view(heads, n * length, head) @ outward
        added = torch.cat((added, shares.view(heads, n, length, width).transpose(0, 1)), 1)
        constant = constant + block.attn.c_proj.bias
        column = graph.columns(layer, "mlp")
        fed = block.mlp(block.ln_2(read(graph.reads[column.start], column)))
        added = torch.cat((added, fed), 1)
    last = len(graph.destinations)
    x = read(len(graph.sources), slice(last - 1, last))[:, 0]
    return model.lm_head(transformer.ln_f(x)), added


def _projected(
    projection: Any, x: Float[Tensor, "n v s d"], heads: int
) -> tuple[Float[Tensor, "hn s e"], ...]:
    """Queries, keys and values, head by head and in it example by example, each of its own input or all of one."""
    n, read, length, width = x.shape
    if read == 1:
        made = torch.addmm(projection.bias, x.reshape(n * length, width), projection.weight)
        made = made.view(n, length, 3 * heads, -1).permute(2, 0, 1, 3)
    else:
        weight = projection.weight.view(width, 3 * heads, -1).transpose(0, 1)
        bias = projection.bias.view(3 * heads, 1, -1)
        made = torch.baddbmm(bias, x.transpose(0, 1).flatten(1, 2), weight)
    return made.reshape(3, heads * n, length, -1).unbind(0)
