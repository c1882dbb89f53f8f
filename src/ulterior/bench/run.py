"""`ulterior bench`: run the cells that are not finished yet, then lay out the whole table."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import tyro

from ulterior.bench.cells import Cell, CellKey, read_cell, write_cell
from ulterior.bench.running import run_cell
from ulterior.bench.table import Row, corrected, tabulate
from ulterior.bench.text import bench_text
from ulterior.bench.variant import Variant, named_variants
from ulterior.bench.variants import task_variants
from ulterior.detectors.catalogue import chosen
from ulterior.detectors.detector import Detector
from ulterior.detectors.panels import default_panel, further_panel, named_panel
from ulterior.errors import InputError
from ulterior.files import writable_folder
from ulterior.panel import PanelSettings
from ulterior.results import write_rows
from ulterior.tasks.registry import find_tasks
from ulterior.tasks.task import Task

SHOWN = PanelSettings(progress=True)
METHODS = {
    "default": "the usual ones, of one pass",
    "further": "every score of one pass",
    "all": "all",
}


@dataclass(frozen=True)
class Bench:
    """Run tasks x detectors x seeds. Interrupted and started again, it goes on with the cells that are missing.

    Attributes:
        tasks: Names of the tasks (see `ulterior list`), or of a suite: `tampering`, `images`, `texts`, `procedural`, or
            `all`.
        data: Instead of a task, measurement tampering data of one's own: a file, a folder, a hub id, or the name of a
            generated set (see `ulterior train tampering --help`).
        predictor: The folder or hub id of a predictor of its measurements, as `ulterior train tampering` writes it.
        detectors: Names of the detectors; the task's default panel if empty.
        methods: `default`: the usual detectors of the task's own subject, in one pass; `further`: also every further
            score of the same pass; `all`: also those of copies and of sampled weights (up to 41 passes an example),
            and, in measurement tampering, what trains the network further (minutes each, kept under `out`) or asks it
            twice. Detectors that are named run in any case; those that need gradients run only so.
        seeds: Number of seeds; seeds 0, 1, ... change the task's data and what is held out.
        size: `smoke` (does it run), `small` (minutes on a laptop), `full`.
        out: Folder for the cells, `results.parquet`, `results.json` and `report.html`.
        alpha: False-alarm rate at which thresholds are set on held-out trusted examples.
        panel: How the panels are fitted.
    """

    tasks: tyro.conf.Positional[tuple[str, ...]] = ()
    data: str | None = None
    predictor: str | None = None
    detectors: tuple[str, ...] = ()
    methods: Literal["default", "further", "all"] = "default"
    seeds: int = 1
    size: Annotated[Literal["smoke", "small", "full"], tyro.conf.arg(aliases=("--preset",))] = "small"
    out: Path = Path("runs/bench")
    alpha: float = 0.01
    panel: Annotated[PanelSettings, tyro.conf.arg(name="")] = SHOWN


@dataclass(frozen=True, eq=False)
class BenchResult:
    """The rows of the table, and the cells behind them by task."""

    rows: list[Row]
    cells: dict[str, list[Cell]]


def main(config: Bench) -> BenchResult:
    """Run the command."""
    from ulterior.bench.page import bench_report
    from ulterior.report import write_report

    started = time.perf_counter()
    result = run_bench(config)
    print(bench_text(result.rows, result.cells))
    run = describe(config)
    write_rows(result.rows, config.out, run)
    report = bench_report(result.rows, result.cells, config.alpha, run, time.perf_counter() - started)
    write_report(report, config.out / "report.html")
    print(f"\nwrote {config.out}/results.parquet, results.json and report.html")
    return result


def run_bench(config: Bench) -> BenchResult:
    """Run what is not finished, read the rest, and tabulate.

    Raises:
        InputError: unknown tasks or detectors, a folder that cannot be written, no seeds.
    """
    tasks = (*find_tasks(config.tasks), *own_task(config.data, config.predictor))
    if config.seeds < 1 or not tasks:
        raise InputError(
            f"nothing to run: {config.seeds} seeds of {len(tasks)} tasks; give at least one of each"
        )
    methods = {task.name: task_methods(task, config) for task in tasks}
    folder = writable_folder(config.out / "cells")
    cells = {
        task.name: [_cell(task, seed, *methods[task.name], config, folder) for seed in range(config.seeds)]
        for task in tasks
    }
    rows = [
        row
        for task in tasks
        for row in tabulate(cells[task.name], baseline=task.baseline, alpha=config.alpha)
    ]
    return BenchResult(corrected(rows), cells)


def own_task(data: str | None, predictor: str | None) -> tuple[Task, ...]:
    """The task of one's own data and predictor, if they are given."""
    if (data is None) != (predictor is None):
        raise InputError("--data and --predictor go together: the data, and a predictor of its measurements")
    if data is None or predictor is None:
        return ()
    from ulterior.tasks.tampering.assembly import tampering_task
    from ulterior.tasks.tampering.sources import find_data

    return (tampering_task(find_data(data), predictor, source=data),)


def task_panel(task: Task, names: Sequence[str], *, further: bool = False) -> tuple[Detector, ...]:
    """The detectors that run on a task: its default panel, with ``further`` scores, or those named and its baseline."""
    where = task.sites, task.at
    what = {"columns": task.columns, "tampering": task.kind == "tampering"}
    if not names:
        return (*default_panel(*where, **what), *(further_panel(*where) if further else ()))
    # The baseline always runs: without it there is no verdict.
    return chosen(named_panel(*where, **what), tuple(dict.fromkeys((*names, task.baseline))))


def task_methods(task: Task, config: Bench) -> tuple[tuple[Detector, ...], tuple[Variant, ...]]:
    """The detectors that run on a task's own subject, and the variants that run beside them."""
    every = task_variants(task, config.size)
    if not config.detectors:
        panel = task_panel(task, (), further=config.methods != "default")
        return panel, every if config.methods == "all" else ()
    variants = named_variants(every, config.detectors)
    elsewhere = {detector.name for variant in variants for detector in variant.panel}
    own = [name for name in config.detectors if name not in elsewhere]
    return task_panel(task, own or [task.baseline]), variants


def describe(config: Bench) -> dict[str, str]:
    """How a table was made, for its reader."""
    return {
        "tasks": ", ".join(config.tasks) or f"{config.data}, predicted by {config.predictor}",
        "size": config.size,
        "seeds": ", ".join(map(str, range(config.seeds))),
        "detectors": ", ".join(config.detectors) or "the tasks' default panels",
        "methods": METHODS[config.methods],
        "false-alarm rate": f"{config.alpha:g}",
        "held out": f"{config.panel.held_out:.0%} of trusted",
    }


def _cell(
    task: Task,
    seed: int,
    panel: Sequence[Detector],
    variants: Sequence[Variant],
    config: Bench,
    folder: Path,
) -> Cell:
    described = tuple(map(repr, panel)), config.panel.held_out, tuple(map(repr, variants))
    weights = task.fingerprint(seed, config.size)
    key = CellKey(task.name, config.size, seed, *described, task.source, weights)
    finished = read_cell(key, folder)
    if finished is not None:
        print(f"{task.name} seed {seed}: finished before, taken from {folder / key.file}", file=sys.stderr)
        return finished
    if (folder / key.file).exists():
        print(f"{task.name} seed {seed}: {folder / key.file} is damaged and is made again", file=sys.stderr)
    data = task.load(seed, config.size)
    n = len(panel) + sum(len(variant.panel) for variant in variants)
    print(f"{task.name} seed {seed}: {n} detectors, {len(data.test)} test examples", file=sys.stderr)
    settings = replace(config.panel, seed=seed)
    trained = config.out / "variants"
    cell = run_cell(task, data, panel, key, settings, variants, trained=trained, parts=folder)
    write_cell(cell, folder)
    return cell
