"""What controlled studies share: cells that are kept, and tables of what changed with what."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ulterior.bench.cells import Cell, CellKey, read_cell, write_cell
from ulterior.bench.running import run_cell
from ulterior.bench.table import FALSE_ALARMS, Row, tabulate
from ulterior.detectors.detector import Detector
from ulterior.panel import PanelSettings
from ulterior.tasks.registry import MODULES
from ulterior.tasks.task import Task, TaskData

HELD_OUT = 0.3

Figure = tuple[float, float]
"""A value, and half the width of its interval."""

Shares = dict[str, float]
"""A share of each of several kinds."""


def kept_cell(
    task: Task, name: str, panel: Sequence[Detector], load: Callable[[], TaskData], seed: int, folder: Path
) -> Cell:
    """One seed of one setting, from its file where it is finished.

    Args:
        task: Whose detectors these are.
        name: Of the setting; with the panel's description and what the task is made of it decides which file is the
            cell's.
        panel: What is compared.
        load: Makes the seed's data, if it has to be made.
        seed: Of the data and of the panel.
        folder: Of the cells.
    """
    key = CellKey(name, "study", seed, tuple(map(repr, panel)), HELD_OUT, source=task.source)
    done = read_cell(key, folder)
    if done is None:
        print(f"{name}, seed {seed}", file=sys.stderr)
        done = run_cell(task, load(), panel, key, PanelSettings(held_out=HELD_OUT, seed=seed))
        write_cell(done, folder)
    return done


def all_seeds(cells: Sequence[Cell], task: Task) -> list[Row]:
    """The figures over all seeds; detectors that could not be fitted are absent."""
    return [row for row in tabulate(cells, baseline=task.baseline, alpha=0.01) if row.seed is None]


def benign_flagged(rows: Sequence[Row], benign: Sequence[str]) -> dict[str, Shares]:
    """What each detector flags of each benign kind."""
    flagged: dict[str, Shares] = {}
    for row in rows:
        if row.metric == FALSE_ALARMS and row.slice in benign and row.value is not None:
            flagged.setdefault(row.detector, {})[row.slice] = row.value
    return flagged


def figure(row: Row) -> Figure | None:
    """What a table shows of a row, if it is defined."""
    if row.value is None or row.low is None or row.high is None:
        return None
    return row.value, (row.high - row.low) / 2


def markdown(corner: str, columns: Mapping[str, Mapping[str, Figure | Shares | None]]) -> str:
    """A table with a column for each setting and a line for each detector; a dash where there is no figure."""
    names = list(dict.fromkeys(name for found in columns.values() for name in found))
    lines = [f"| {corner} | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name in names:
        lines.append(
            f"| `{name}` | " + " | ".join(written(found.get(name)) for found in columns.values()) + " |"
        )
    return "\n".join(lines)


def written(one: Figure | Shares | None) -> str:
    """``.910 ± .020``, or ``1 / 6 / 100%`` of several kinds."""
    if one is None:
        return "–"
    if isinstance(one, dict):
        return " / ".join(f"{100 * share:.0f}" for share in one.values()) + "%"
    return f"{one[0]:.3f} ± {one[1]:.3f}".replace("0.", ".")


def parser(about: str, name: str, tasks: Sequence[str]) -> argparse.ArgumentParser:
    """What a study of several tasks is told: seeds, tasks, size, and the folder ``out``."""
    made = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--seeds", type=int, default=3)
    made.add_argument("--out", type=Path, default=Path("runs") / name)
    made.add_argument("--tasks", nargs="+", choices=list(MODULES), default=list(tasks))
    made.add_argument("--size", choices=("smoke", "small", "full"), default="small")
    return made
