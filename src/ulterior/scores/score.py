"""The two signatures that every score has, before and after it has seen data; and those of scores that join sites."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ulterior.errors import InputError
from ulterior.scores.moments import Moments
from ulterior.scores.statistics import Statistic
from ulterior.scores.store import Stored

Columns = Callable[[str, str, np.ndarray], np.ndarray]
"""(group, column, row numbers within the group) -> that column's values in those rows."""

T = TypeVar("T")


@runtime_checkable
class FittedScore(Protocol):
    """Frozen and ``saved``. One float64 a row, higher = more anomalous, and no row knows of another."""

    def __call__(self, x: Any) -> Float[Tensor, "n"]:
        """Score n rows: a float tensor [n, d], or a sequence of n strings for a score of texts."""
        ...


@runtime_checkable
class Score(Protocol):
    """A frozen, hashable value that names what it needs and turns that into a fitted score.

    The groups of rows: ``trusted`` (all trusted rows for fitting), ``reference`` (those in the condition that
    is examined, such as all measurements positive; elsewhere the same as trusted), ``untrusted``, and
    ``suspects`` (the untrusted rows in that condition).
    """

    @property
    def needs(self) -> tuple[Statistic, ...]:
        """The statistics that ``fit`` will look up."""
        ...

    def fit(self, given: Mapping[Statistic, Any], columns: Columns) -> FittedScore:
        """The fitted score, from the statistics that it needs and columns (labels) of stored rows."""
        ...


@runtime_checkable
class JointFitted(Protocol):
    """A fitted score of several keys together. Frozen and ``saved``; one float64 a row, and no row knows of another."""

    @property
    def reads(self) -> tuple[str, ...]:
        """The keys (site and position) whose values it is called with, in the order of the sites."""
        ...

    def __call__(self, x: Any) -> Float[Tensor, "n"]:
        """Score n rows: by key, a float tensor [n, d] in which row i is of example i at every key."""
        ...


@runtime_checkable
class Joint(Protocol):
    """A score that is fitted once over all sites, where ``Score`` is fitted at each; else the same.

    Keys of one position (``resid.0@last``, ``resid.1@last``, ...) are fitted together, in the order of the sites.
    """

    @property
    def needs(self) -> tuple[Statistic, ...]:
        """The statistics that ``fit_all`` will look up, of every key."""
        ...

    def fit_all(self, given: Mapping[str, Mapping[Statistic, Any]], columns: Columns) -> JointFitted:
        """The fitted score, from the statistics of every key and columns (labels) of stored rows.

        Samples of one group and bound hold the same rows at every key: which rows are kept depends on their numbers.
        """
        ...


@runtime_checkable
class Selects(Protocol):
    """A score that, fitted at many places, keeps only some of them."""

    def select(self, fitted: Mapping[str, FittedScore]) -> tuple[str, ...]:
        """The keys (site and position) to keep, at least one, of the scores that were fitted at each."""
        ...


def moments_in(given: Mapping[Statistic, Any], need: Statistic) -> Moments:
    """The finished moments that a score asked for."""
    return _given(given, need, Moments)


def stored_in(given: Mapping[Statistic, Any], need: Statistic) -> Stored:
    """The finished sample of rows that a score asked for."""
    return _given(given, need, Stored)


def aligned_in(
    given: Mapping[str, Mapping[Statistic, Any]], need: Statistic
) -> tuple[dict[str, Tensor], Int[np.ndarray, "m"]]:
    """The vectors [m, d] that are stored at each key, and the row numbers [m] that they share.

    Raises:
        InputError: fewer than two keys, texts, or keys with different rows (places of an image in layers of different
            size, say).
    """
    if len(given) < 2:
        raise InputError(
            f"this score joins sites and needs at least 2; it was given {', '.join(given) or 'none'}"
        )
    found = {key: stored_in(statistics, need) for key, statistics in given.items()}
    first, rows = next((key, stored.rows) for key, stored in found.items())
    vectors: dict[str, Tensor] = {}
    for key, stored in found.items():
        if not isinstance(stored.x, Tensor):
            raise InputError(f"this score joins sites that hold numbers, and '{key}' holds texts")
        if not np.array_equal(stored.rows, rows):
            raise InputError(
                f"'{key}' has {len(stored)} vectors and '{first}' {len(rows)}, of other places: sites are joined where"
                " they hold the same examples and tokens; choose another position"
            )
        vectors[key] = stored.x
    return vectors, rows


def _given(given: Mapping[Statistic, Any], need: Statistic, kind: type[T]) -> T:
    if need not in given:
        raise InputError(f"this detector needs the group {need.group!r}, and no such examples were given")
    if not isinstance(given[need], kind):
        raise TypeError(f"{need} was given a {type(given[need]).__name__}, not {kind.__name__}")
    return given[need]


def rows_of(x: Float[Tensor, "n d"] | Sequence[str]) -> Float[Tensor, "n d"]:
    """The rows as float64 on the CPU, where fitted scores live.

    Raises:
        InputError: texts, where a score of numbers was asked.
    """
    if not isinstance(x, Tensor):
        raise InputError("this score reads numbers (activations or outputs), and was given texts")
    return x.detach().to("cpu", torch.float64)


def texts_of(x: Float[Tensor, "n d"] | Sequence[str]) -> Sequence[str]:
    """The texts.

    Raises:
        InputError: numbers, where a score of texts was asked.
    """
    if isinstance(x, Tensor):
        raise InputError("this score reads texts, and was given numbers")
    return x
