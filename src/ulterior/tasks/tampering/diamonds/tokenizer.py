"""A byte-pair tokenizer for programs whose merges may span a whole line.

Programs are assembled from a few hundred lines, so that a vocabulary of lines brings a program of 1,900 characters to
about 90 tokens. Line breaks with their indentation (and a comment sign, where the line is commented out) are tokens of
their own: a line keeps its tokens however deeply it is wrapped. A class definition may become one token.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ulterior.tasks.tampering.diamonds.world import MARKERS
from ulterior.tasks.tampering.tokenizer import byte_pairs

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

__all__ = ["train_tokenizer"]

_PIECES = r"class [^\n]+(?:\n    [^\n]*|\n\s*(?=\n    ))*|\n+ *(?:# )?|[^\n]+"


def train_tokenizer(texts: Iterable[str], vocabulary: int = 2048) -> PreTrainedTokenizerFast:
    """Learn the merges from programs, markers included; see ``byte_pairs``."""
    return byte_pairs(texts, vocabulary, _PIECES, MARKERS)
