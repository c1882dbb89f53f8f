"""Making a cell: the panel of a task's own subject, and those of its variants, each kept as soon as it is done."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from ulterior.bench.cells import OUTSIDE, Cell, CellKey, read_cell, write_cell
from ulterior.bench.costs import NOTHING, reading_costs
from ulterior.bench.measured import measurement_aurocs
from ulterior.bench.variant import Built, Variant
from ulterior.detectors.detector import Detector
from ulterior.errors import InputError
from ulterior.examples import Examples
from ulterior.fitting import PASS
from ulterior.panel import PanelSettings, fit_panel, split_trusted
from ulterior.tasks.task import Task, TaskData

__all__ = ["run_cell"]

# What a cell says of each of its detectors, by name; parts are joined by these.
BY_DETECTOR = ("seconds", "roles", "families", "abouts", "modes", "costs", "measurement")


def run_cell(
    task: Task,
    data: TaskData,
    panel: Sequence[Detector],
    key: CellKey,
    settings: PanelSettings,
    variants: Sequence[Variant] = (),
    *,
    trained: Path = Path("variants"),
    parts: Path | None = None,
) -> Cell:
    """Fit the panel on one seed of a task and score its test examples: one forward pass for each example.

    Args:
        task: The task.
        data: Its seed.
        panel: Detectors over the task's own subject.
        key: What the cell is the result of.
        settings: How panels are fitted; the same for all of them.
        variants: Panels over other subjects; one that cannot be built is skipped with its reason.
        trained: Folder where variants keep what they train.
        parts: Folder where the panel of the own subject, and that of each variant, is kept as a cell of its own as
            soon as it is done, and from which it is taken; nothing is kept without.

    Raises:
        InputError: names that repeat, or a panel of the task's own that cannot be fitted.
    """
    _check_names((*panel, *(detector for variant in variants for detector in variant.panel)))
    if not variants:
        return _run_panel(panel, Built(data.subject), task, data, key, settings)
    own_key = replace(key, variants=())
    own = _read(own_key, parts)
    if own is None:
        own = _run_panel(panel, Built(data.subject), task, data, own_key, settings)
        _write(own, parts)
    others = {}
    for variant in variants:
        part_key = replace(key, detectors=(), variants=(repr(variant),))
        part = _read(part_key, parts)
        if part is None:
            print(f"{key.task} seed {key.seed}: {variant.about}", file=sys.stderr)
            part = _run_variant(variant, task, data, part_key, settings, trained)
            if not part.skipped:  # its reason may be gone the next time
                _write(part, parts)
        others[variant.name] = part
    return _joined(key, own, others)


def _read(key: CellKey, parts: Path | None) -> Cell | None:
    return None if parts is None else read_cell(key, parts)


def _write(part: Cell, parts: Path | None) -> None:
    if parts is not None:
        write_cell(part, parts)


def _joined(key: CellKey, own: Cell, others: dict[str, Cell]) -> Cell:
    """One cell of the own panel and those of the variants."""
    every = (own, *others.values())
    about = own.about | {
        "total_seconds": round(sum(part.about["total_seconds"] for part in every), 2),
        "variants": {name: part.about["variant"] for name, part in others.items()},
    }
    for what in BY_DETECTOR:
        found: dict[str, Any] = {}
        for part in every:
            found |= part.about[what]
        # The time of the pass is that of the own subject's; a variant says its own.
        about[what] = found | ({PASS: own.about[what][PASS]} if what == "seconds" else {})
    scores = {name: one for part in every for name, one in part.scores.items()}
    skipped = {name: reason for part in every for name, reason in part.skipped.items()}
    return Cell(key, own.examples, scores, about, skipped)


def _run_panel(
    panel: Sequence[Detector], built: Built, task: Task, data: TaskData, key: CellKey, settings: PanelSettings
) -> Cell:
    """Fit a panel on its subject and score the test examples."""
    started = time.perf_counter()
    # Untrusted examples that no detector of the panel compares with are not read.
    untrusted = data.untrusted if any(one.mode == "offline" for one in panel) else None
    fitted = fit_panel(
        panel, built.subject, data.trusted, untrusted, condition=data.condition, settings=settings
    )
    scores = fitted.score(built.subject, data.test, settings)
    ready = [one.detector for one in fitted.detectors]
    costs = reading_costs(ready, built.subject, data.test, built.reading)
    network = built.measures or built.subject
    said = measurement_aurocs(network, data.measured) if data.measured is not None else {}
    about = {
        **_about(panel, built, task, data),
        "n_calibration": next(iter(fitted.calibrations.values())).n,
        "seconds": {name: round(spent, 4) for name, spent in fitted.seconds.items()},
        "total_seconds": round(time.perf_counter() - started, 2),
        "costs": {
            name: {"training": asdict(built.training + one), "scoring": asdict(one)}
            for name, one in costs.items()
        },
        "measurement": {name: said for name, one in costs.items() if said and one != NOTHING},
    }
    return Cell(key, _examples(task, data), scores, about, dict(fitted.skipped))


def _run_variant(
    variant: Variant, task: Task, data: TaskData, key: CellKey, settings: PanelSettings, trained: Path
) -> Cell:
    """Build and run a variant; what is to be said of it is under `variant`."""
    started = time.perf_counter()
    said: dict[str, Any] = {"about": variant.about, "detectors": [one.name for one in variant.panel]}
    try:
        # The examples that calibrate are kept from whatever is trained, as they are kept from every fit.
        rows, _ = split_trusted(data.trusted, data.condition, settings)
        built = variant.build(replace(data, trusted=data.trusted.take(rows)), trained, key.seed)
        said["build_seconds"] = round(time.perf_counter() - started, 2)
        part = _run_panel(variant.panel, built, task, data, key, settings)
        said["pass_seconds"] = part.about["seconds"][PASS]
        said |= {name: part.about[name] for name in ("subject", "fingerprint")}
    except InputError as error:
        nothing = {what: {} for what in ("seconds", "costs", "measurement")}
        about = _about(variant.panel, Built(data.subject), task, data) | nothing
        skipped = {detector.name: str(error) for detector in variant.panel}
        part = Cell(key, _examples(task, data), {}, about, skipped)
    about = part.about | {"total_seconds": round(time.perf_counter() - started, 2), "variant": said}
    return replace(part, about=about)


def _examples(task: Task, data: TaskData) -> Examples:
    """The test examples as a cell keeps them."""
    columns: dict[str, Any] = {
        "row": np.arange(len(data.test)),
        "text": data.test[task.columns["text"]],
        "group": data.test["group"],
    }
    for one in data.slices:
        label = np.full(len(data.test), OUTSIDE)
        rows, labels = one.rows(data.test)
        label[rows] = labels
        columns[f"slice.{one.name}"] = label
    return Examples.of(**columns)


def _about(panel: Sequence[Detector], built: Built, task: Task, data: TaskData) -> dict[str, Any]:
    """What is known before anything is fitted."""
    return {
        "subject": built.subject.name,
        "fingerprint": built.subject.fingerprint(),
        "slices": [one.name for one in data.slices],
        "benign": list(data.benign),
        "n_trusted": len(data.trusted),
        "n_untrusted": len(data.untrusted or ()),
        "n_test": len(data.test),
        "n_measured": len(data.measured or ()),
        "at": task.at,
        "roles": {detector.name: detector.role for detector in panel},
        "families": {detector.name: detector.family for detector in panel},
        "abouts": {detector.name: detector.about for detector in panel},
        "modes": {detector.name: detector.mode for detector in panel},
    }


def _check_names(detectors: Sequence[Detector]) -> None:
    names = [detector.name for detector in detectors]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise InputError(
            f"detectors of one cell need different names, whatever subject they read; repeated: {', '.join(repeated)}"
        )
