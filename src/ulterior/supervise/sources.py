"""Where examples and labels come from: a task of the bench, or one's own model and files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from ulterior.audit.monitor import SubjectOptions
from ulterior.detectors.catalogue import activation_panel, ceiling, chosen
from ulterior.detectors.detector import Detector
from ulterior.detectors.panels import further_panel, named_panel
from ulterior.errors import InputError
from ulterior.examples import Examples, load_examples
from ulterior.features.activations import activations
from ulterior.features.feature import Feature
from ulterior.panel import PanelSettings
from ulterior.scores.labels import positive_shares, truth_values
from ulterior.serialise import saved
from ulterior.supervise.figures import OUTSIDE
from ulterior.supervise.pool import CONFIDENCE, Condition, Pool, fill_pool
from ulterior.tasks.task import Task
from ulterior.version import __version__

REFERENCES = ("trusted_probe", "tampering_probe", "ceiling")
"""Detectors that are drawn beside the curves, where the panel has them."""


@saved
@dataclass(frozen=True, eq=False)
class Prepared:
    """A pool, and the truth that only the labeller and the evaluation may see.

    Attributes:
        pool: What was read in the one pass.
        truth: Whether each of the pool's suspects is anomalous ``[n]``; empty where nobody knows.
        slices: Labels of the test examples in each comparison: 1 anomalous, 0 normal, -1 outside.
        roles: Of the detectors.
    """

    pool: Pool
    truth: Bool[np.ndarray, " n"]
    slices: Mapping[str, Int[np.ndarray, " t"]]
    roles: Mapping[str, str]


def task_detectors(task: Task, start: str) -> tuple[tuple[Detector, ...], Feature]:
    """The start detector, the subject's confidence and the references of a task; and what its ceiling reads."""
    panel = named_panel(task.sites, task.at, columns=task.columns, tampering=task.kind == "tampering")
    names = [detector.name for detector in panel]
    wanted = [start, CONFIDENCE, *(name for name in REFERENCES if name in names)]
    probe = next(detector.feature for detector in panel if detector.role == "ceiling")
    return chosen(panel, tuple(dict.fromkeys(wanted))), probe


def prepare_task(task: Task, seed: int, size: str, start: str, settings: PanelSettings) -> Prepared:
    """Load one seed of a task and read it.

    Raises:
        InputError: a task without untrusted examples.
    """
    detectors, probe = task_detectors(task, start)
    data = task.load(seed, size)
    if data.untrusted is None:
        raise InputError(f"the task '{task.name}' has no untrusted examples: there is nothing to label")
    pool = fill_pool(
        data.subject,
        data.trusted,
        data.untrusted,
        data.test,
        detectors=detectors,
        start=start,
        probe=probe,
        condition=data.condition,
        settings=settings,
    )
    slices = {}
    for one in data.slices:
        rows, labels = one.rows(data.test)
        slices[one.name] = np.full(len(data.test), OUTSIDE)
        slices[one.name][rows] = labels
    column = task.columns["truth"]
    truth = truth_values(data.untrusted[column][pool.suspects.rows], column)
    return Prepared(pool, truth, slices, {one.name: one.role for one in detectors})


@dataclass(frozen=True)
class Files:
    """One's own model and data.

    Attributes:
        options: The model and how examples become its inputs.
        trusted: Examples whose mechanism is the usual one.
        untrusted: Examples of unknown mechanism.
        test: Examples to evaluate on, if any.
        truth: Column with the truth: of the test examples, and of the untrusted ones where labels come from it.
        measurements: Column with lists of measurements; examined are the rows on which all are positive.
        labelled: Whether labels come from the truth column of the untrusted examples.
        sites: Sites that the detectors read.
        probe_sites: Sites that the probe reads.
        at: Position of both readings.
        start: The detector that ranks first.
    """

    options: SubjectOptions
    trusted: str
    untrusted: str
    test: str | None
    truth: str | None
    measurements: str | None
    labelled: bool
    sites: str
    probe_sites: str
    at: str
    start: str

    def __post_init__(self) -> None:
        if self.test is not None and self.truth is None:
            raise InputError("--test is there to evaluate on: name the column with its truth (--truth)")
        if self.labelled and self.truth is None:
            raise InputError(
                "labels from a column need its name (--truth); or let a person label: --labels-from person"
            )

    def load(self, source: str, *, truth: bool) -> Examples:
        """One file with the columns that are needed, and no others."""
        columns = [self.options.column]
        columns += [name for name in (self.measurements, self.truth if truth else None) if name is not None]
        return load_examples(source, require=columns).only(*dict.fromkeys(columns))

    def detectors(self) -> tuple[tuple[Detector, ...], Feature]:
        """The start detector, confidence, and with a labelled untrusted set the ceiling; and what the probe reads."""
        at: Any = int(self.at) if self.at.lstrip("-").isdigit() else self.at
        probe = activations(self.probe_sites, at=at)
        panel = (*activation_panel(self.sites, at), *further_panel(self.sites, at))
        if self.labelled and self.test is not None:
            panel = (*panel, ceiling(probe, str(self.truth)))
        wanted = [self.start, CONFIDENCE, *(one.name for one in panel if one.role == "ceiling")]
        return chosen(panel, tuple(dict.fromkeys(wanted))), probe

    def key(self) -> tuple[Any, ...]:
        """What the pool is the result of."""
        contents = [_content(source) for source in (self.trusted, self.untrusted, self.test) if source]
        weights = [_state(source) for source in (self.options.model, self.options.adapter) if source]
        return (asdict(self), contents, weights)

    def condition(self) -> Condition | None:
        """Which rows are examined."""
        name = self.measurements
        if name is None:
            return None

        def all_positive(examples: Examples) -> np.ndarray:
            return positive_shares(examples[name], name, np.arange(len(examples))) == 1

        return all_positive


def prepare_files(files: Files, settings: PanelSettings) -> Prepared:
    """Load one's own files and read them."""
    detectors, probe = files.detectors()
    trusted = files.load(files.trusted, truth=False)
    untrusted = files.load(files.untrusted, truth=files.labelled)
    test = None if files.test is None else files.load(files.test, truth=True)
    condition = files.condition()
    slices, truth = {}, np.zeros(0, bool)
    if test is not None:
        labels = truth_values(test[str(files.truth)], str(files.truth)).astype(np.int64)
        slices["test"] = labels if condition is None else np.where(condition(test), labels, OUTSIDE)
    if files.labelled:
        truth = truth_values(untrusted[str(files.truth)], str(files.truth))
    pool = fill_pool(
        files.options.open(),
        trusted,
        untrusted,
        test,
        detectors=detectors,
        start=files.start,
        probe=probe,
        condition=condition,
        settings=settings,
    )
    return Prepared(
        pool,
        truth[pool.suspects.rows] if files.labelled else truth,
        slices,
        {one.name: one.role for one in detectors},
    )


def hashed(*parts: Any) -> str:
    """A short hash of what a file is the result of."""
    return hashlib.sha256(json.dumps((__version__, *parts), default=str).encode()).hexdigest()[:12]


def described(detectors: Sequence[Detector], probe: Feature) -> tuple[str, ...]:
    """Detectors and the probe's feature as text in which any change of a parameter shows."""
    return (*map(repr, detectors), repr(probe))


def _state(source: str) -> list[Any]:
    """Names, sizes and times of a local model's files, so that another model in the same folder is another model."""
    files = sorted(Path(source).iterdir()) if Path(source).is_dir() else []
    return [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]


def _content(source: str) -> str:
    path = Path(source)
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else source
