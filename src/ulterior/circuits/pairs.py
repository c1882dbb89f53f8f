"""Pairs of examples: a clean one, a corrupted one of the same length, and which next tokens are right and wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from ulterior.errors import InputError
from ulterior.examples import Examples, load_examples
from ulterior.subject import Batch, Encoded, RowError, Subject, device_of

__all__ = ["PairBatch", "Pairs", "load_pairs", "text_pairs", "token_pairs"]

COLUMNS = ("clean", "corrupted", "answers", "wrong")
NO_TOKEN = -1


@dataclass(frozen=True, eq=False)
class PairBatch:
    """Some pairs side by side, on the model's device.

    Attributes:
        clean: The clean examples.
        corrupted: The corrupted ones, padded alike.
        answers: Right next tokens of the clean examples ``[n, k]``, -1 behind the last of each row.
        wrong: Wrong ones, likewise.
        rows: Their numbers among all pairs.
    """

    clean: Batch
    corrupted: Batch
    answers: Int[Tensor, "n a"]
    wrong: Int[Tensor, "n w"]
    rows: Int[np.ndarray, "n"]

    def __len__(self) -> int:
        return len(self.clean)


@dataclass(frozen=True, eq=False)
class Pairs:
    """Clean examples with corrupted counterparts.

    Attributes:
        clean: As the model takes them.
        corrupted: Each as long as its clean one.
        answers: Ids of the next tokens that are right after the clean example; may be empty.
        wrong: Those that are right after the corrupted one, or wrong for another reason; may be empty.
        texts: What people read of each pair, or none.
    """

    clean: tuple[Encoded, ...]
    corrupted: tuple[Encoded, ...]
    answers: tuple[tuple[int, ...], ...]
    wrong: tuple[tuple[int, ...], ...]
    texts: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        for row, (clean, corrupted) in enumerate(zip(self.clean, self.corrupted, strict=True)):
            if clean.length != corrupted.length:
                raise RowError(
                    row,
                    f"the clean example has {clean.length} tokens and the corrupted one {corrupted.length}; a unit of"
                    " one is replaced by that of the other at the same position, so both must be equally long",
                )

    def __len__(self) -> int:
        return len(self.clean)

    @property
    def length(self) -> int | None:
        """Tokens, if all pairs have as many."""
        lengths = {one.length for one in self.clean}
        return lengths.pop() if len(lengths) == 1 else None

    def take(self, rows: Sequence[int] | Int[np.ndarray, "n"]) -> Pairs:
        """The pairs with these numbers, in this order."""

        def some(values: tuple[Any, ...]) -> tuple[Any, ...]:
            return tuple(values[int(row)] for row in rows) if values else ()

        return Pairs(
            some(self.clean), some(self.corrupted), some(self.answers), some(self.wrong), some(self.texts)
        )

    def split(self, held_out: float = 0.5, seed: int = 0) -> tuple[Pairs, Pairs]:
        """Two disjoint parts, shuffled: what a circuit is found on, and what it is judged on.

        Raises:
            InputError: a share that leaves either part empty.
        """
        aside = round(len(self) * held_out)
        if not 0 < aside < len(self):
            raise InputError(f"{held_out} of {len(self)} pairs held out leaves nothing on one side")
        order = np.random.default_rng(seed).permutation(len(self))
        return self.take(order[aside:]), self.take(order[:aside])

    def flipped(self) -> Pairs:
        """Clean and corrupted exchanged, and right and wrong tokens with them."""
        texts = tuple((second, first) for first, second in self.texts)
        return Pairs(self.corrupted, self.clean, self.wrong, self.answers, texts)

    def batches(self, subject: Subject, tokens: int = 1024) -> Iterator[PairBatch]:
        """The pairs in batches of like length, of at most so many tokens of clean examples, padding included.

        Raises:
            InputError: no pairs.
        """
        if not len(self):
            raise InputError("there are no pairs; at least one is needed")
        device = device_of(subject.model)
        order = sorted(range(len(self)), key=lambda row: -self.clean[row].length)
        start = 0
        while start < len(order):
            n = max(1, tokens // self.clean[order[start]].length)
            rows = order[start : start + n]
            start += n
            yield PairBatch(
                subject.collate([self.clean[row] for row in rows]),
                subject.collate([self.corrupted[row] for row in rows]),
                _padded([self.answers[row] for row in rows]).to(device),
                _padded([self.wrong[row] for row in rows]).to(device),
                np.array(rows),
            )


def token_pairs(
    clean: Sequence[Sequence[int]],
    corrupted: Sequence[Sequence[int]],
    answers: Sequence[Sequence[int]] = (),
    wrong: Sequence[Sequence[int]] = (),
) -> Pairs:
    """Pairs from token ids, for models that take ``input_ids``.

    Raises:
        InputError: unequal numbers of rows.
        RowError: a pair whose examples are not equally long.
    """
    given = {"clean": clean, "corrupted": corrupted, "answers": answers, "wrong": wrong}
    lengths = {name: len(rows) for name, rows in given.items() if name in COLUMNS[:2] or len(rows)}
    if len(set(lengths.values())) > 1:
        raise InputError(f"pairs with unequal numbers of rows: {lengths}")
    none = ((),) * len(clean)
    return Pairs(
        tuple(_encoded(ids) for ids in clean),
        tuple(_encoded(ids) for ids in corrupted),
        tuple(tuple(map(int, ids)) for ids in answers) or none,
        tuple(tuple(map(int, ids)) for ids in wrong) or none,
    )


def text_pairs(subject: Subject, examples: Examples) -> Pairs:
    """Pairs from a table of text.

    Args:
        subject: Encodes the text; its column is filled with each of the two.
        examples: Columns ``clean`` and ``corrupted``, and, where the metric needs them, ``answers`` and
            ``wrong``: the continuations (a text or a list of texts, with the space in front that belongs to them)
            whose *first* token is right, and wrong, after the clean text.

    Raises:
        InputError: a missing column, or no rows.
        RowError: a pair that is not equally long in tokens, a continuation that changes how the text before it is cut
            into tokens, or a first token that is both right and wrong.
    """
    examples.require("clean", "corrupted")
    if not len(examples):
        raise InputError("there are no pairs; at least one row is needed")
    clean, corrupted = (list(examples[name]) for name in COLUMNS[:2])
    encoded = _encode(subject, clean)
    answers, wrong = (_next_tokens(subject, clean, encoded, examples, name) for name in COLUMNS[2:])
    for row, (right, not_right) in enumerate(zip(answers, wrong, strict=True)):
        if set(right) & set(not_right):
            raise RowError(
                row,
                "a right and a wrong continuation begin with the same token; the metric cannot tell them apart",
            )
    texts = tuple(zip(clean, corrupted, strict=True))
    return Pairs(tuple(encoded), tuple(_encode(subject, corrupted)), answers, wrong, texts)


def load_pairs(subject: Subject, source: str | Path) -> Pairs:
    """Pairs from a file of examples; see ``text_pairs`` for its columns and ``load_examples`` for formats."""
    return text_pairs(subject, load_examples(source, require=COLUMNS[:2]))


def _encode(subject: Subject, texts: Sequence[str]) -> list[Encoded]:
    return subject.encode(Examples.of(text=list(texts)))


def _next_tokens(
    subject: Subject, texts: Sequence[str], encoded: Sequence[Encoded], examples: Examples, column: str
) -> tuple[tuple[int, ...], ...]:
    if column not in examples.columns:
        return ((),) * len(texts)
    given = [
        [one] if isinstance(one, str) else list(one) for one in examples.table.column(column).to_pylist()
    ]
    owners = [row for row, some in enumerate(given) for _ in some]
    whole = [texts[row] + more for row, some in enumerate(given) for more in some]
    found: list[list[int]] = [[] for _ in texts]
    for row, text, longer in zip(owners, whole, _encode(subject, whole) if whole else (), strict=True):
        before, after = encoded[row].inputs["input_ids"].tolist(), longer.inputs["input_ids"].tolist()
        if after[: len(before)] != before or len(after) == len(before):
            raise RowError(
                row,
                f"in column '{column}', {text[len(texts[row]) :]!r} does not continue the tokens of the clean text; put"
                " the space between them where the tokenizer wants it (in front of the continuation, as a rule)",
            )
        found[row].append(after[len(before)])
    return tuple(tuple(dict.fromkeys(ids)) for ids in found)


def _encoded(ids: Sequence[int]) -> Encoded:
    return Encoded({"input_ids": torch.tensor(list(map(int, ids)))}, len(ids))


def _padded(rows: Sequence[Sequence[int]]) -> Int[Tensor, "n k"]:
    width = max((len(row) for row in rows), default=0)
    return torch.tensor([[*row, *[NO_TOKEN] * (width - len(row))] for row in rows], dtype=torch.long).view(
        len(rows), width
    )
