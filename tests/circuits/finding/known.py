"""A small model whose circuit is known exactly: every other edge of it carries nothing that anyone reads.

The stream is cut in three: the embedding writes the first part; head.0.1 and head.1.0 read it and write the second and
the third; mlp.1 reads the second and writes the third; the logits read the third. There are no norms, which would join
the parts, queries and keys are nothing, so that attention is even, and all other heads and layers write nothing.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from ulterior.circuits.pairs import Pairs, token_pairs
from ulterior.circuits.streams import Wired, wire
from ulterior.readouts import CAUSAL
from ulterior.subject import Subject
from ulterior.tokens import token_collate

VOCAB, PART = 24, 8
FIRST, SECOND, THIRD = (slice(PART * i, PART * (i + 1)) for i in range(3))
EDGES = {
    "embed->head.0.1.v",
    "head.0.1->mlp.1",
    "mlp.1->logits",
    "embed->head.1.0.v",
    "head.1.0->logits",
}
NODES = {"embed", "head.0.1", "head.1.0", "mlp.1"}


@cache
def known() -> Wired:
    """The model, in single precision."""
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=3 * PART,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        intermediate_size=16,
        vocab_size=VOCAB,
        max_position_embeddings=16,
        pad_token_id=0,
        tie_word_embeddings=False,
    )
    model = LlamaForCausalLM(config).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        draw(model.model.embed_tokens.weight[:, FIRST], generator, 1.0)
        draw(model.lm_head.weight[:, THIRD], generator, 1.0)
        for layer, head, written in ((0, 1, SECOND), (1, 0, THIRD)):
            attention = model.model.layers[layer].self_attn
            own = slice(12 * head, 12 * head + 12)
            draw(attention.v_proj.weight[own, FIRST], generator, 0.5)
            draw(attention.o_proj.weight[written, own], generator, 0.5)
        mlp = model.model.layers[1].mlp
        for projection in (mlp.gate_proj, mlp.up_proj):
            draw(projection.weight[:, SECOND], generator, 0.4)
        draw(mlp.down_proj.weight[THIRD], generator, 0.4)
    for block in model.model.layers:
        block.input_layernorm = block.post_attention_layernorm = nn.Identity()
    model.model.norm = nn.Identity()
    return wire(
        Subject.of(
            model,
            encode=lambda _: [],
            collate=token_collate(model),
            readouts=CAUSAL,
            options={"use_cache": False},
        )
    )


def draw(weight: torch.Tensor, generator: torch.Generator, scale: float) -> None:
    """Fill a part of a matrix."""
    weight.copy_(scale * torch.randn(weight.shape, generator=generator))


def known_pairs(n: int = 12, length: int = 4, seed: int = 0) -> Pairs:
    """Unrelated clean and corrupted examples."""
    generator = torch.Generator().manual_seed(seed)
    clean, corrupted = torch.randint(1, VOCAB, (2, n, length), generator=generator).tolist()
    tokens = torch.stack([torch.randperm(VOCAB, generator=generator)[:2] for _ in range(n)])
    return token_pairs(clean, corrupted, tokens[:, :1].tolist(), tokens[:, 1:].tolist())
