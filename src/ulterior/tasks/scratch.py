"""Small language models with random weights, which a task trains from scratch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM

__all__ = ["Architecture", "untrained"]


@dataclass(frozen=True)
class Architecture:
    """A small Llama: widths, depth and vocabulary."""

    width: int
    layers: int
    heads: int
    mlp: int
    vocabulary: int
    context: int = 1024


def untrained(architecture: Architecture) -> LlamaForCausalLM:
    """A model with random weights; token 0 is padding."""
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=architecture.vocabulary,
            hidden_size=architecture.width,
            intermediate_size=architecture.mlp,
            num_hidden_layers=architecture.layers,
            num_attention_heads=architecture.heads,
            num_key_value_heads=architecture.heads,
            max_position_embeddings=architecture.context,
            tie_word_embeddings=True,
            pad_token_id=0,
            bos_token_id=None,
            eos_token_id=None,
        )
    )
