"""A byte-pair tokenizer for the programs: code in long tokens, literals in tokens of their own.

Whether known answers belong to the shown tests, and which of two gates is open, shows in the literals: a number or a
string has the same tokens wherever it stands. The code between them may be one token from one literal to the next
line break; line breaks with their indentation are tokens as well.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ulterior.tasks.tampering.functions.scene import MARKER
from ulterior.tasks.tampering.tokenizer import byte_pairs

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

__all__ = ["train_tokenizer"]

_PIECES = r"\n+ *|'[^'\n]*'|\d+|[^\n'\d]+"


def train_tokenizer(texts: Iterable[str], vocabulary: int = 2048) -> PreTrainedTokenizerFast:
    """Learn the merges from programs, markers included; see ``byte_pairs``."""
    return byte_pairs(texts, vocabulary, _PIECES, [MARKER])
