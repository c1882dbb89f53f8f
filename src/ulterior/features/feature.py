"""What a feature is: a value that says what to read from one forward pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ulterior.capture import Captured
from ulterior.errors import InputError
from ulterior.examples import Examples
from ulterior.features.gradients import Gradients, Output
from ulterior.subject import Batch, RowError, Subject


@dataclass(frozen=True, eq=False)
class Tokens:
    """Values at every token of some examples, one row a token.

    Attributes:
        values: ``[N, d]`` float32.
        owner: Which example of the batch each row belongs to, ascending.
    """

    values: Float[Tensor, "N d"]
    owner: Int[Tensor, " N"]


# One row [d] an example, or one a token, or the text itself. (Axes unnamed: a part of a value has fewer rows.)
Values = Float[Tensor, "_ _"] | Tokens | list[str]


@dataclass(frozen=True, eq=False)
class Run:
    """One forward pass over a batch, as features see it.

    Attributes:
        examples: The rows of this batch, in the batch's order.
        batch: Their inputs; empty if no feature runs the model.
        captured: Activations at the sites that the features asked for.
        output: What the model returned.
        subject: The subject that ran.
        gradients: Of the readouts that some feature of this read names in ``gradient_of``; None if no feature does.
    """

    examples: Examples
    batch: Batch
    captured: Captured
    output: Any
    subject: Subject
    gradients: Gradients | None = None


@runtime_checkable
class Feature(Protocol):
    """A frozen, hashable value; nothing runs until it is read."""

    @property
    def runs_model(self) -> bool:
        """Whether reading needs a forward pass at all."""
        ...

    def sites(self, subject: Subject) -> tuple[str, ...]:
        """The sites that must be captured in the forward pass."""
        ...

    def read(self, run: Run) -> dict[str, Values]:
        """Values by key, such as ``resid.3@last``; float32, or text."""
        ...


@runtime_checkable
class NeedsGradients(Protocol):
    """What a feature has, besides, that reads gradients: the forward then keeps its graph.

    Every column of every output that is named costs one backward pass, which all features of the read share.
    """

    @property
    def gradient_of(self) -> tuple[Output, ...]:
        """The readouts, or other outputs, whose gradients at the feature's sites are to be in ``Run.gradients``."""
        ...


@runtime_checkable
class RunsMore(Protocol):
    """What a feature has, besides, that runs the model once more by itself; a bench counts these passes."""

    @property
    def own_forwards(self) -> int:
        """Forward passes beside the one that all share."""
        ...

    @property
    def own_backward_of(self) -> tuple[str, ...]:
        """The readouts each of whose columns costs a backward pass through its own forward."""
        ...


@runtime_checkable
class Preparation(Protocol):
    """Mutable and streaming: gathers over trusted examples what a feature must know before it can be read."""

    def update(self, rows: Int[np.ndarray, " n"], reading: Mapping[Feature, Mapping[str, Values]]) -> None:
        """Take in one batch: the examples' numbers in the sample, and what was read of them."""
        ...

    def finish(self) -> Feature:
        """The feature with its statistics: frozen, ``saved``, ready to be read."""
        ...


@runtime_checkable
class Prepares(Feature, Protocol):
    """What a feature has, besides, that must know trusted examples before it can be read; see ``prepare``."""

    @property
    def before(self) -> tuple[Feature, ...]:
        """What is read of a sample of trusted examples."""
        ...

    def begin(self, subject: Subject) -> Preparation:
        """A fresh gatherer of statistics."""
        ...


class FeatureError(InputError):
    """Features that this subject cannot give; a panel leaves their detectors out and reads the others."""

    def __init__(self, features: Sequence[Feature], problem: str) -> None:
        self.features = tuple(features)
        super().__init__(problem)


def side_by_side(values: Mapping[str, Float[Tensor, "n _"]], what: str) -> Float[Tensor, "n d"]:
    """The values at several places as the columns of one tensor, place by place, in float32.

    Raises:
        RowError: a value that is NaN or infinite, with its place and all rows of the batch that have one there.
    """
    whole = torch.cat(list(values.values()), 1).float()
    if not bool(whole.isfinite().all()):
        for place, value in values.items():
            bad = ~value.float().isfinite().all(1)
            if bool(bad.any()):
                raise RowError(bad.nonzero()[:, 0].tolist(), not_finite(what, place))
    return whole


def not_finite(what: str, place: str) -> str:
    """The one sentence about numbers that half precision cannot hold."""
    return f"the {what} at '{place}' is NaN or infinite; a wider dtype (float32, bfloat16) may help"


def unprepared(feature: Feature) -> FeatureError:
    """The error of whoever reads a feature that lacks its statistics."""
    return FeatureError(
        [feature],
        f"{type(feature).__name__} needs statistics of trusted examples before it can be read; fit it in a panel, or"
        " read what `prepare` makes of it",
    )
