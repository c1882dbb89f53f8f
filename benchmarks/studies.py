"""Controlled studies on `diamonds`: what happens to each method when one thing about the task changes.

python benchmarks/studies.py --seeds 3 --out runs/studies

Resumable; prints tables in Markdown and writes `studies.json` beside the cells.

- `fakes`: the share of fakes among the untrusted training rows, 0 to 20% (half of them are all-positive).
- `trusted`: the number of trusted rows.
- `inputs`: the untrusted rows on which diverse heads must part: all, as published, or those alone whose
  measurements are all positive; and which head is kept, by the rule or by the truth.
- `shift`: how far the real test programs are from the trusted ones: all from their own easy pool, half of them, none
  (the training difficulty), new templates mixed in, and new templates alone. Fakes never come from the easy pool.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ulterior.bench.cells import Cell, CellKey, read_cell, run_cell, write_cell
from ulterior.bench.run import task_panel
from ulterior.bench.table import AUROC, tabulate
from ulterior.detectors.detector import Detector
from ulterior.panel import PanelSettings
from ulterior.scores.diverse import DiverseHeads
from ulterior.tasks.tampering.diamonds.task import TASK, Sizes, make

USUAL = Sizes(1_000, 3_000, 300, {"both": 800})
DETECTORS = (
    "mahalanobis",
    "quantum_entropy",
    "nearest_neighbours",
    "trusted_probe",
    "tampering_probe",
    "dirtiness_probe",
    "ace",
    "divdis",
    "surface",
    "ceiling",
)
HEADS = ("divdis", "divdis_oracle", "dbat", "dbat_oracle", "ace", "ace_oracle")


@dataclass(frozen=True)
class Point:
    """One setting of one study."""

    study: str
    value: str
    sizes: Sizes = USUAL
    fakes: float = 0.1
    easy: float = 0.0
    inputs: str = ""

    @property
    def panel(self) -> tuple[Detector, ...]:
        """What is compared; diverse heads trained on `inputs`, if these are given."""
        if not self.inputs:
            return task_panel(TASK, DETECTORS)
        panel = task_panel(TASK, HEADS)
        return tuple(
            replace(one, score=replace(one.score, inputs=self.inputs))
            if isinstance(one.score, DiverseHeads)
            else one
            for one in panel
        )


STUDIES: Mapping[str, tuple[Point, ...]] = {
    "fakes": tuple(
        Point("fakes", f"{share:.0%}", fakes=share) for share in (0.0, 0.01, 0.02, 0.05, 0.1, 0.2)
    ),
    "trusted": tuple(
        Point("trusted", str(n), replace(USUAL, trusted=n)) for n in (50, 100, 200, 500, 1_000, 2_000, 5_000)
    ),
    "inputs": tuple(Point("inputs", rows, inputs=rows) for rows in ("untrusted", "suspects")),
    "shift": (
        Point("shift", "easy", easy=1.0),
        Point("shift", "half easy", easy=0.5),
        *(Point("shift", name, replace(USUAL, test={name: 800})) for name in ("both", "val", "only_val")),
    ),
}


def cell_of(point: Point, seed: int, folder: Path) -> Cell:
    """One seed of one setting, from its file where it is finished."""
    panel = point.panel
    name = f"diamonds-{point.study}-{point.value.rstrip('%').replace(' ', '_')}"
    key = CellKey(name, "study", seed, tuple(map(repr, panel)), 0.3)
    done = read_cell(key, folder)
    if done is None:
        print(f"{name}, seed {seed}", file=sys.stderr)
        data = make(seed, point.sizes, fakes=point.fakes, easy=point.easy)
        done = run_cell(TASK, data, panel, key, PanelSettings(seed=seed))
        write_cell(done, folder)
    return done


def figures(point: Point, seeds: int, folder: Path) -> dict[str, dict[str, float | None]]:
    """AUROC of real against fake by detector, over the seeds; detectors that could not be fitted are absent."""
    rows = tabulate(
        [cell_of(point, seed, folder) for seed in range(seeds)], baseline=TASK.baseline, alpha=0.01
    )
    return {
        row.detector: {"value": row.value, "low": row.low, "high": row.high}
        for row in rows
        if row.metric == AUROC and row.slice == "all difficulties" and row.seed is None
    }


def markdown(study: str, results: Mapping[str, Mapping[str, Mapping[str, float | None]]]) -> str:
    """A table with a line for each detector and a column for each setting."""
    names = list(dict.fromkeys(name for found in results.values() for name in found))
    lines = [f"| {study} | " + " | ".join(results) + " |", "|---" * (len(results) + 1) + "|"]
    for name in names:
        lines.append(
            f"| `{name}` | " + " | ".join(written(found.get(name)) for found in results.values()) + " |"
        )
    return "\n".join(lines)


def written(figure: Mapping[str, float | None] | None) -> str:
    """``.91 ± .02``, or a dash where the method could not be fitted."""
    if figure is None or figure["value"] is None or figure["low"] is None or figure["high"] is None:
        return "–"
    half = (figure["high"] - figure["low"]) / 2
    return f"{figure['value']:.3f} ± {half:.3f}".replace("0.", ".")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is missing, print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("runs/studies"))
    parser.add_argument("--studies", nargs="+", choices=list(STUDIES), default=list(STUDIES))
    given = parser.parse_args(arguments)
    folder = given.out / "cells"
    folder.mkdir(parents=True, exist_ok=True)
    every = {}
    for study in given.studies:
        results = {point.value: figures(point, given.seeds, folder) for point in STUDIES[study]}
        every[study] = {"points": [asdict(point) for point in STUDIES[study]], "figures": results}
        print(f"\n{markdown(study, results)}")
    (given.out / "studies.json").write_text(json.dumps({"seeds": given.seeds, **every}, indent=1) + "\n")


if __name__ == "__main__":
    main()
