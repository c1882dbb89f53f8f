"""Languages of a few dozen words: sequences of word numbers in, texts and a tokenizer out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Int

from ulterior.examples import Examples

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

__all__ = ["Drawn", "Language", "joined"]

PAD, UNKNOWN = "<pad>", "<unk>"


@dataclass(frozen=True)
class Language:
    """All words, in order; a text is words with blanks between them.

    Attributes:
        words: None twice, none with a blank.
    """

    words: tuple[str, ...]

    @cached_property
    def number(self) -> dict[str, int]:
        """The number of each word as the model knows it; 0 is padding, 1 an unknown word."""
        return {word: i for i, word in enumerate((PAD, UNKNOWN, *self.words))}

    def numbers(self, words: tuple[str, ...]) -> Int[np.ndarray, " n"]:
        """The numbers of some words."""
        return np.array([self.number[word] for word in words])

    def texts(self, ids: Int[np.ndarray, "n length"]) -> list[str]:
        """Each row's words, with blanks between them."""
        known = np.array([PAD, UNKNOWN, *self.words], dtype=object)
        return [" ".join(row) for row in known[ids]]

    def tokenizer(self) -> PreTrainedTokenizerFast:
        """One token a word."""
        from tokenizers import Tokenizer
        from tokenizers.models import WordLevel
        from tokenizers.pre_tokenizers import WhitespaceSplit
        from transformers import PreTrainedTokenizerFast

        inner = Tokenizer(WordLevel(self.number, unk_token=UNKNOWN))
        inner.pre_tokenizer = WhitespaceSplit()  # pyright: ignore[reportAttributeAccessIssue]
        return PreTrainedTokenizerFast(tokenizer_object=inner, pad_token=PAD, unk_token=UNKNOWN)


@dataclass(frozen=True, eq=False)
class Drawn:
    """Sequences of one length, with what is known of each.

    Attributes:
        ids: Word numbers; the last word is the answer, the others are the prompt.
        learned: Which words a model is trained to predict.
        columns: Facts of each sequence, by name; they become columns of the examples.
    """

    ids: Int[np.ndarray, "n length"]
    learned: Bool[np.ndarray, "n length"]
    columns: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: np.ndarray) -> Drawn:
        """The sequences with these numbers, or under this mask."""
        return Drawn(
            self.ids[rows], self.learned[rows], {name: values[rows] for name, values in self.columns.items()}
        )

    def examples(self, language: Language, group: str) -> Examples:
        """The prompts as a table: ``text``, ``answer`` (the word that belongs there), ``group``, the facts."""
        texts, answers = language.texts(self.ids[:, :-1]), language.texts(self.ids[:, -1:])
        return Examples.of(text=texts, answer=answers, group=[group] * len(self), **self.columns)


def joined(parts: Sequence[Drawn]) -> Drawn:
    """All parts as one, in order; they share their length and their columns."""
    return Drawn(
        np.concatenate([part.ids for part in parts]),
        np.concatenate([part.learned for part in parts]),
        {name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns},
    )
