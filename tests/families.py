"""A tiny random model of every family: 2 layers, width 32, 4 heads, 99 words."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import nn
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    BertConfig,
    CodeGenConfig,
    DistilBertConfig,
    ElectraConfig,
    Gemma2Config,
    Gemma3TextConfig,
    GemmaConfig,
    GPT2Config,
    GPTJConfig,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    Olmo2Config,
    Phi3Config,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
    RobertaConfig,
    SmolLM3Config,
    XLMRobertaConfig,
)

VOCAB = 99
SIZE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": VOCAB}
# Query heads share keys, and head_dim * heads differs from the width where a family allows it.
SHARED = {"num_key_value_heads": 2, "intermediate_size": 48, "max_position_embeddings": 64, "pad_token_id": 0}
WIDE = {**SHARED, "head_dim": 16}
ENCODER = {"intermediate_size": 48, "max_position_embeddings": 64, "pad_token_id": 0}
GPT = {"n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": VOCAB, "n_positions": 64}
NO_IDS = {"bos_token_id": 1, "eos_token_id": 2}

CONFIGS: dict[str, Callable[[], Any]] = {
    "llama": lambda: LlamaConfig(**SIZE, **SHARED, attention_bias=True),
    "mistral": lambda: MistralConfig(**SIZE, **WIDE, sliding_window=5),
    "qwen2": lambda: Qwen2Config(
        **SIZE, **SHARED, sliding_window=5, use_sliding_window=True, max_window_layers=1
    ),
    "qwen3": lambda: Qwen3Config(**SIZE, **WIDE),
    "gemma": lambda: GemmaConfig(**SIZE, **WIDE),
    "gemma2": lambda: Gemma2Config(**SIZE, **WIDE, sliding_window=5, query_pre_attn_scalar=16),
    "gemma3": lambda: Gemma3TextConfig(
        **SIZE, **WIDE, sliding_window=5, layer_types=["sliding_attention", "full_attention"]
    ),
    "olmo2": lambda: Olmo2Config(**SIZE, **SHARED),
    "phi3": lambda: Phi3Config(**SIZE, **SHARED, **NO_IDS),
    "smollm3": lambda: SmolLM3Config(**SIZE, **SHARED, **NO_IDS),
    "gpt2": lambda: GPT2Config(**GPT, **NO_IDS),
    "gpt_neox": lambda: GPTNeoXConfig(**SIZE, intermediate_size=48, max_position_embeddings=64),
    "gpt_neox_serial": lambda: GPTNeoXConfig(
        **SIZE, intermediate_size=48, max_position_embeddings=64, use_parallel_residual=False
    ),
    "codegen": lambda: CodeGenConfig(**GPT, n_ctx=64, rotary_dim=4, **NO_IDS),
    "gptj": lambda: GPTJConfig(**GPT, rotary_dim=4, **NO_IDS),
    "bert": lambda: BertConfig(**SIZE, **ENCODER),
    "electra": lambda: ElectraConfig(**SIZE, **ENCODER, embedding_size=16),
    "roberta": lambda: RobertaConfig(**SIZE, **{**ENCODER, "pad_token_id": 1}),
    "xlm-roberta": lambda: XLMRobertaConfig(**SIZE, **{**ENCODER, "pad_token_id": 1}),
    "distilbert": lambda: DistilBertConfig(
        dim=32, n_layers=2, n_heads=4, hidden_dim=48, vocab_size=VOCAB, max_position_embeddings=64
    ),
}
ENCODERS = ("bert", "electra", "roberta", "xlm-roberta", "distilbert")
DECODERS = tuple(family for family in CONFIGS if family not in ENCODERS)


@cache
def tiny(family: str, head: str | None = None) -> nn.Module:
    """The family's model with its usual head: ``causal`` for decoders, ``classes`` for encoders, or ``states``."""
    head = head or ("classes" if family in ENCODERS else "causal")
    loader = {
        "causal": AutoModelForCausalLM,
        "classes": AutoModelForSequenceClassification,
        "states": AutoModel,
    }[head]
    torch.manual_seed(0)
    model = loader.from_config(CONFIGS[family]()).eval()
    for parameter in model.parameters():  # biases and norms start at 0 and 1, which would hide them
        parameter.data += 0.05 * torch.randn_like(parameter)
    return model


def tokenizer(**special: str) -> PreTrainedTokenizerFast:
    """Words ``w0``... by white space, after the special tokens <pad>, <s>, </s> and <unk>."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = ["<pad>", "<s>", "</s>", "<unk>", *(f"w{i}" for i in range(VOCAB - 4))]
    vocabulary = {word: number for number, word in enumerate(words)}
    bare = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    bare.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=bare, unk_token="<unk>", **special)


def texts(*lengths: int, seed: int = 0) -> list[str]:
    """Random texts of so many words."""
    generator = torch.Generator().manual_seed(seed)
    return [
        " ".join(f"w{word}" for word in torch.randint(0, VOCAB - 4, (length,), generator=generator).tolist())
        for length in lengths
    ]
