"""The table of `ulterior bench circuits`, for a terminal and as a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from ulterior.bench.circuits import CONTROLS, CircuitCell
from ulterior.bench.text import aligned
from ulterior.metrics import Estimate
from ulterior.report import HeatMap, KeyFigure, Report, Section, Table, TableColumn
from ulterior.report.interval import Interval

__all__ = ["MethodRow", "circuits_report", "circuits_text", "method_rows"]

RESAMPLES = 2_000
GOAL = 0.95


@dataclass(frozen=True, eq=False)
class MethodRow:
    """One method over all known circuits that it runs on; each circuit counts as the mean of its seeds.

    Attributes:
        method: Its name.
        auroc: The median over circuits, with an interval from resampled circuits.
        least: The worst circuit's.
        precision: Mean over circuits, as all that follow.
        cmd: Area of |1 - faithfulness|.
        faithfulness: Of the circuit of the true size.
        complement: Of everything else.
        stability: Jaccard index of the circuits of each two seeds, which differ in their pairs.
        seconds: Of finding a circuit.
        truths: How many circuits it ran on.
        refused: On how many it does not run.
    """

    method: str
    auroc: Estimate
    least: float
    precision: float
    cmd: float
    faithfulness: float
    complement: float
    stability: float
    seconds: float
    truths: int
    refused: int


def method_rows(cells: Sequence[CircuitCell]) -> list[MethodRow]:
    """A row for each method, the best median AUROC first; of equal ones that with the better worst circuit."""
    rows = [_row(name, [one for one in cells if one.method == name]) for name in _names(cells)]
    ran, refused = ([row for row in rows if bool(row.truths) is some] for some in (True, False))
    return [*sorted(ran, key=lambda row: (-(row.auroc.value or 0.0), -row.least)), *refused]


def circuits_text(cells: Sequence[CircuitCell]) -> str:
    """The table for a terminal."""
    head = [
        "method",
        "edge AUROC, median of circuits",
        "worst circuit",
        "precision",
        "CMD",
        "faithful",
        "complement",
        "stability",
        "seconds",
        "circuits",
    ]
    lines = [
        [
            row.method,
            _said(row.auroc),
            *map(_two, (row.least, row.precision, row.cmd, row.faithfulness, row.complement, row.stability)),
            "-" if np.isnan(row.seconds) else f"{row.seconds:.2f}",
            f"{row.truths}" + (f" ({row.refused} refused)" if row.refused else ""),
        ]
        for row in method_rows(cells)
    ]
    seeds = len({one.seed for one in cells})
    title = f"{len({one.truth for one in cells})} known circuits, {seeds} seed(s)"
    return f"{title}; precision, faithfulness and complement at the true size\n\n{aligned(head, lines)}"


def circuits_report(cells: Sequence[CircuitCell], settings: Mapping[str, Any]) -> Report:
    """The page."""
    rows = method_rows(cells)
    best = next((row for row in rows if row.method not in CONTROLS), rows[0])
    columns = (
        TableColumn("method", "text"),
        TableColumn("edge AUROC", about="median over known circuits, each the mean of its seeds"),
        TableColumn("worst circuit", about="the smallest AUROC of a circuit"),
        TableColumn("precision", about="true edges among as many as the circuit has"),
        TableColumn("CMD", about="area of |1 - faithfulness| over sizes; 0 is best"),
        TableColumn("faithfulness", about="of the circuit of the true size; 1 is the whole model"),
        TableColumn("complement", about="faithfulness of everything else; 0 if the circuit is complete"),
        TableColumn(
            "stability", about="mean Jaccard index of the circuits of two seeds, found on other pairs"
        ),
        TableColumn("seconds", about="of finding one circuit"),
        TableColumn("circuits", about="on which it runs"),
    )
    lines = tuple(
        (
            row.method,
            Interval(row.auroc.value, row.auroc.low, row.auroc.high),
            *map(_number, (row.least, row.precision, row.cmd, row.faithfulness, row.complement)),
            *map(_number, (row.stability, row.seconds)),
            row.truths,
        )
        for row in rows
    )
    refusals = dict.fromkeys(f"{one.method} on {one.truth}: {one.refused}" for one in cells if one.refused)
    section = Section(
        "Methods on known circuits",
        about="Models whose circuit is known: compiled from programs, or trained to use a chosen circuit.",
        tables=(Table("All methods", columns, lines, caption="A control knows nothing of the behaviour."),),
        heat_maps=(_heat(cells, [row.method for row in rows]),),
        heat_heading="Edge AUROC by circuit",
        notes=tuple(refusals),
    )
    return Report(
        title="Circuits that are known: which methods find them",
        answer=f"{best.method} ranks true edges first: median AUROC {_said(best.auroc)} over {best.truths} circuits.",
        figures=(
            KeyFigure(_said(best.auroc), f"median edge AUROC of {best.method}", f"goal {GOAL}"),
            KeyFigure(str(len({one.truth for one in cells})), "known circuits"),
        ),
        sections=(section,),
        run={
            "seeds": str(len({one.seed for one in cells})),
            "pairs": f"{settings['pairs']} to find a circuit on, and as many to judge it on",
            "metric": "logit difference; off: what the corrupted example gives",
            "version": str(settings["version"]),
        },
    )


def _row(name: str, cells: Sequence[CircuitCell]) -> MethodRow:
    ran = [one for one in cells if not one.refused]
    by_truth = {one.truth: [each for each in ran if each.truth == one.truth] for one in ran}

    def mean(of: str) -> float:
        found = [[_value(getattr(one, of)) for one in some] for some in by_truth.values()]
        return float(np.mean([np.mean(some) for some in found])) if found else float("nan")

    each = np.array([np.mean([_value(one.auroc) for one in some]) for some in by_truth.values()])
    return MethodRow(
        name,
        _median(each),
        float(each.min()) if len(each) else float("nan"),
        *map(mean, ("precision", "cmd", "faithfulness", "complement")),
        stability=_stability(by_truth),
        seconds=mean("seconds"),
        truths=len(by_truth),
        refused=len({one.truth for one in cells}) - len(by_truth),
    )


def _stability(by_truth: Mapping[str, Sequence[CircuitCell]]) -> float:
    """Mean over known circuits; NaN for a single seed."""
    each = [
        np.mean([_jaccard(one.kept, other.kept) for one, other in combinations(some, 2)])
        for some in by_truth.values()
        if len(some) > 1
    ]
    return float(np.mean(each)) if each else float("nan")


def _jaccard(one: Sequence[str], other: Sequence[str]) -> float:
    union = len({*one, *other})
    return len({*one} & {*other}) / union if union else 1.0


def _median(values: np.ndarray) -> Estimate:
    """The median and the range of medians of resampled circuits."""
    if not len(values):
        return Estimate(None, None, None, 0)
    drawn = np.random.default_rng(0).integers(len(values), size=(RESAMPLES, len(values)))
    low, high = np.quantile(np.median(values[drawn], axis=1), [0.025, 0.975])
    return Estimate(float(np.median(values)), float(low), float(high), len(values))


def _heat(cells: Sequence[CircuitCell], methods: Sequence[str]) -> HeatMap:
    names = tuple(dict.fromkeys(one.truth for one in cells))
    values = np.full((len(names), len(methods)), np.nan)
    for i, truth in enumerate(names):
        for j, name in enumerate(methods):
            found = [_value(one.auroc) for one in cells if (one.truth, one.method) == (truth, name)]
            values[i, j] = np.mean(found) if found else np.nan
    return HeatMap("Edge AUROC", names, tuple(methods), values)


def _names(cells: Sequence[CircuitCell]) -> list[str]:
    return list(dict.fromkeys(one.method for one in cells))


def _value(found: Estimate | float | None) -> float:
    if isinstance(found, Estimate):
        found = found.value
    return float("nan") if found is None else float(found)


def _number(value: float) -> float | None:
    return None if np.isnan(value) else round(value, 3)


def _two(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.2f}"


def _said(one: Estimate) -> str:
    if one.value is None:
        return "-"
    return f"{one.value:.3f} [{one.low:.3f}, {one.high:.3f}]"
