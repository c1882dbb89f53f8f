"""`ulterior demo`: the main job on the embedded model, offline."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ulterior.bench.run import Bench
from ulterior.bench.run import main as bench


@dataclass(frozen=True)
class Demo:
    """Which programs fool all three sensors? The `diamonds` bench with its default panel, in a minute or two.

    Attributes:
        seeds: Number of seeds.
        out: Folder for the results and the report.
    """

    seeds: int = 1
    out: Path = Path("runs/demo")


def main(config: Demo) -> None:
    """Run the command."""
    bench(Bench(("diamonds",), seeds=config.seeds, out=config.out))
