"""Byte-pair tokenizers of embedded models, whose merges may span what a program repeats: a line, an expression."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

__all__ = ["PAD", "byte_pairs"]

PAD = "<|pad|>"


def byte_pairs(
    texts: Iterable[str], vocabulary: int, pieces: str, markers: Sequence[str]
) -> PreTrainedTokenizerFast:
    """Learn the merges from programs. The same texts give the same tokenizer.

    Args:
        texts: whole programs, markers included.
        vocabulary: number of tokens, special tokens and the 256 bytes included.
        pieces: a regular expression for what merges never cross the ends of.
        markers: further special tokens; token 0 is padding.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pieces), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[PAD, *markers],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        extra_special_tokens=list(markers),
        padding_side="right",
        model_max_length=1024,
        clean_up_tokenization_spaces=False,
    )
