"""Why detectors of anomalies succeed and fail: one thing about a task is changed at a time.

python benchmarks/ablations.py --seeds 3 --out runs/ablations [--tasks trojan_patch quirky] [--size small]
    [--detectors mahalanobis gradient_norms]

Resumable; prints tables in Markdown, of AUROC on each task's headline slice and of the share of its benign shift that
is flagged at a nominal 1%, and writes `ablations.json` beside the cells.

- `as it is`
- `first site`, `last site`: one site is read, not all of the task's, which are combined.
- `tenth of trusted`: a tenth of the trusted examples, to fit and to calibrate on.
- `clean untrusted`: no anomaly among the untrusted examples, so that nothing sets them apart from trusted ones.
- `shift trusted`: half of the benign examples are trusted; the others are tested.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from controlled import Figure, Shares, all_seeds, benign_flagged, figure, kept_cell, markdown, parser

from ulterior.bench.run import task_panel
from ulterior.bench.table import AUROC
from ulterior.examples import concat
from ulterior.subject import Subject
from ulterior.tasks.registry import find_tasks
from ulterior.tasks.task import Task, TaskData

TASKS = (
    "trojan_patch",
    "trojan_blend",
    "adversarial",
    "spurious_colour",
    "quirky",
    "password",
    "repetition",
)
DETECTORS = (
    "mahalanobis",
    "diagonal",
    "nearest_neighbours",
    "lof",
    "quantum_entropy",
    "likelihood_ratio",
    "spectral_signature",
    "confidence",
)

Change = Callable[[Task, TaskData], TaskData]
Sites = Callable[[Task, Subject], str]


def as_it_is(task: Task, data: TaskData) -> TaskData:
    """Nothing is changed."""
    return data


def fewer(task: Task, data: TaskData) -> TaskData:
    """A tenth of the trusted examples."""
    return replace(data, trusted=data.trusted.take(np.arange(len(data.trusted) // 10)))


def clean(task: Task, data: TaskData) -> TaskData:
    """Untrusted examples without those that the truth calls anomalous."""
    if data.untrusted is None:
        return data
    return replace(data, untrusted=data.untrusted.where(~data.untrusted[task.columns["truth"]].astype(bool)))


def familiar(task: Task, data: TaskData) -> TaskData:
    """Every other benign example of the test joins the trusted ones."""
    benign = np.flatnonzero(np.isin(data.test["group"].astype(str), data.benign))
    moved = benign[::2]
    kept = np.setdiff1d(np.arange(len(data.test)), moved)
    columns = data.trusted.columns
    trusted = concat([data.trusted, data.test.take(moved).only(*columns)])
    order = np.random.default_rng(0).permutation(len(trusted))
    return replace(data, trusted=trusted.take(order), test=data.test.take(kept))


def every(task: Task, subject: Subject) -> str:
    """All sites of the task."""
    return task.sites


def first(task: Task, subject: Subject) -> str:
    """The first of them."""
    return subject.select(task.sites)[0]


def last(task: Task, subject: Subject) -> str:
    """The last of them."""
    return subject.select(task.sites)[-1]


@dataclass(frozen=True)
class Setting:
    """One thing that is changed: the data, or what is read."""

    change: Change = as_it_is
    sites: Sites = every


SETTINGS: Mapping[str, Setting] = {
    "as it is": Setting(),
    "first site": Setting(sites=first),
    "last site": Setting(sites=last),
    "tenth of trusted": Setting(fewer),
    "clean untrusted": Setting(clean),
    "shift trusted": Setting(familiar),
}


def figures(
    task: Task, name: str, detectors: Sequence[str], seeds: int, size: str, folder: Path
) -> dict[str, Mapping[str, Figure | Shares | None]]:
    """Both metrics of a setting: of each detector, over the seeds."""
    setting = SETTINGS[name]
    cells = []
    for seed in range(seeds):
        subject = task.subject(seed) if task.subject is not None else task.load(seed, size).subject
        panel = task_panel(replace(task, sites=setting.sites(task, subject)), detectors)
        cells.append(
            kept_cell(
                task,
                f"{task.name}-{size}-{name.replace(' ', '_')}",
                panel,
                lambda seed=seed: setting.change(task, task.load(seed, size)),
                seed,
                folder,
            )
        )
    rows = all_seeds(cells, task)
    headline = cells[0].slices[0]
    found = {row.detector: figure(row) for row in rows if row.metric == AUROC and row.slice == headline}
    kinds = cells[0].about["benign"]
    return {"AUROC": found, f"flagged at 1%: {' / '.join(kinds)}": benign_flagged(rows, kinds)}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is missing, print the tables."""
    asked = parser(__doc__ or "", "ablations", TASKS)
    asked.add_argument("--detectors", nargs="+", default=list(DETECTORS), help="beside the baseline")
    given = asked.parse_args(arguments)
    folder = given.out / "cells"
    folder.mkdir(parents=True, exist_ok=True)
    results = {}
    for task in find_tasks(given.tasks):
        found = {
            name: figures(task, name, given.detectors, given.seeds, given.size, folder) for name in SETTINGS
        }
        results[task.name] = found
        for metric in found["as it is"]:
            table = markdown(metric, {name: one[metric] for name, one in found.items()})
            print(f"\n{task.name}\n\n{table}")
    (given.out / "ablations.json").write_text(
        json.dumps({"seeds": given.seeds, "size": given.size, **results}, indent=1) + "\n"
    )


if __name__ == "__main__":
    main()
