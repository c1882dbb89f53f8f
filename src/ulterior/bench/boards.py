"""The leaderboards on the page of a bench: of one task, and of all tasks together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ulterior.bench.cells import Cell
from ulterior.bench.measured import ALL, MEASUREMENTS, SENSORS
from ulterior.bench.table import AUROC, COSTS, DIFFERENCE, FALSE_ALARMS, LEVELS, Row, headlines, recall_name
from ulterior.report import HeatMap, Interval, Leaderboard, Metric, Standing
from ulterior.report.model import SHOWN_AS

__all__ = ["joint_board", "joint_heat_map", "task_board"]

RECALLS = tuple(map(recall_name, LEVELS))
ORDER = (AUROC, *RECALLS, FALSE_ALARMS, *MEASUREMENTS, *COSTS)


def task_board(
    rows: Sequence[Row], order: Sequence[str], cells: Sequence[Cell], alpha: float, compared: int
) -> Leaderboard:
    """Every detector on every slice of a task.

    Args:
        rows: Of the task, over all seeds.
        order: Names of the detectors.
        cells: The seeds.
        alpha: The false-alarm rate at which thresholds were set.
        compared: How many comparisons the verdicts are corrected for.
    """
    about, headline = cells[0].about, cells[0].slices[0]
    shown = sorted(_shown(rows, headline), key=lambda row: ORDER.index(row.metric))
    differences = {row.detector: row for row in rows if row.metric == DIFFERENCE and row.slice == headline}
    metrics: dict[str, Metric] = {}
    values: dict[str, dict[str, Interval]] = {name: {} for name in order}
    for row in shown:
        key = f"{row.metric}|{row.slice}"
        metrics.setdefault(key, Metric(key, **_column(row, alpha), mark=_baseline(shown, row)))
        values[row.detector][key] = _interval(row)
    standings = tuple(
        Standing(
            name,
            values[name],
            role=SHOWN_AS[about["roles"][name]],
            family=about["families"][name],
            about=about["abouts"][name],
            mode=about.get("modes", {}).get(name, ""),
            seconds=float(np.mean([cell.about["seconds"].get(name, 0.0) for cell in cells])),
            **_verdict(differences.get(name)),
        )
        for name in order
    )
    passes = np.mean([cell.about["seconds"].get("pass", 0.0) for cell in cells])
    caption = (
        f"Intervals are 95%; verdicts are corrected for {compared} comparisons. Seconds are each detector's own, a"
        f" seed; the forward passes that all share took {passes:.1f} s."
    )
    if any(row.metric == SENSORS for row in shown):
        caption += (
            " The measurement AUROCs are those of the network that a detector reads, on rows that nothing was"
            " trained on; passes are runs of an example through a network, those of its training included."
        )
    return Leaderboard(tuple(metrics.values()), standings, caption)


def joint_board(rows: Sequence[Row], cells: Mapping[str, Sequence[Cell]]) -> Leaderboard:
    """Every detector on the headline slice of every task; ``rows`` and ``cells`` of all tasks."""
    first = {task: some[0].slices[0] for task, some in cells.items()}
    shown = [
        row
        for row in rows
        if row.seed is None and row.metric in (AUROC, *RECALLS) and row.slice == first[row.task]
    ]
    metrics: dict[str, Metric] = {}
    values: dict[str, dict[str, Interval]] = {}
    for row in sorted(shown, key=lambda row: (ORDER.index(row.metric), list(cells).index(row.task))):
        key = f"{row.metric}|{row.task}"
        group = "AUROC" if row.metric == AUROC else row.metric
        column = {**_column(row, 0.0), "label": row.task, "group": group, "about": row.slice}
        metrics.setdefault(key, Metric(key, **column, mark=_baseline(shown, row)))
        values.setdefault(row.detector, {})[key] = _interval(row)
    facts = [some[0].about for some in cells.values()]
    families, abouts, modes = (
        {k: v for one in facts for k, v in one.get(what, {}).items()}
        for what in ("families", "abouts", "modes")
    )
    standings = tuple(
        Standing(
            name,
            values[name],
            role=SHOWN_AS[next(iter(found.values())).role],
            family=families[name],
            about=abouts[name],
            mode=modes.get(name, ""),
        )
        for name, found in headlines(rows).items()
    )
    return Leaderboard(
        tuple(metrics.values()), standings, "Intervals are 95%. Marked on each axis: the task's baseline."
    )


def joint_heat_map(rows: Sequence[Row], tasks: Sequence[str]) -> HeatMap:
    """AUROC of every detector on every task's headline slice; each task leads to its own section."""
    found = headlines(rows)
    values = np.full((len(tasks), len(found)), np.nan)
    for column, by_task in enumerate(found.values()):
        for index, task in enumerate(tasks):
            row = by_task.get(task)
            if row is not None and row.value is not None:
                values[index, column] = row.value
    return HeatMap(
        "AUROC on the headline slice of each task",
        tuple(tasks),
        tuple(found),
        values,
        about="A task leads to its curves and examples.",
        links=tuple(tasks),
    )


def _shown(rows: Sequence[Row], headline: str) -> Iterator[Row]:
    """What gets a column: recall on the headline slice alone, networks where they measure, no costs of nothing."""
    measuring = any(row.metric == SENSORS for row in rows)
    spent = {row.metric for row in rows if row.metric in COSTS and row.value}
    for row in rows:
        if row.metric in RECALLS and row.slice != headline:
            continue
        if row.metric in COSTS and not (measuring and row.metric in spent):
            continue
        if row.metric in ORDER:
            yield row


def _column(row: Row, alpha: float) -> dict[str, Any]:
    """Label, unit, heading and target of the column in which a row stands."""
    if row.metric in COSTS:
        kind, _, what = row.metric.split()
        return {"label": f"{what}, {kind}", "unit": "number", "group": "passes an example"}
    if row.metric in MEASUREMENTS:
        return {
            "label": {SENSORS: "each sensor", ALL: "all positive"}[row.metric],
            "group": "measurement AUROC",
        }
    if row.metric == FALSE_ALARMS:
        heading = f"false alarms at {alpha:.0%}"
        return {"label": row.slice, "unit": "rate", "group": heading, "target": alpha}
    if row.metric == AUROC:
        return {"label": row.slice, "group": "AUROC"}
    level = f"{LEVELS[RECALLS.index(row.metric)]:.0%}"
    return {"label": level, "unit": "rate", "group": "recall at false alarms of", "about": row.slice}


def _baseline(rows: Sequence[Row], like: Row) -> float | None:
    """What the task's baseline has in the same column."""
    column = (like.task, like.metric, like.slice)
    found = (row for row in rows if row.is_baseline and (row.task, row.metric, row.slice) == column)
    return next((row.value for row in found), None)


def _interval(row: Row) -> Interval:
    # A count is exact.
    return Interval(row.value) if row.metric in COSTS else Interval(row.value, row.low, row.high)


def _verdict(difference: Row | None) -> dict[str, Any]:
    if difference is None:
        return {}
    said = None if difference.verdict == "undefined" else difference.verdict
    return {"verdict": said, "difference": Interval(difference.value, difference.low, difference.high)}
