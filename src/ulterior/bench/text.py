"""The table of a bench for a terminal of 120 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from ulterior.bench.cells import Cell
from ulterior.bench.measured import ALL, SENSORS
from ulterior.bench.table import (
    AUROC,
    COSTS,
    DIFFERENCE,
    EXAMPLE,
    FALSE_ALARMS,
    LEVELS,
    MEASURED,
    Row,
    comparisons,
    headlines,
    of_all_seeds,
    ranked,
    recall_name,
)

__all__ = ["aligned", "bench_text", "leaderboard_text"]

HEADING = 8
MARKS = {"better": "+", "worse": "-", "inconclusive": "=", "undefined": " "}
NAMED = 2
_NETWORK = ("network", "passes, training", "passes, scoring", "read by")


def bench_text(rows: Sequence[Row], cells: Mapping[str, Sequence[Cell]]) -> str:
    """Every task's tables; of several tasks also one over all of them, at the end."""
    tasks = [leaderboard_text(rows, some) for some in cells.values()]
    return "\n\n\n".join([*tasks, _joint(rows)] if len(cells) > 1 else tasks)


def leaderboard_text(rows: Sequence[Row], cells: Sequence[Cell]) -> str:
    """The tables of one task, best detector first: its headline slice, the other slices, the networks."""
    task, about, slices = cells[0].key.task, cells[0].about, cells[0].slices
    own, order = of_all_seeds(rows, task), ranked(rows, task)
    groups = ["trusted", *about["benign"]]
    title = f"{task}: {about['subject']}, {len(cells)} seed(s), {about['n_test']} test examples each"
    head = ["detector", f"AUROC, {slices[0]}", *(f"caught at {level:.0%}" for level in LEVELS)]
    head += [*(f"flagged: {group}" for group in groups), "against the baseline"]
    lines = []
    for row in order:
        name, first = row.detector, slices[0]
        shares = [own.get((name, first, recall_name(level))) for level in LEVELS]
        shares += [own.get((name, group, FALSE_ALARMS)) for group in groups]
        lines.append([name, _interval(row), *map(_share, shares), _standing(row, own, about)])
    parts = [title, aligned(head, lines, words=1)]
    if slices[1:]:
        others = [
            [one.detector, *(_interval(own[one.detector, s, AUROC]) for s in slices[1:])] for one in order
        ]
        parts.append(aligned(["detector", *(f"AUROC, {one}" for one in slices[1:])], others))
    networks = _networks(own, cells[0])
    if networks:
        measured = ["sensor_auroc", "all_auroc"] if len(networks[0]) == len(_NETWORK) + 2 else []
        parts.append(aligned([_NETWORK[0], *measured, *_NETWORK[1:]], networks, words=1))
    # Of every seed: what could be fitted on the first may fail on another.
    skipped = {name: why for cell in cells for name, why in cell.skipped.items()}
    if skipped:
        parts.append("\n".join(f"{name} was not fitted: {why}" for name, why in skipped.items()))
    return "\n\n".join(parts)


def _joint(rows: Sequence[Row]) -> str:
    tasks = list(dict.fromkeys(row.task for row in rows))
    own = {task: of_all_seeds(rows, task) for task in tasks}
    lines = []
    for name, found in headlines(rows).items():
        marked = [
            f"{_interval(found[task])} {_mark(found[task], own[task])}" if task in found else ""
            for task in tasks
        ]
        roles = {row.role for row in found.values()} - {"method", "baseline"}
        lines.append([name, *marked, ", ".join(sorted(roles))])
    first = {
        task: next(row.slice for row in rows if row.task == task and row.metric == AUROC) for task in tasks
    }
    head = ["detector", *(f"{task}, {one}" for task, one in first.items()), ""]
    title = "all tasks: AUROC; against the task's baseline (*) it is + better, - worse, = inconclusive"
    title += f" (corrected for {comparisons(rows)} comparisons)"
    return f"{title}\n\n{aligned(head, lines, words=1)}"


def _networks(own: Mapping[tuple[str, str, str], Row], cell: Cell) -> list[list[str]]:
    """A line for each network, and for each of its costs where detectors differ in them.

    What it measures stands in two columns more, where any of them does. None if none does, and all cost the same.
    """
    variants = cell.about.get("variants", {}).values()
    elsewhere = {name: one["subject"] for one in variants if "subject" in one for name in one["detectors"]}
    readers: dict[tuple[str, ...], list[str]] = {}
    for name in cell.scores:
        figures = [own.get((name, MEASURED, metric)) for metric in (SENSORS, ALL)]
        costs = [own.get((name, EXAMPLE, metric)) for metric in COSTS]
        if not any(row is not None and row.value for row in costs):
            continue
        subject = elsewhere.get(name, cell.about["subject"])
        key = (subject, *map(_interval, figures), _passes(costs[:2]), _passes(costs[2:]))
        readers.setdefault(key, []).append(name)
    measures = any(key[1] for key in readers)
    if not measures and len({key[3:] for key in readers}) < 2:
        return []
    return [
        [
            *(key if measures else (key[0], *key[3:])),
            ", ".join(names) if len(names) <= NAMED else f"{len(names)} detectors",
        ]
        for key, names in readers.items()
    ]


def _passes(rows: Sequence[Row | None]) -> str:
    forward, backward = (row.value or 0.0 if row is not None else 0.0 for row in rows)
    return f"{forward:.3g}" + (f" + {backward:.3g} back" if backward else "")


def _standing(row: Row, own: Mapping[tuple[str, str, str], Row], about: Mapping[str, Any]) -> str:
    difference = own.get((row.detector, row.slice, DIFFERENCE))
    said = str(difference.verdict) if difference else "baseline" if row.is_baseline else ""
    remarks = [row.role] if row.role in ("ceiling", "control", "oracle") else []
    remarks += ["offline"] if about.get("modes", {}).get(row.detector) == "offline" else []
    return f"{said} ({', '.join(remarks)})" if remarks else said


def _mark(row: Row, own: Mapping[tuple[str, str, str], Row]) -> str:
    difference = own.get((row.detector, row.slice, DIFFERENCE))
    return MARKS[str(difference.verdict)] if difference else "*" if row.is_baseline else " "


def _interval(row: Row | None) -> str:
    """``.931 [.912, .950]``."""
    if row is None:
        return ""
    if row.value is None or row.low is None or row.high is None:
        return "undefined"
    value, low, high = (f"{one:.3f}".removeprefix("0") for one in (row.value, row.low, row.high))
    return f"{value} [{low}, {high}]"


def _share(row: Row | None) -> str:
    return "" if row is None or row.value is None else f"{100 * row.value:.1f}%"


def aligned(head: Sequence[str], lines: Sequence[Sequence[str]], *, words: int = 0) -> str:
    """Columns two spaces apart; the first, and so many ``words`` at the end, stand to the left, numbers to the right.

    Headings are broken to the width of their column.
    """
    least = [max([HEADING, *map(len, one.split())]) for one in head]
    widths = [max([width, *(len(line[i]) for line in lines)]) for i, width in enumerate(least)]
    wrapped = [textwrap.wrap(one, width) for one, width in zip(head, widths, strict=True)]
    height = max(map(len, wrapped))
    above = [[""] * (height - len(one)) + one for one in wrapped]
    left = {0, *range(len(head) - words, len(head))}

    def placed(line: Sequence[str]) -> str:
        cells = [
            text.ljust(width) if i in left else text.rjust(width)
            for i, (text, width) in enumerate(zip(line, widths, strict=True))
        ]
        return "  ".join(cells).rstrip()

    return "\n".join([*(placed(line) for line in zip(*above, strict=True)), *map(placed, lines)])
