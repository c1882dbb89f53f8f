"""Trusted examples as batches to learn from, in an order that only the seed decides."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from ulterior.errors import InputError
from ulterior.examples import Examples
from ulterior.reweighted.answers import Answers
from ulterior.reweighted.subject import see
from ulterior.subject import Batch, Encoded, RowError, Subject

__all__ = ["MOST", "Lessons", "lessons", "orders"]

# More trusted examples than this are not learned from: they are kept encoded in memory.
MOST = 4_096


@dataclass(frozen=True, eq=False)
class Lessons:
    """Encoded examples of one subject."""

    subject: Subject
    encoded: tuple[Encoded, ...]

    def __len__(self) -> int:
        return len(self.encoded)

    def batch(self, rows: Int[np.ndarray, " m"]) -> Batch:
        """Some of them side by side."""
        return self.subject.collate([self.encoded[row] for row in rows])

    def own_answers(self, answers: Answers, size: int) -> Int[Tensor, " n"]:
        """What the subject itself finds most likely, by one forward for each example."""
        found = torch.zeros(len(self), dtype=torch.long)
        # Of like length, so that little is padded.
        order = np.argsort([-one.length for one in self.encoded], kind="stable")
        with torch.no_grad():
            for start in range(0, len(order), size):
                rows = order[start : start + size]
                batch = self.batch(rows)
                said = answers(self.subject, see(self.subject, batch, {}).output, batch)
                found[torch.from_numpy(rows)] = said.argmax(1).cpu()
        return found


def lessons(subject: Subject, examples: Examples, seed: int) -> Lessons:
    """Encode examples to learn from: all of them, or a seeded sample of 4,096.

    Raises:
        InputError: none.
        RowError: examples that cannot be encoded.
    """
    if not len(examples):
        raise InputError("there are no trusted examples to learn from; at least one is needed")
    rows = np.sort(np.random.default_rng([seed, 0]).permutation(len(examples))[:MOST])
    try:
        return Lessons(subject, tuple(subject.encode(examples.take(rows))))
    except RowError as error:
        raise error.among(rows) from None


def orders(n: int, size: int, seed: int) -> Iterator[Int[np.ndarray, " m"]]:
    """Rows of one batch after another, without end; all batches are full, and none comes twice in an epoch."""
    rng = np.random.default_rng([seed, 1])
    size = min(size, n)
    while True:
        order = rng.permutation(n)
        for start in range(0, n - size + 1, size):
            yield order[start : start + size]
