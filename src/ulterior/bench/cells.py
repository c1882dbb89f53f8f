"""A cell is one seed of one task: what every detector said of every test example, in one file."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ulterior.bench.costs import NOTHING, reading_costs
from ulterior.bench.measured import measurement_aurocs
from ulterior.bench.variant import Built, Variant
from ulterior.detectors.detector import Detector
from ulterior.errors import InputError
from ulterior.examples import Examples
from ulterior.fitting import PASS
from ulterior.panel import DetectorScores, PanelSettings, fit_panel, split_trusted
from ulterior.tasks.task import Task, TaskData
from ulterior.version import __version__

META = b"ulterior"
OUTSIDE = -1


@dataclass(frozen=True)
class CellKey:
    """What a cell is the result of. Equal keys give equal cells.

    Attributes:
        task: Name of the task.
        size: Size of the task.
        seed: Its seed.
        detectors: Descriptions of the detectors; any change of a parameter shows in them.
        held_out: Share of trusted examples kept for calibration.
        variants: Descriptions of the variants.
        source: What the task is made of that its name does not say.
        weights: Fingerprint of the seed's subject: a cell that was made with other weights is another cell.
    """

    task: str
    size: str
    seed: int
    detectors: tuple[str, ...]
    held_out: float
    variants: tuple[str, ...] = ()
    source: str = ""
    weights: str = ""

    @property
    def config(self) -> str:
        """Hash of everything but the seed and its weights: equal for the cells that belong in one table."""
        parts = (__version__, self.task, self.size, self.detectors, self.held_out)
        if self.variants:  # in any order: none knows of another
            parts = (*parts, sorted(self.variants))
        if self.source:
            parts = (*parts, self.source)
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]

    @property
    def file(self) -> str:
        """Name of the cell's file."""
        weights = f"-{self.weights[:12]}" if self.weights else ""
        return f"{self.task}-{self.size}-seed{self.seed}-{self.config}{weights}.parquet"


@dataclass(frozen=True, eq=False)
class Cell:
    """One finished seed of one task.

    Attributes:
        key: What it is the result of.
        examples: The test examples: ``row``, ``text``, ``group``; one column for each slice (1 anomalous, 0 normal, -1
            outside).
        scores: What each detector said of them.
        about: Subject, sizes, benign groups, alpha-free facts; and the seconds of each detector and of the pass.
        skipped: Detectors that could not be fitted, and why.
    """

    key: CellKey
    examples: Examples
    scores: dict[str, DetectorScores]
    about: dict[str, Any]
    skipped: dict[str, str]

    def slice(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Rows ``[n]`` of a slice and their labels ``[n]``, 1 = anomalous."""
        label = self.examples[f"slice.{name}"]
        rows = np.flatnonzero(label != OUTSIDE)
        return rows, label[rows]

    @property
    def slices(self) -> tuple[str, ...]:
        """Names of the slices; the first is the headline."""
        return tuple(self.about["slices"])

    def group(self, name: str) -> np.ndarray:
        """Rows of a group."""
        return np.flatnonzero(self.examples["group"] == name)


@dataclass(eq=False)
class _Result:
    """What the panels of a cell, one after the other, have brought so far; by detector."""

    scores: dict[str, DetectorScores] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    costs: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    measurement: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    n_calibration: int = 0


def run_cell(
    task: Task,
    data: TaskData,
    panel: Sequence[Detector],
    key: CellKey,
    settings: PanelSettings,
    variants: Sequence[Variant] = (),
    folder: Path = Path("variants"),
) -> Cell:
    """Fit the panel on one seed of a task and score its test examples: one forward pass for each example.

    Args:
        task: The task.
        data: Its seed.
        panel: Detectors over the task's own subject.
        key: What the cell is the result of.
        settings: How panels are fitted; the same for all of them.
        variants: Panels over other subjects; one that cannot be built is skipped with its reason.
        folder: Where variants keep what they train.

    Raises:
        InputError: names that repeat, or a panel of the task's own that cannot be fitted.
    """
    started = time.perf_counter()
    every = (*panel, *(detector for variant in variants for detector in variant.panel))
    _check_names(every)
    result = _Result()
    result.seconds[PASS] = _run_panel(panel, Built(data.subject), data, settings, result)
    others = {
        variant.name: _run_variant(variant, data, settings, folder, result, key.seed) for variant in variants
    }
    text = task.columns["text"]
    columns: dict[str, Any] = {
        "row": np.arange(len(data.test)),
        "text": data.test[text],
        "group": data.test["group"],
    }
    for one in data.slices:
        label = np.full(len(data.test), OUTSIDE)
        rows, labels = one.rows(data.test)
        label[rows] = labels
        columns[f"slice.{one.name}"] = label
    about = {
        "subject": data.subject.name,
        "fingerprint": data.subject.fingerprint(),
        "slices": [one.name for one in data.slices],
        "benign": list(data.benign),
        "n_trusted": len(data.trusted),
        "n_untrusted": len(data.untrusted or ()),
        "n_test": len(data.test),
        "n_measured": len(data.measured or ()),
        "n_calibration": result.n_calibration,
        "at": task.at,
        "seconds": {name: round(spent, 4) for name, spent in result.seconds.items()},
        "total_seconds": round(time.perf_counter() - started, 2),
        "roles": {detector.name: detector.role for detector in every},
        "families": {detector.name: detector.family for detector in every},
        "abouts": {detector.name: detector.about for detector in every},
        "modes": {detector.name: detector.mode for detector in every},
        "costs": result.costs,
        "measurement": result.measurement,
        **({"variants": others} if variants else {}),
    }
    return Cell(key, Examples.of(**columns), result.scores, about, result.skipped)


def _run_panel(
    panel: Sequence[Detector], built: Built, data: TaskData, settings: PanelSettings, result: _Result
) -> float:
    """Fit a panel on its subject and score the test examples; returns the seconds of the passes."""
    # Untrusted examples that no detector of the panel compares with are not read.
    untrusted = data.untrusted if any(one.mode == "offline" for one in panel) else None
    fitted = fit_panel(
        panel, built.subject, data.trusted, untrusted, condition=data.condition, settings=settings
    )
    scores = fitted.score(built.subject, data.test, settings)
    ready = [one.detector for one in fitted.detectors]
    reading = reading_costs(ready, built.subject, data.test, built.reading)
    result.scores |= scores
    result.skipped |= fitted.skipped
    result.seconds |= {name: spent for name, spent in fitted.seconds.items() if name != PASS}
    result.costs |= {
        name: {"training": asdict(built.training + one), "scoring": asdict(one)}
        for name, one in reading.items()
    }
    network = built.measures or built.subject
    if data.measured is not None and (said := measurement_aurocs(network, data.measured)):
        result.measurement |= {name: said for name, one in reading.items() if one != NOTHING}
    result.n_calibration = next(iter(fitted.calibrations.values())).n
    return fitted.seconds[PASS]


def _run_variant(
    variant: Variant, data: TaskData, settings: PanelSettings, folder: Path, result: _Result, seed: int
) -> dict[str, Any]:
    """Build and run a variant; returns what is to be said of it."""
    started = time.perf_counter()
    about: dict[str, Any] = {"about": variant.about, "detectors": [one.name for one in variant.panel]}
    try:
        # The examples that calibrate are kept from whatever is trained, as they are kept from every fit.
        rows, _ = split_trusted(data.trusted, data.condition, settings)
        built = variant.build(replace(data, trusted=data.trusted.take(rows)), folder, seed)
        about["build_seconds"] = round(time.perf_counter() - started, 2)
        about["pass_seconds"] = round(_run_panel(variant.panel, built, data, settings, result), 4)
        about |= {"subject": built.subject.name, "fingerprint": built.subject.fingerprint()}
    except InputError as error:
        result.skipped |= {detector.name: str(error) for detector in variant.panel}
    return about


def _check_names(detectors: Sequence[Detector]) -> None:
    names = [detector.name for detector in detectors]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise InputError(
            f"detectors of one cell need different names, whatever subject they read; repeated: {', '.join(repeated)}"
        )


def write_cell(cell: Cell, folder: Path) -> None:
    """Write a cell; its file appears only once it is complete, so that a kill leaves no half cell."""
    columns = {name: cell.examples.table.column(name) for name in cell.examples.columns}
    keys = {}
    for name, scores in cell.scores.items():
        keys[name] = list(scores.keys)
        columns[f"{name}.fused"] = pa.array(scores.fused)
        columns[f"{name}.p"] = pa.array(scores.p)
        columns[f"{name}.site_scores"] = _lists(scores.site_scores)
        columns[f"{name}.site_p"] = _lists(scores.site_p)
    meta = {"keys": keys, "about": cell.about, "skipped": cell.skipped, "version": __version__}
    table = pa.table(columns).replace_schema_metadata({META: json.dumps(meta).encode()})
    try:
        Examples(table).write_parquet(folder / cell.key.file)
    except OSError as error:
        raise InputError(f"cannot write results to '{folder}': {error.strerror or error}") from error


def read_cell(key: CellKey, folder: Path) -> Cell | None:
    """A finished cell, or None where there is none or its file is damaged."""
    path = folder / key.file
    if not path.exists():
        return None
    try:
        table = pq.read_table(path)
        meta = json.loads(table.schema.metadata[META])
        scores = {}
        for name, keys in meta["keys"].items():
            sites = [_matrix(table.column(f"{name}.{what}"), len(keys)) for what in ("site_scores", "site_p")]
            numbers = [table.column(f"{name}.{what}").to_numpy() for what in ("fused", "p")]
            scores[name] = DetectorScores(tuple(keys), sites[0], sites[1], numbers[0], numbers[1])
        ours = [
            name
            for name in table.column_names
            if name in ("row", "text", "group") or name.startswith("slice.")
        ]
        return Cell(key, Examples(table.select(ours)), scores, meta["about"], meta["skipped"])
    except (pa.ArrowInvalid, OSError, KeyError, TypeError, ValueError):
        return None


def _lists(values: np.ndarray) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])


def _matrix(column: pa.ChunkedArray, width: int) -> np.ndarray:
    return column.combine_chunks().flatten().to_numpy().reshape(-1, width)
