"""A byte-pair tokenizer for the programs: code in long tokens, literals in tokens of their own.

Whether known answers belong to the shown tests, and which of two gates is open, shows in the literals: a number or a
string has the same tokens wherever it stands. The code between them may be one token from one literal to the next
line break; line breaks with their indentation are tokens as well.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ulterior.tasks.tampering.functions.scene import MARKER

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

__all__ = ["PAD", "train_tokenizer"]

PAD = "<|pad|>"
_PIECES = r"\n+ *|'[^'\n]*'|\d+|[^\n'\d]+"


def train_tokenizer(texts: Iterable[str], vocabulary: int = 2048) -> PreTrainedTokenizerFast:
    """Learn the merges from programs. The same texts give the same tokenizer.

    Args:
        texts: whole programs, markers included.
        vocabulary: number of tokens, special tokens and the 256 bytes included.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[PAD, MARKER],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        extra_special_tokens=[MARKER],
        padding_side="right",
        model_max_length=1024,
        clean_up_tokenization_spaces=False,
    )
