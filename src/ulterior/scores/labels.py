"""Labels as scores read them: columns of true and false, and lists of measurements of any length."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from torch import Tensor

from ulterior.errors import InputError
from ulterior.scores.linear import vectors
from ulterior.scores.score import Columns, stored_in
from ulterior.scores.statistics import Statistic


def truth_values(column: np.ndarray, name: str) -> Bool[np.ndarray, "n"]:
    """A column of labels (booleans, or the numbers 0 and 1) as booleans.

    Raises:
        InputError: other values.
    """
    values = np.asarray(column.tolist())
    if values.dtype != bool and not (values.dtype.kind in "iuf" and np.isin(values, (0, 1)).all()):
        raise InputError(f"the label column {name!r} must hold true/false or 0/1 only")
    return values.astype(bool)


def both_values(column: np.ndarray, name: str) -> Bool[np.ndarray, "n"]:
    """A column of labels that has both values.

    Raises:
        InputError: other values, or one of the two only.
    """
    values = truth_values(column, name)
    if values.all() or not values.any():
        raise InputError(
            f"a probe needs rows of both classes, and all {len(values)} have {name!r} = {bool(values[:1].any())}"
        )
    return values


def labelled_rows(
    given: Mapping[Statistic, Any], need: Statistic, columns: Columns, name: str
) -> tuple[Float[Tensor, "n d"], Bool[np.ndarray, "n"]]:
    """The stored rows that a probe asked for, and their labels, which have both values.

    Raises:
        InputError: no such rows, texts, other values, or one of the two only.
    """
    stored = stored_in(given, need)
    return vectors(stored.x), both_values(columns(need.group, name, stored.rows), name)


def positive_shares(column: np.ndarray, name: str, rows: np.ndarray) -> np.ndarray:
    """The share ``[n]`` of each row's measurements that is positive: 1 is all of them, 0 is none.

    Args:
        column: one list (or array) of true/false or 0/1 a row; rows may have different numbers of them.
        name: of the column.
        rows: numbers of the rows within their group, for messages.

    Raises:
        InputError: a row without measurements, or with another value; the row is named.
    """
    shares = np.empty(len(column))
    for place, measured in enumerate(column):
        values = np.asarray(measured)
        known = values.dtype == bool or (values.dtype.kind in "iuf" and np.isin(values, (0, 1)).all())
        if values.ndim != 1 or not len(values) or not known:
            raise InputError(
                f"{name!r} must be a list of true/false or 0/1, at least one of them, and row {rows[place]}"
                f" (counted from 0 within its group) has {measured!r}"
            )
        shares[place] = values.mean()
    return shares
