"""Training rows as tokens, batches of them, and the order in which they come."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Sampler

from ulterior.errors import InputError
from ulterior.measurement.batches import pad
from ulterior.measurement.data import TamperingData, checked_measurements
from ulterior.measurement.frozen import StoredStates
from ulterior.measurement.markers import Marked
from ulterior.measurement.recipe import Texts

__all__ = ["Collator", "Order", "Row", "RowsOfText", "epoch_order", "sensors_of", "training_rows"]


@dataclass(frozen=True)
class RowsOfText:
    """Training rows: texts, measurements, and whether "all positive" counts in the loss."""

    texts: list[str]
    measurements: list[list[bool]]
    counted: list[bool]

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, rows: Int[np.ndarray, " n"]) -> RowsOfText:
        """The rows with these numbers."""
        return RowsOfText(
            [self.texts[i] for i in rows],
            [self.measurements[i] for i in rows],
            [self.counted[i] for i in rows],
        )

    @property
    def digest(self) -> str:
        """A hash of all of it."""
        found = hashlib.sha256()
        for text, measured, counted in zip(self.texts, self.measurements, self.counted, strict=True):
            found.update(f"{text}\0{measured}{counted}\0".encode())
        return found.hexdigest()[:32]


@dataclass(frozen=True)
class Row:
    """One training row as tokens; `measured` has a value for each sensor; `states`: see ``store_states``."""

    tokens: Marked
    measured: tuple[bool, ...]
    counted: bool
    states: StoredStates | None = field(default=None, kw_only=True)


def training_rows(data: TamperingData, texts: Texts, seed: int) -> tuple[RowsOfText, RowsOfText]:
    """The rows to train on and those set aside, of which text and measurements are read and nothing else.

    Raises:
        InputError: no rows, or measurements that are none.
    """
    parts = [data.trusted] if texts.trusted_only else [data.trusted, data.untrusted]
    used = [part.only("text", "measurements") for part in parts if len(part)]
    if not used:
        raise InputError(f"'{data.name}' has no rows to train on")
    if not 0 <= texts.held_out < 1:
        raise InputError(f"held_out is {texts.held_out}; give a share from 0 up to, not including, 1")
    measured = [row for part in used for row in checked_measurements(part)]
    trusted = np.arange(len(measured)) < len(data.trusted)
    counted = [bool(t) or not all(row) or not texts.exclude for t, row in zip(trusted, measured, strict=True)]
    rows = RowsOfText([str(text) for part in used for text in part["text"]], measured, counted)
    rng = np.random.default_rng([seed, 1])
    aside = np.zeros(len(rows), dtype=bool)
    for group in (trusted, ~trusted):
        members = rng.permutation(np.flatnonzero(group))
        aside[members[: round(texts.held_out * len(members))]] = True
    return rows.take(np.flatnonzero(~aside)), rows.take(np.flatnonzero(aside))


def sensors_of(rows: RowsOfText) -> int | None:
    """Sensors of every row, or None where rows differ in it."""
    counts = {len(measured) for measured in rows.measurements}
    return counts.pop() if len(counts) == 1 else None


@dataclass(frozen=True)
class Collator:
    """Rows to the tensors that the training's forward pass takes; padding stands on the right.

    Stored states, which all rows have or none, come along as `states`, ``[n, s, d]``.
    """

    pad_id: int

    def __call__(self, rows: Sequence[Row]) -> dict[str, Tensor]:
        batch = pad([row.tokens for row in rows], self.pad_id)
        measured = torch.zeros(batch.sensor_positions.shape, dtype=torch.bool)
        for row, one in enumerate(rows):
            measured[row, : len(one.measured)] = torch.tensor(one.measured)
        states = [row.states.read() for row in rows if row.states is not None]
        stored = {"states": pad_sequence(states, batch_first=True)} if states else {}
        return {
            "input_ids": batch.input_ids,
            "text_mask": batch.attention_mask,
            "sensor_positions": batch.sensor_positions,
            "measurements": measured,
            "counted": torch.tensor([row.counted for row in rows]),
            **stored,
        }


class Order(Sampler[int]):
    """Row numbers in an order that follows from the seed and the epoch alone, so that a resumed run finds its place.

    The library's own sampler by length draws from the global generator, whose state at the beginning of an epoch is
    gone when a run is resumed in its middle.
    """

    def __init__(self, lengths: Sequence[int], batch: int, seed: int, by_length: bool) -> None:
        self._lengths = np.asarray(lengths)
        self._batch, self._seed, self._by_length = batch, seed, by_length
        self.epoch = 0

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        rng = np.random.default_rng([self._seed, 2, self.epoch])
        if not self._by_length:
            return iter(rng.permutation(len(self)).tolist())
        return iter(epoch_order(self._lengths, self._batch, rng).tolist())


def epoch_order(
    lengths: Int[np.ndarray, " n"], batch: int, rng: np.random.Generator
) -> Int[np.ndarray, " n"]:
    """Every row once; each stretch of `batch` rows is of about one length, and stretches come in random order.

    Rows are sorted within groups of 16 batches of a random order: little padding, and another mix in each epoch. The
    rest that fills no batch comes last.
    """
    order = rng.permutation(len(lengths))
    whole = len(order) // batch * batch
    groups = np.split(order[:whole], range(16 * batch, whole, 16 * batch))
    arranged = np.concatenate([group[np.argsort(lengths[group], kind="stable")] for group in groups])
    return np.concatenate([rng.permutation(arranged.reshape(-1, batch)).ravel(), order[whole:]])
