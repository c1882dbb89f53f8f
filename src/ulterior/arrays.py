"""Subjects that take one tensor: an MLP on vectors, a CNN on images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import nn

from ulterior.errors import InputError
from ulterior.examples import Examples
from ulterior.readouts import CLASSES
from ulterior.subject import Batch, Encoded, Readout, RowError, Subject, arguments_of, device_of


def array_subject(
    model: nn.Module,
    *,
    column: str = "x",
    shape: Sequence[int] | None = None,
    readouts: Mapping[str, Readout] = CLASSES,
    name: str | None = None,
) -> Subject:
    """A subject from a model whose ``forward`` takes one tensor.

    Args:
        model: Put into evaluation mode. Its output is a tensor ``[n]`` or ``[n, classes]``, unless other
            readouts are given; its behaviour is then how far the most likely class leads.
        column: A column of numbers, of equally long lists, or of nested lists.
        shape: Shape of one input, where the column holds it flat: ``(1, 28, 28)``.
        readouts: Numbers read from the output.
        name: What reports call it; the class's name if not given.

    Example:
        >>> mlp = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 3))
        >>> subject = array_subject(mlp)
        >>> subject.sites()
        ('0', '1', '2')
    """
    accepted = arguments_of(model)
    if not accepted or accepted[0] in ("args", "kwargs"):
        raise InputError(
            f"{type(model).__name__}.forward names no argument; build the Subject from its parts"
        )

    def encode(examples: Examples) -> list[Encoded]:
        rows = torch.tensor(_stack(examples[column], column), dtype=_dtype(model))
        try:
            rows = rows if shape is None else rows.reshape(len(rows), *shape)
        except RuntimeError:
            size = tuple(rows.shape[1:])
            raise InputError(
                f"column '{column}' holds arrays of shape {size}, not of {tuple(shape or ())}"
            ) from None
        return [Encoded({accepted[0]: row}) for row in rows.unbind(0)]

    def collate(encoded: Sequence[Encoded]) -> Batch:
        stacked = torch.stack([example.inputs[accepted[0]] for example in encoded])
        return Batch({accepted[0]: stacked.to(device_of(model))})

    return Subject.of(model, encode=encode, collate=collate, readouts=readouts, name=name)


def _stack(values: np.ndarray, column: str) -> np.ndarray:
    if values.dtype != object:
        return values
    for row, value in enumerate(values):
        if value is None or isinstance(value, (str, dict)) or np.shape(value) != np.shape(values[0]):
            problem = f"expected an array of numbers of shape {np.shape(values[0])} like row 0"
            raise RowError(row, f"column '{column}' holds {value!r:.60}; {problem}")
    return np.asarray(values.tolist())


def _dtype(model: nn.Module) -> torch.dtype:
    floating = (parameter.dtype for parameter in model.parameters() if parameter.is_floating_point())
    return next(floating, torch.float32)
