"""What the template places but cannot compute: strings of numbers, positions on small axes, shades."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ulterior.report.model import HeatMap, Interval, Leaderboard, Metric, Standing
from ulterior.report.numbers import decimals, plain, written
from ulterior.report.parts import Cell as Content
from ulterior.report.parts import Table, TableColumn
from ulterior.report.text import visible


@dataclass(frozen=True)
class Cell:
    """One number of a leaderboard. Positions are percentages of the cell's little axis; -1: not drawn."""

    text: str
    interval: str
    sort: str
    left: float = -1.0
    width: float = 0.0
    dot: float = -1.0
    mark: float = -1.0
    excess: bool = False


@dataclass(frozen=True)
class ColumnGroup:
    """Neighbouring metrics under one heading."""

    name: str
    span: int


def column_groups(board: Leaderboard) -> list[ColumnGroup]:
    """The upper line of a leaderboard's head."""
    groups: list[ColumnGroup] = []
    for metric in board.metrics:
        if groups and groups[-1].name == metric.group:
            groups[-1] = ColumnGroup(metric.group, groups[-1].span + 1)
        else:
            groups.append(ColumnGroup(metric.group, 1))
    return groups


def cells(board: Leaderboard, row: Standing) -> list[Cell | None]:
    """The cells of a row, one for each metric; None where the row has no such value.

    The mark on each axis is the column's target or its mark where it has one, the first baseline's value otherwise.
    """
    return [_cell(board, metric, row.values.get(metric.key)) for metric in board.metrics]


def difference(row: Standing, board: Leaderboard) -> str:
    """The paired difference to the baseline, signed, with its interval."""
    if row.difference is None or row.difference.value is None:
        return ""
    unit = board.metrics[0].unit if board.metrics else "auroc"
    return " ".join(written(row.difference, unit, signed=True)).strip()


def _cell(board: Leaderboard, metric: Metric, given: Interval | None) -> Cell | None:
    if given is None:
        return None
    text, interval = written(given, metric.unit)
    if metric.unit == "auroc" and given.value is not None:
        # A digit's width for each decimal that this row lacks: points stand under points.
        shared = max(decimals(row.values[metric.key], least=2) for row in _having(board, metric))
        text += "\u2007" * (shared - decimals(given, least=2))
    if given.value is None or not math.isfinite(given.value):
        return Cell(text, interval, sort="")
    sort = repr(float(given.value))
    if metric.unit in ("p", "number"):
        return Cell(text, interval, sort)
    low, high = _domain(board, metric)

    def at(x: float) -> float:
        return round(100 * min(max((x - low) / (high - low), 0.0), 1.0), 1)

    mark = metric.target if metric.target is not None else metric.mark
    if mark is None:
        baselines = (row.values[metric.key].value for row in _having(board, metric) if row.role == "baseline")
        mark = next((b for b in baselines if b is not None and math.isfinite(b)), None)
    left = at(given.low) if given.low is not None else -1.0
    return Cell(
        text,
        interval,
        sort,
        left=left,
        width=round(at(given.high) - left, 1) if given.low is not None and given.high is not None else 0.0,
        dot=at(given.value),
        mark=at(mark) if mark is not None else -1.0,
        excess=metric.target is not None and given.low is not None and given.low > metric.target,
    )


def _having(board: Leaderboard, metric: Metric) -> list[Standing]:
    return [row for row in board.rows if metric.key in row.values]


def _domain(board: Leaderboard, metric: Metric) -> tuple[float, float]:
    """The axis that a column's intervals share: an AUROC's starts at one half unless some are below."""
    intervals = [row.values[metric.key] for row in _having(board, metric)]
    ends = [x for i in intervals for x in (i.value, i.low, i.high) if x is not None and math.isfinite(x)]
    if metric.unit == "auroc":
        return min(0.5, math.floor(10 * min(ends)) / 10), 1.0
    if metric.target is not None:
        return 0.0, min(1.0, max(2 * metric.target, *ends)) or 1.0
    return 0.0, 1.0


@dataclass(frozen=True)
class Shade:
    """One cell of a heat map: its number, its hue (a CSS class), and how much of the hue, in percent."""

    text: str
    hue: str
    strength: int


STRONGEST = 72
"""Percent of the hue in the strongest cell, so that the number on it stays readable in both modes."""


def shades(heat: HeatMap) -> list[list[Shade | None]]:
    """Rows of cells [sites][detectors]; None where the value is not a number."""
    top = 1.0
    if heat.unit != "auroc":
        finite = [float(v) for v in heat.values.ravel() if math.isfinite(v)]
        top = max(finite, default=1.0) or 1.0
    return [[_shade(float(v), heat.unit, top) for v in row] for row in heat.values]


def heat_scale(heat: HeatMap) -> list[Shade]:
    """A few cells from the lowest to the highest value: the key of a heat map."""
    if heat.unit == "auroc":
        values, top = [0.0, 0.25, 0.5, 0.75, 1.0], 1.0
    else:
        finite = [float(v) for v in heat.values.ravel() if math.isfinite(v)]
        top = max(finite, default=1.0) or 1.0
        values = [top * i / 4 for i in range(5)]
    return [shade for v in values if (shade := _shade(v, heat.unit, top)) is not None]


def _shade(value: float, unit: str, top: float) -> Shade | None:
    if not math.isfinite(value):
        return None
    if unit == "auroc":
        strength = abs(value - 0.5) * 2
        return Shade(plain(value, 2), "hot" if value >= 0.5 else "cold", round(STRONGEST * min(strength, 1)))
    text = written(Interval(value), "rate")[0] if unit == "rate" else f"{value:.1f}"
    return Shade(text, "more", round(STRONGEST * min(max(value / top, 0), 1)))


@dataclass(frozen=True)
class TableCell:
    """One cell of a table; ``sort`` is empty for what has no place in an order."""

    text: str
    interval: str = ""
    sort: str = ""
    is_text: bool = False


@dataclass(frozen=True)
class TableRow:
    """One row, and the words by which it is found."""

    cells: tuple[TableCell, ...]
    words: str


def table_rows(table: Table) -> list[TableRow]:
    """The rows of a table as strings."""
    rows = []
    for row in table.rows:
        found = tuple(_table_cell(value, column) for value, column in zip(row, table.columns, strict=True))
        words = " ".join(visible(value) for value in row if isinstance(value, str))
        rows.append(TableRow(found, words[:2000]))
    return rows


def ratio(interval: Interval) -> tuple[str, str]:
    """A ratio and its interval with two decimals, three if the interval supports them: ``.88``, ``[.83, .93]``."""
    ends = (interval.value, interval.low, interval.high)
    if any(end is not None and not math.isfinite(end) for end in ends):
        return written(interval, "auroc")
    value, low, high = (None if end is None else round(end, 3) + 0.0 for end in ends)
    return written(Interval(value, low, high), "auroc")


def _table_cell(value: Content, column: TableColumn) -> TableCell:
    if value is None:
        return TableCell("", is_text=column.kind == "text")
    if isinstance(value, str):
        return TableCell(value, sort=value[:200], is_text=column.kind == "text")
    interval = value if isinstance(value, Interval) else Interval(float(value))
    if column.kind == "ratio":
        text, around = ratio(interval)
    else:
        text, around = written(interval, "number" if column.kind == "text" else column.kind)
    known = interval.value is not None and math.isfinite(interval.value)
    return TableCell(text, around, f"{interval.value:.9g}" if known else "")
