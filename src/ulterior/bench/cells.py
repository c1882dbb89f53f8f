"""A cell is one seed of one task: what every detector said of every test example, in one file."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ulterior.errors import InputError
from ulterior.examples import Examples
from ulterior.panel import DetectorScores
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
