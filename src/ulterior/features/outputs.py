"""Numbers read from the model's output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ulterior.errors import InputError
from ulterior.features.feature import Run, Values
from ulterior.readouts import class_logits, last_logits
from ulterior.serialise import saved
from ulterior.sites import match_sites, split_patterns
from ulterior.subject import Subject


def outputs(*readouts: str) -> Outputs:
    """Read some of the subject's readouts (``behaviour`` if none is named), side by side in this order.

    One key, ``outputs``, with values ``[n, sum of the readouts' widths]``.
    """
    return Outputs(readouts or ("behaviour",))


@saved
@dataclass(frozen=True)
class Outputs:
    """See ``outputs``."""

    readouts: tuple[str, ...]

    @property
    def runs_model(self) -> bool:
        return True

    def sites(self, subject: Subject) -> tuple[str, ...]:
        for name in self.readouts:
            if name not in subject.readouts:
                raise InputError(
                    f"this subject has no readout '{name}'; it has: {', '.join(subject.readouts)}"
                )
        return ()

    def read(self, run: Run) -> dict[str, Values]:
        columns = [_columns(run.subject.readouts[name](run.output, run.batch)) for name in self.readouts]
        return {"outputs": torch.cat([column.to(columns[0].device) for column in columns], dim=1)}


def each_output(*patterns: str) -> EachOutput:
    """Read some of the subject's readouts, each under its own name as its key, as a detector reads sites.

    Args:
        patterns: Names or globs of readouts, ``[n]`` or ``[n, k]``.
    """
    return EachOutput(split_patterns(patterns))


@saved
@dataclass(frozen=True)
class EachOutput:
    """See ``each_output``."""

    patterns: tuple[str, ...]

    @property
    def runs_model(self) -> bool:
        return True

    def names(self, subject: Subject) -> tuple[str, ...]:
        """The readouts, in the subject's order."""
        return match_sites(self.patterns, tuple(subject.readouts))

    def sites(self, subject: Subject) -> tuple[str, ...]:
        self.names(subject)
        return ()

    def read(self, run: Run) -> dict[str, Values]:
        readouts = run.subject.readouts
        return {name: _columns(readouts[name](run.output, run.batch)) for name in self.names(run.subject)}


def logits(of: Sequence[int] = (), *, top: int = 0) -> Logits:
    """Read log-probabilities from the subject's logits: those of its next token, or of its classes.

    Args:
        of: Ids of tokens, or numbers of classes, in this order; all classes of a classifier if neither these nor
            ``top`` are given. Key ``logits`` ``[n, number of ids]``.
        top: So many of the largest ones, descending, whichever they belong to. Key ``top`` ``[n, top]``.
    """
    if top < 0 or min(of, default=0) < 0:
        raise InputError(
            f"ids of classes or tokens and their number begin at 0; given: {tuple(of)}, top={top}"
        )
    return Logits(tuple(of), top)


@saved
@dataclass(frozen=True)
class Logits:
    """See ``logits``."""

    of: tuple[int, ...]
    top: int

    @property
    def runs_model(self) -> bool:
        return True

    def sites(self, subject: Subject) -> tuple[str, ...]:
        return ()

    def read(self, run: Run) -> dict[str, Values]:
        given = run.output if isinstance(run.output, Tensor) else getattr(run.output, "logits", None)
        if not isinstance(given, Tensor) or given.ndim > 3:
            raise InputError("this subject's output has no logits; `outputs` reads its readouts")
        causal = given.ndim == 3
        found = (last_logits if causal else class_logits)(run.output, run.batch)
        needed = max(self.top, *(number + 1 for number in self.of), 0)
        if needed > found.shape[1]:
            raise InputError(
                f"logits of {needed} classes or tokens were asked for; there are {found.shape[1]}"
            )
        if causal and not self.of and not self.top:
            raise InputError(
                "name the tokens whose log-probabilities are to be read, or how many of the largest"
            )
        found = found.log_softmax(1)
        values: dict[str, Values] = {}
        if self.of or not self.top:
            values["logits"] = found[:, list(self.of)] if self.of else found
        if self.top:
            values["top"] = found.topk(self.top, dim=1).values
        return values


def _columns(values: Tensor) -> Tensor:
    return values.float().reshape(len(values), -1)
