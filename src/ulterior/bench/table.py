"""The table of a bench: rows of task, detector, seed, slice, metric, value with interval, verdict."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ulterior.bench.cells import Cell
from ulterior.bench.measured import MEASUREMENTS
from ulterior.metrics import (
    Difference,
    Estimate,
    Verdict,
    auroc,
    false_alarm_rate,
    holm,
    over_seeds,
    paired_auroc_difference,
    recall_at,
    verdict,
)
from ulterior.version import __version__

AUROC = "auroc"
DIFFERENCE = "auroc difference to the baseline"
FALSE_ALARMS = "false alarms"
LEVELS = (0.01, 0.05)
COSTS = tuple(
    f"{kind} passes, {what}" for what in ("training", "scoring") for kind in ("forward", "backward")
)
MEASURED, EXAMPLE = "measurements", "one example"
_HEADLINES = ("", "")


def recall_name(level: float) -> str:
    """Name of the metric "share of anomalous examples caught at this false-alarm rate"."""
    return f"recall at {level:.0%} false alarms"


@dataclass(frozen=True)
class Row:
    """One figure.

    Attributes:
        task: Name of the task.
        subject: Name of the model.
        detector: Name of the detector.
        role: ``method``, ``baseline``, ``control``, ``ceiling`` or ``oracle``.
        is_baseline: Whether verdicts are against this detector.
        seed: The seed, or None for all seeds together.
        slice: What is compared; for ``false alarms``, the group whose examples were flagged. Two rows tell how well the
            network behind the detector predicts ``measurements``, and four what ``one example`` costs.
        metric: What was measured.
        value: The figure; None where it is undefined (one class only).
        low: Lower end of the 95% interval.
        high: Upper end.
        n: Examples behind it.
        verdict: ``better``, ``worse`` or ``inconclusive`` against the baseline, on rows of the difference. Of all seeds
            together it is corrected for the number of comparisons; see ``corrected``.
        p: On the same rows, the two-sided p-value of there being no difference; corrected likewise.
        seconds: The detector's own time.
        version: Of ulterior.
        config: Hash of what the cells are the result of.
    """

    task: str
    subject: str
    detector: str
    role: str
    is_baseline: bool
    seed: int | None
    slice: str
    metric: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    verdict: Verdict | None
    p: float | None
    seconds: float
    version: str
    config: str


def tabulate(cells: Sequence[Cell], *, baseline: str, alpha: float) -> list[Row]:
    """All rows of one task: for each seed, and for all seeds together.

    Args:
        cells: The seeds of the task.
        baseline: The detector against which verdicts are given.
        alpha: Threshold on the p-values for the realised false-alarm rates.
    """
    rows = []
    for name in dict.fromkeys(name for cell in cells for name in cell.scores):
        having = [cell for cell in cells if name in cell.scores]
        for cell in having:
            rows += [
                _row([cell], name, baseline, cell.key.seed, *figure)
                for figure in _figures([cell], name, baseline, alpha)
            ]
        rows += [
            _row(having, name, baseline, None, *figure) for figure in _figures(having, name, baseline, alpha)
        ]
    return rows


def _figures(
    cells: Sequence[Cell], name: str, baseline: str, alpha: float
) -> Iterator[tuple[str, str, Estimate, Verdict | None]]:
    """Slice, metric, estimate and verdict of every figure of one detector over some seeds."""
    for one in cells[0].slices:
        chosen = [
            (cell.scores[name].fused[rows], labels) for cell in cells for rows, labels in [cell.slice(one)]
        ]
        yield one, AUROC, over_seeds([auroc(*pair) for pair in chosen]), None
        for level in LEVELS:
            yield one, recall_name(level), over_seeds([recall_at(*pair, level) for pair in chosen]), None
        if name != baseline and all(baseline in cell.scores for cell in cells):
            difference = _difference(cells, name, baseline, one)
            yield one, DIFFERENCE, difference, verdict(difference)
    for group in ("trusted", *cells[0].about["benign"]):
        # Each seed has a calibration set of its own: pooled flags would not be independent.
        rates = [false_alarm_rate(cell.scores[name].p[cell.group(group)] <= alpha) for cell in cells]
        yield group, FALSE_ALARMS, over_seeds(rates), None
    for metric in MEASUREMENTS:
        said = [cell.about.get("measurement", {}).get(name) for cell in cells]
        if all(said):
            yield MEASURED, metric, over_seeds([Estimate(**one[metric]) for one in said if one]), None
    costs = [cell.about["costs"][name] for cell in cells if name in cell.about.get("costs", {})]
    for metric in COSTS if costs else ():
        kind, _, what = metric.split()
        count = float(np.mean([one[what][kind] for one in costs]))
        yield EXAMPLE, metric, Estimate(count, count, count, len(costs)), None


def _difference(cells: Sequence[Cell], name: str, baseline: str, slice_name: str) -> Estimate:
    chosen = [cell.slice(slice_name) for cell in cells]
    ours, theirs = (
        np.concatenate([cell.scores[one].fused[rows] for cell, (rows, _) in zip(cells, chosen, strict=True)])
        for one in (name, baseline)
    )
    labels = np.concatenate([labels for _, labels in chosen])
    seeds = np.repeat([cell.key.seed for cell in cells], [len(rows) for rows, _ in chosen])
    return paired_auroc_difference(ours, theirs, labels, seeds)


def _row(
    cells: Sequence[Cell],
    name: str,
    baseline: str,
    seed: int | None,
    slice_name: str,
    metric: str,
    estimate: Estimate,
    said: Verdict | None,
) -> Row:
    about = cells[0].about
    return Row(
        task=cells[0].key.task,
        subject=about["subject"],
        detector=name,
        role=about["roles"][name],
        is_baseline=name == baseline,
        seed=seed,
        slice=slice_name,
        metric=metric,
        value=estimate.value,
        low=estimate.low,
        high=estimate.high,
        n=estimate.n,
        verdict=said,
        p=estimate.p if isinstance(estimate, Difference) else None,
        seconds=float(np.mean([cell.about["seconds"].get(name, 0.0) for cell in cells])),
        version=__version__,
        config=cells[0].key.config,
    )


def corrected(rows: Sequence[Row], level: float = 0.05) -> list[Row]:
    """The rows of a whole bench with verdicts that allow for how many comparisons were made.

    One family are all detectors on the headline slices of all tasks, and one those on each further slice of a task. In
    each, p-values are raised by Holm's method, and what is then above the level is inconclusive.
    """
    found = list(rows)
    for members in _families(rows).values():
        for index, p in zip(members, holm([rows[i].p or 0.0 for i in members]), strict=True):
            said: Verdict = "inconclusive"
            if p < level:
                said = "better" if (rows[index].value or 0.0) > 0 else "worse"
            found[index] = replace(rows[index], p=p, verdict=said)
    return found


def comparisons(rows: Sequence[Row]) -> int:
    """How many comparisons the verdicts on headline slices are corrected for."""
    return len(_families(rows).get(_HEADLINES, ()))


def _families(rows: Sequence[Row]) -> dict[tuple[str, str], list[int]]:
    """Places of the comparisons over all seeds: those on headline slices together, others by task and slice."""
    headline = {task: ranked(rows, task)[0].slice for task in {row.task for row in rows}}
    families: dict[tuple[str, str], list[int]] = defaultdict(list)
    for index, row in enumerate(rows):
        if row.metric == DIFFERENCE and row.seed is None and row.p is not None:
            first = row.slice == headline[row.task]
            families[_HEADLINES if first else (row.task, row.slice)].append(index)
    return families


def ranked(rows: Sequence[Row], task: str) -> list[Row]:
    """A task's rows of AUROC on its headline slice over all seeds, best first."""
    chosen = [row for row in rows if row.task == task and row.seed is None and row.metric == AUROC]
    headline = [row for row in chosen if row.slice == chosen[0].slice]
    return sorted(headline, key=lambda row: -(row.value if row.value is not None else -1.0))


def of_all_seeds(rows: Sequence[Row], task: str) -> dict[tuple[str, str, str], Row]:
    """A task's rows over all seeds by detector, slice and metric."""
    own = (row for row in rows if row.task == task and row.seed is None)
    return {(row.detector, row.slice, row.metric): row for row in own}


def headlines(rows: Sequence[Row]) -> dict[str, dict[str, Row]]:
    """AUROC on each task's headline slice over all seeds: by detector and task.

    First the detectors that ran on all tasks, best first on average; then the others.
    """
    tasks = list(dict.fromkeys(row.task for row in rows))
    found: dict[str, dict[str, Row]] = {}
    for task in tasks:
        for row in ranked(rows, task):
            found.setdefault(row.detector, {})[task] = row

    def place(name: str) -> tuple[int, float]:
        return -len(found[name]), -float(np.mean([row.value or 0.0 for row in found[name].values()]))

    return {name: found[name] for name in sorted(found, key=place)}
