"""What a task is: a subject, who is trusted, what is true, and the controls beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from ulterior.examples import Examples
from ulterior.measurement.contrast import Statements
from ulterior.subject import Subject

Kind = Literal["tampering", "anomaly"]
Condition = Callable[[Examples], np.ndarray]


@dataclass(frozen=True)
class Slice:
    """A comparison inside the test examples: some groups are anomalous, some are normal.

    Attributes:
        name: What the slice is called in tables.
        anomalous: Names of the groups that a good detector ranks high.
        normal: Names of the groups that it ranks low.
        where: ``(column, values)`` restricts both sides to the rows with one of these values.
    """

    name: str
    anomalous: tuple[str, ...]
    normal: tuple[str, ...]
    where: tuple[str, tuple[int | str, ...]] | None = None

    def rows(self, test: Examples) -> tuple[np.ndarray, np.ndarray]:
        """Row numbers ``[n]`` of the slice and their labels ``[n]`` (1 = anomalous)."""
        group = test["group"].astype(str)
        label = np.isin(group, self.anomalous)
        chosen = label | np.isin(group, self.normal)
        if self.where is not None:
            column, values = self.where
            chosen &= np.isin(test[column], values)
        rows = np.flatnonzero(chosen)
        return rows, label[rows].astype(np.int64)


@dataclass(frozen=True, eq=False)
class TaskData:
    """One seed of a task.

    Attributes:
        subject: The model under examination.
        trusted: Examples whose mechanism is known to be the usual one.
        untrusted: Training examples of unknown mechanism, or none. Their truth, where a column holds it, is for
            the ceiling alone.
        test: The examples that are scored; a text column ``group`` names the kind of each row. The group
            ``trusted`` holds fresh trusted examples, on which the realised false-alarm rate is measured.
        slices: The comparisons; the first is the headline.
        benign: Groups that differ from the trusted ones and must *not* be flagged.
        condition: Which rows are examined at all (all measurements positive, say); none means every row.
        predictor: Folder or hub id of the measurement predictor that the subject is: methods that train the network
            start from it, and contrast pairs ask it. The examples then have the published columns ``text``,
            ``measurements`` and, for ceilings, the outcome.
        base: The pretrained model that it was before, where that is at hand.
        contrast: What is said at the end of each text to ask for the outcome.
        measured: Rows of their own, with whatever measurements, on which predictors of measurements are judged as such.
    """

    subject: Subject
    trusted: Examples
    untrusted: Examples | None
    test: Examples
    slices: tuple[Slice, ...]
    benign: tuple[str, ...] = ()
    condition: Condition | None = None
    predictor: str | Path | None = None
    base: str | Path | None = None
    contrast: Statements | None = None
    measured: Examples | None = None


@dataclass(frozen=True)
class Task:
    """A named benchmark.

    Attributes:
        name: What it is called on the command line.
        about: One line for tables.
        kind: ``tampering`` where measurements come with an outcome to learn from, else ``anomaly``.
        baseline: The detector against which the verdicts ``better``, ``worse`` and ``inconclusive`` are given.
        load: Makes one seed of one size (``smoke``, ``small`` or ``full``).
        columns: Its names of what detectors may need: ``text``; ``outcome`` (1 = the usual, good reason; known on
            trusted examples); ``measurements``; ``truth`` (1 = anomalous; for ceilings only).
        sites: The sites that are read by default.
        at: The position at which they are read.
        source: What a task is made of that its name does not say: data and a model of one's own.
        subject: The subject of a seed without its examples, so that what was computed with other weights is recognised
            at the cost of loading a model. The whole seed is loaded where this is not given.
    """

    name: str
    about: str
    kind: Kind
    baseline: str
    load: Callable[[int, str], TaskData]
    columns: Mapping[str, str]
    sites: str = "resid.*"
    at: str = "last"
    source: str = ""
    subject: Callable[[int], Subject] | None = None

    def fingerprint(self, seed: int, size: str) -> str:
        """Of the weights of a seed's subject; see ``ulterior.fingerprint``."""
        subject = self.subject(seed) if self.subject is not None else self.load(seed, size).subject
        return subject.fingerprint()
