"""What the tests use instead of MiniLM: a tiny random BERT that ships whole in a package."""

from __future__ import annotations

from pathlib import Path

import torch

from ulterior.models.packaged import PackagedFolder
from ulterior.tasks.texts.encoders import Small

TINY = Small(width=16, layers=1, heads=2, vocabulary=200)
"""A classifier that learns made-up reviews in a moment."""


def packaged_bert(site: Path, texts: list[str]) -> PackagedFolder:
    """A package below ``site`` that must not be imported, with a random BERT of three layers inside."""
    from transformers import BertConfig, BertModel

    package = site / "packaged_bert"
    (package / "model").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('this package must never be imported')")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=200,
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=128,
    )
    BertModel(config, add_pooling_layer=False).save_pretrained(package / "model")
    TINY.tokenizer(texts).save_pretrained(package / "model")
    return PackagedFolder("nobody/bert", "packaged-bert==1", "packaged_bert", "model")
