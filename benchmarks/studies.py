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
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from controlled import Figure, all_seeds, figure, kept_cell, markdown

from ulterior.bench.run import task_panel
from ulterior.bench.table import AUROC
from ulterior.detectors.detector import Detector
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
    def name(self) -> str:
        """Of its cells; the usual setting stands in several studies and is run once."""
        usual = Point("fakes", "10%")
        one = usual if replace(self, study=usual.study, value=usual.value) == usual else self
        return f"diamonds-{one.study}-{one.value.rstrip('%').replace(' ', '_')}"

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


def figures(point: Point, seeds: int, folder: Path) -> dict[str, Figure | None]:
    """AUROC of real against fake by detector, over the seeds; detectors that could not be fitted are absent."""
    panel = point.panel
    cells = [
        kept_cell(
            TASK,
            point.name,
            panel,
            lambda seed=seed: make(seed, point.sizes, fakes=point.fakes, easy=point.easy),
            seed,
            folder,
        )
        for seed in range(seeds)
    ]
    rows = all_seeds(cells, TASK)
    return {
        row.detector: figure(row) for row in rows if row.metric == AUROC and row.slice == "all difficulties"
    }


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
