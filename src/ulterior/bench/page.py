"""A bench as a report: what the cells and rows say, in the report's own words."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby

import numpy as np
import torch

from ulterior.bench.boards import joint_board, joint_heat_map, task_board
from ulterior.bench.cells import Cell
from ulterior.bench.table import FALSE_ALARMS, Row, comparisons, ranked
from ulterior.metrics import auroc
from ulterior.panel import DetectorScores
from ulterior.report import (
    Group,
    HeatMap,
    Histogram,
    KeyFigure,
    Report,
    Roc,
    Section,
    ShownExample,
    roc_curve,
)
from ulterior.report.model import SHOWN_AS, Meaning
from ulterior.version import __version__

FEW = 4  # tasks, or figures, that a head can hold
SHOWN = 6
LONG_RUN = 3


def bench_report(
    rows: Sequence[Row],
    cells: Mapping[str, Sequence[Cell]],
    alpha: float,
    run: Mapping[str, str],
    seconds: float,
) -> Report:
    """The page of a whole bench: one section a task, and before them, if there are several, one table of all.

    Args:
        rows: The table of all tasks.
        cells: The finished cells by task.
        alpha: The false-alarm rate at which thresholds were set.
        run: How the bench was started.
        seconds: How long this call took.
    """
    compared = comparisons(rows)
    sections = tuple(
        _section(task, _of(rows, task), list(some), alpha, compared) for task, some in cells.items()
    )
    if len(cells) > 1:
        sections = (_all_tasks(rows, cells), *sections)
    made = {
        **run,
        "subjects": ", ".join(
            dict.fromkeys(cell.about["subject"] for some in cells.values() for cell in some)
        ),
        "ulterior": __version__,
        "torch": torch.__version__,
        "machine": f"{platform.system()} {platform.machine()}, {torch.get_num_threads()} threads",
        "time of this call": f"{seconds:.0f} s",
        "forward passes": "one for each example: "
        + "; ".join(f"{task} {_passes(some)}" for task, some in cells.items()),
    }
    title, answer, figures = _head(rows, list(cells), alpha)
    return Report(title=title, answer=answer, sections=sections, figures=figures, run=made)


def _head(rows: Sequence[Row], tasks: Sequence[str], alpha: float) -> tuple[str, str, tuple[KeyFigure, ...]]:
    """Title, answer and figures: of few tasks each one's; of many what can be said of all of them."""
    if len(tasks) > FEW:
        return f"Bench: {len(tasks)} tasks", *_all_told(rows, tasks)
    # Of several tasks, the best method's AUROC alone.
    most = 1 if len(tasks) > 1 else 4
    figures = (_figures(_of(rows, task), task, alpha)[:most] for task in tasks)
    return (
        "Bench: " + ", ".join(tasks),
        " ".join(_answer(task, _of(rows, task)) for task in tasks),
        tuple(figure for some in figures for figure in some)[:FEW],
    )


def _all_told(rows: Sequence[Row], tasks: Sequence[str]) -> tuple[str, tuple[KeyFigure, ...]]:
    """On how many tasks some method is better than the baseline, and which method is so on the most."""
    better: Counter[str] = Counter()
    won = 0
    for task in tasks:
        best = ranked(rows, task)
        found = {
            row.detector
            for row in _of(rows, task)
            if row.verdict == "better" and row.role == "method" and row.slice == best[0].slice
        }
        better.update(found)
        won += bool(found)
    if not better:
        return f"On none of {len(tasks)} tasks is a method better than the task's baseline.", ()
    name, times = min(better.items(), key=lambda item: (-item[1], item[0]))
    answer = (
        f"On {won} of {len(tasks)} tasks some method is better than the task's baseline, all comparisons allowed for."
        f" {name} is on {times}; no other is on more."
        " The first table has every task; below it each has a section that names its best method."
    )
    return answer, (
        KeyFigure(f"{won} of {len(tasks)}", "tasks with a method better than the baseline"),
        KeyFigure(f"{times} of {len(tasks)}", "tasks on which one method is", name),
    )


def _passes(cells: Sequence[Cell]) -> int:
    names = ("n_trusted", "n_untrusted", "n_test", "n_measured")
    return sum(cell.about.get(name, 0) for cell in cells for name in names)


def _of(rows: Sequence[Row], task: str) -> list[Row]:
    """The rows of a task over all seeds."""
    return [row for row in rows if row.task == task and row.seed is None]


def _best(rows: Sequence[Row], task: str) -> Row | None:
    return next((row for row in ranked(rows, task) if row.role == "method"), None)


def _answer(task: str, rows: Sequence[Row]) -> str:
    best = _best(rows, task)
    if best is None or best.value is None:
        return f"On {task} no method was scored."
    others = [row for row in ranked(rows, task) if row.is_baseline or row.role == "ceiling"]
    beside = ", ".join(f"{row.detector} has {row.value:.3f}" for row in others if row.value is not None)
    return (
        f"On {task} ({best.slice}), the best method is {best.detector}: AUROC {best.value:.3f}"
        f" [{best.low:.3f}, {best.high:.3f}]. Beside it, {beside}."
    )


def _figures(rows: Sequence[Row], task: str, alpha: float) -> tuple[KeyFigure, ...]:
    best = _best(rows, task)
    if best is None or best.value is None:
        return ()
    figures = [KeyFigure(f"{best.value:.3f}", f"AUROC, {task}", best.detector)]
    false_alarms = [
        row
        for row in rows
        if row.metric == FALSE_ALARMS and row.detector == best.detector and row.value is not None
    ]
    for row in false_alarms[:1]:
        figures.append(
            KeyFigure(
                f"{100 * (row.value or 0):.1f}%",
                f"false alarms on fresh {row.slice}",
                f"{alpha:.0%} was asked for",
                alarm=row.low is not None and row.low > alpha,
            )
        )
    return tuple(figures)


def _section(task: str, rows: Sequence[Row], cells: Sequence[Cell], alpha: float, compared: int) -> Section:
    order = [row.detector for row in ranked(rows, task)]
    roles = cells[0].about["roles"]
    methods = [name for name in order if roles[name] == "method"]
    baseline = next((row.detector for row in rows if row.is_baseline), None)
    ceilings = [name for name in order if roles[name] == "ceiling"]
    controls = [name for name in order if roles[name] == "control"]
    drawn = [*methods[:3], *([baseline] if baseline else []), *controls[:1], *ceilings]
    cell = cells[0]
    return Section(
        name=task,
        about=f"{_answer(task, rows)} {cell.about['n_trusted']} trusted, {cell.about['n_untrusted']} untrusted and"
        f" {cell.about['n_test']} test examples a seed; {len(cells)} seed(s);"
        f" subject {cell.about['subject']}, read at {cell.about['at']}.",
        leaderboard=task_board(rows, order, cells, alpha, compared),
        rocs=(_roc(drawn, cells, alpha),),
        histograms=tuple(
            _histogram(name, cell)
            for name in [*methods[:2], *([baseline] if baseline else []), *ceilings[:1]]
        ),
        heat_maps=(_heat_map([name for name in order if len(cell.scores[name].keys) > 1], cells),),
        anomalies=_strangest(methods[0], cell) if methods else (),
        mistakes=_mistakes(methods[0], cell, alpha) if methods else (),
        notes=tuple(f"{name} was left out: {why}" for name, why in cell.skipped.items()),
    )


def _all_tasks(rows: Sequence[Row], cells: Mapping[str, Sequence[Cell]]) -> Section:
    first = "; ".join(f"{task}: {some[0].slices[0]}" for task, some in cells.items())
    which = f" ({first})" if len(cells) <= FEW else ", which its section names"
    return Section(
        "all tasks",
        about=f"Every detector on the headline slice of every task{which}.",
        leaderboard=joint_board(rows, cells),
        heat_maps=(joint_heat_map(rows, list(cells)),),
        heat_heading="Tasks",
    )


def _roc(names: Sequence[str], cells: Sequence[Cell], alpha: float) -> Roc:
    headline = cells[0].slices[0]
    curves = []
    for name in dict.fromkeys(names):
        scores, labels = [], []
        for cell in cells:
            rows, label = cell.slice(headline)
            if 0 < label.sum() < len(label) and name in cell.scores:
                scores.append(cell.scores[name].fused[rows])
                labels.append(label.astype(bool))
        if scores:
            curves.append(roc_curve(name, scores, labels, role=SHOWN_AS[cells[0].about["roles"][name]]))
    return Roc(headline, tuple(curves), alpha)


def meaning_of(group: str, cell: Cell) -> Meaning:
    """The colour that a group has in every picture."""
    if group == "trusted":
        return "trusted"
    in_slices: list[Meaning] = []
    for name in cell.slices:
        rows, labels = cell.slice(name)
        inside = labels[cell.examples["group"][rows] == group]
        if len(inside):
            in_slices.append("anomalous" if inside[0] == 1 else "real")
    # What the headline compares anomalies with is real; what only other slices bring in is a benign shift.
    headline = cell.slice(cell.slices[0])[0]
    if in_slices and group in set(cell.examples["group"][headline]):
        return in_slices[0]
    if group in cell.about["benign"]:
        return "benign"
    return in_slices[0] if in_slices else "untrusted"


def _histogram(name: str, cell: Cell) -> Histogram:
    scores = cell.scores[name]
    groups = tuple(
        Group(group, meaning_of(group, cell), scores.fused[cell.group(group)])
        for group in dict.fromkeys(cell.examples["group"].tolist())
        if meaning_of(group, cell) != "untrusted"
    )
    return Histogram(name, groups, role=SHOWN_AS[cell.about["roles"][name]])


def _heat_map(names: Sequence[str], cells: Sequence[Cell]) -> HeatMap:
    headline = cells[0].slices[0]
    keys = tuple(dict.fromkeys(key for name in names for key in cells[0].scores[name].keys))
    values = np.full((len(keys), len(names)), np.nan)
    for column, name in enumerate(names):
        own = cells[0].scores[name].keys
        for index, key in enumerate(own):
            each = []
            for cell in cells:
                # A rule that chooses its sites may have chosen others under this seed.
                if cell.scores[name].keys != own:
                    continue
                rows, labels = cell.slice(headline)
                estimate = auroc(cell.scores[name].site_scores[rows, index], labels)
                if estimate.value is not None:
                    each.append(estimate.value)
            values[keys.index(key), column] = np.mean(each) if each else np.nan
    return HeatMap(f"AUROC site by site, {headline}", keys, tuple(names), values)


def _strangest(name: str, cell: Cell) -> tuple[ShownExample, ...]:
    rows = np.argsort(-cell.scores[name].fused, kind="stable")[:SHOWN]
    return tuple(_shown(int(row), name, cell) for row in rows)


def _mistakes(name: str, cell: Cell, alpha: float) -> tuple[ShownExample, ...]:
    """Anomalous examples that look most usual, and normal ones that look most anomalous, in the headline slice."""
    rows, labels = cell.slice(cell.slices[0])
    fused = cell.scores[name].fused[rows]
    missed = rows[labels == 1][np.argsort(fused[labels == 1], kind="stable")[: SHOWN // 2]]
    alarms = rows[labels == 0][np.argsort(-fused[labels == 0], kind="stable")[: SHOWN // 2]]
    p = cell.scores[name].p
    return tuple(_shown(int(row), name, cell, "missed") for row in missed if p[row] > alpha) + tuple(
        _shown(int(row), name, cell, "false alarm") for row in alarms if p[row] <= alpha
    )


def _shown(row: int, name: str, cell: Cell, mistake: str = "") -> ShownExample:
    scores: DetectorScores = cell.scores[name]
    group, text = str(cell.examples["group"][row]), str(cell.examples["text"][row])
    return ShownExample(
        text=own_lines(text, cell.examples["text"].tolist()),
        row=row,
        group=group,
        meaning=meaning_of(group, cell),
        p=float(scores.p[row]),
        mistake=mistake,
        sites=tuple(scores.strangest_sites(row).items()),
        detector=name,
        code="\n    " in text,
    )


def own_lines(text: str, every: Sequence[str]) -> str:
    """A text without what hides where it differs: three or more lines in a row that all texts have become ``[...]``."""
    shared = frozenset.intersection(*(frozenset(one.split("\n")) for one in every))
    lines: list[str] = []
    for common, run in groupby(text.split("\n"), key=shared.__contains__):
        found = list(run)
        lines += ["[...]"] if common and len(found) >= LONG_RUN else found
    return "\n".join(lines) if set(lines) - {"[...]"} else text
