"""Tiny decoders in double precision with pairs, for the tests of circuits."""

from __future__ import annotations

import copy
from functools import cache

import torch

from tests.families import VOCAB, tiny
from ulterior.circuits.pairs import PairBatch, Pairs, token_pairs
from ulterior.circuits.streams import Wired, wire
from ulterior.readouts import CAUSAL
from ulterior.subject import Subject
from ulterior.tokens import token_collate


@cache
def wired(family: str) -> Wired:
    """The family's tiny model, which takes token ids."""
    model = copy.deepcopy(tiny(family)).double()
    collate = token_collate(model)
    subject = Subject.of(
        model, encode=lambda _: [], collate=collate, readouts=CAUSAL, options={"use_cache": False}
    )
    return wire(subject)


def pairs(n: int = 4, length: int = 7, seed: int = 0, ragged: bool = False) -> Pairs:
    """Random pairs, which differ in a few tokens."""
    generator = torch.Generator().manual_seed(seed)
    clean = torch.randint(3, VOCAB, (n, length), generator=generator)
    other = torch.where(torch.rand(n, length, generator=generator) < 0.5, clean.roll(1, 0), clean)
    ends = [length - row % 3 if ragged else length for row in range(n)]
    answers = torch.randperm(VOCAB - 3, generator=generator)[: 2 * n].view(n, 2) + 3
    return token_pairs(
        [row[:end].tolist() for row, end in zip(clean, ends, strict=True)],
        [row[:end].tolist() for row, end in zip(other, ends, strict=True)],
        answers[:, :1].tolist(),
        answers[:, 1:].tolist(),
    )


def one_batch(of: Wired, given: Pairs) -> PairBatch:
    """All pairs in one batch."""
    (batch,) = given.batches(of.subject, tokens=10**6)
    return batch
