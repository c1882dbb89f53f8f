"""Detectors over the circuits of single examples beside Mahalanobis distances of activations, and what helps them.

python benchmarks/circuit_detectors.py --seeds 3 --out runs/circuit_detectors [--tasks quirky diamonds] [--size small]

Resumable; prints tables in Markdown, of AUROC on each slice of a task and of the share of its benign shifts that is
flagged at a nominal 1%, says of each detector that a task does not support why, and writes `circuit_detectors.json`
beside the cells.

- `mahalanobis`: activations, at the task's sites.
- `circuit_edges`: attributions of the 256 edges that are largest on trusted examples, held against nothing.
- `circuit_shares`: the same, as shares of the sum of all sizes.
- `circuit_faithfulness`, `circuit_distance`, `circuit_ancestor` (of the edges of two outputs; where there are several).
- `edges: ...`: `circuit_edges` with one thing changed: how many edges are read, whether they are chosen by size or by
  variance on trusted examples, whether they are held against the trusted mean.
- `edges, one reader a block`: the coarser edges that take no pass of their own.
- `nodes`, `nodes: against the mean`: attributions of embedding, heads and feed-forward layers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from controlled import Figure, Shares, all_seeds, benign_flagged, figure, kept_cell, markdown, parser

from ulterior.bench.run import task_panel
from ulterior.bench.table import AUROC
from ulterior.detectors.circuits import circuit_ancestor, circuit_edges, circuit_panel
from ulterior.detectors.detector import Detector
from ulterior.detectors.features import ablated_attribution, edge_attribution
from ulterior.tasks.registry import find_tasks
from ulterior.tasks.task import Task

TASKS = ("quirky", "password", "repetition", "trojan_patch_vit", "diamonds")
NODES = "embed,mlp.*,head.*.*"
WIDTHS = (16, 64, 1024)


def variations() -> dict[str, Detector]:
    """The detectors in which one thing is changed."""
    return {
        **{f"edges: {most}": circuit_edges(most=most) for most in WIDTHS},
        "edges: by variance": circuit_edges(by="variance"),
        "edges: against the mean": circuit_edges(off="mean"),
        "edges, one reader a block": edge_attribution(),
        "nodes": ablated_attribution("zero", NODES),
        "nodes: against the mean": ablated_attribution("mean", NODES),
    }


def panel_of(task: Task) -> tuple[Detector, ...]:
    """All detectors of a task; with the baseline that its verdicts are against."""
    several = (circuit_ancestor(),) if task.kind == "tampering" else ()
    changed = (replace(one, name=name) for name, one in variations().items())
    return (*task_panel(task, ("mahalanobis",)), *circuit_panel(), *several, *changed)


def figures(
    task: Task, seeds: int, size: str, folder: Path
) -> tuple[dict[str, dict[str, Figure | Shares | None]], dict[str, str]]:
    """Each detector's figures over the seeds, by column of the table; and which detectors do not run, and why."""
    panel = panel_of(task)
    cells = [
        kept_cell(
            task,
            f"{task.name}-{size}-circuits",
            panel,
            lambda seed=seed: task.load(seed, size),
            seed,
            folder,
        )
        for seed in range(seeds)
    ]
    columns: dict[str, dict[str, Figure | Shares | None]] = {}
    rows = all_seeds(cells, task)
    for row in rows:
        if row.metric == AUROC:
            columns.setdefault(row.slice, {})[row.detector] = figure(row)
    kinds = cells[0].about["benign"]
    columns[f"flagged at 1%: {' / '.join(kinds)}"] = {**benign_flagged(rows, kinds)}
    return columns, {name: why for cell in cells for name, why in cell.skipped.items()}


def reasons(skipped: Mapping[str, str]) -> str:
    """One line for each reason, with the detectors that it keeps from running."""
    by_reason: dict[str, list[str]] = {}
    for name, why in skipped.items():
        by_reason.setdefault(why, []).append(f"`{name}`")
    return "\n".join(f"- {', '.join(names)}: {why}" for why, names in by_reason.items())


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is missing, print the tables."""
    given = parser(__doc__ or "", "circuit_detectors", TASKS).parse_args(arguments)
    folder = given.out / "cells"
    folder.mkdir(parents=True, exist_ok=True)
    results = {}
    for task in find_tasks(given.tasks):
        found, skipped = figures(task, given.seeds, given.size, folder)
        results[task.name] = {"figures": found, "skipped": skipped}
        print(f"\n{task.name}\n\n{markdown('AUROC', found)}")
        if skipped:
            print(f"\nNot run:\n\n{reasons(skipped)}")
    (given.out / "circuit_detectors.json").write_text(
        json.dumps({"seeds": given.seeds, "size": given.size, **results}, indent=1) + "\n"
    )


if __name__ == "__main__":
    main()
