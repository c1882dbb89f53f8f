"""How well the trained subjects of the tasks on images and texts do what their cards say, on what they have not seen.

python benchmarks/subjects.py --seeds 3 [--tasks trojan_patch trojan_warp] [--json]

Prints a table in Markdown for each family of tasks: mean over the seeds, with the least and the greatest in brackets.
Networks that have been kept are not trained again.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import fmean

from ulterior.tasks.registry import MODULES, SUITES

Figures = Mapping[str, Sequence[float]]


def figures(task: str, seeds: int) -> Figures:
    """Each figure of a task's subjects, one value a seed: its family's ``recipe.measure`` of its ``RECIPE``."""
    module = importlib.import_module(MODULES[task])
    measure = importlib.import_module(f"{module.__package__}.recipe").measure
    found = []
    for seed in range(seeds):
        print(f"{task}, seed {seed}", file=sys.stderr)
        found.append(asdict(measure(module.RECIPE, seed)))
    return {name: [one[name] for one in found] for name in found[0]}


def table(tasks: Mapping[str, Figures]) -> str:
    """A line for each task, a column for each figure."""
    names = list(dict.fromkeys(name for found in tasks.values() for name in found))
    lines = [
        "| task | " + " | ".join(name.replace("_", " ") for name in names) + " |",
        "|---" * (len(names) + 1) + "|",
    ]
    for task, found in tasks.items():
        lines.append(f"| `{task}` | " + " | ".join(written(found[name]) for name in names) + " |")
    return "\n".join(lines)


def written(values: Sequence[float]) -> str:
    """``.974 [.971, .976]``."""
    mean, low, high = (
        f"{value:.3f}".removeprefix("0") for value in (fmean(values), min(values), max(values))
    )
    return f"{mean} [{low}, {high}]" if len(values) > 1 else mean


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3)
    trained = (*SUITES["images"], *SUITES["texts"])
    parser.add_argument("--tasks", nargs="+", choices=trained, default=list(trained))
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    found = {task: figures(task, given.seeds) for task in given.tasks}
    if given.json:
        print(json.dumps(found, indent=1))
        return
    families: dict[tuple[str, ...], dict[str, Figures]] = {}
    for task, one in found.items():
        families.setdefault(tuple(one), {})[task] = one
    for family in families.values():
        print(table(family) + "\n")


if __name__ == "__main__":
    main()
