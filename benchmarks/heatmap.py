"""Draw `results.json` of a bench of many tasks as one picture: what is found, and what harmless novelty is flagged.

python benchmarks/heatmap.py runs/all/results.json --out docs/images/anomalies.png

Two maps of detectors by tasks over all seeds: AUROC on each task's headline slice, and the share of the benign
shift that is flagged at a nominal 1% (the mean over its kinds). Detectors that ran on fewer tasks than `--least` are
left out.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from leaderboard import benign

from ulterior.bench.table import Row, headlines, of_all_seeds
from ulterior.report.plots import LIGHT, look, save_png

if TYPE_CHECKING:
    from jaxtyping import Float
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 130
CELL = 0.27  # inches of a cell's side
DARK = 0.4  # a cell with a colour below this mean is written on in white


def found(
    rows: Sequence[Row], tasks: Sequence[str], names: Sequence[str]
) -> Float[np.ndarray, "names tasks"]:
    """AUROC of each detector on each task's headline slice; NaN where it did not run or there is none."""
    of = headlines(rows)
    return _grid(names, tasks, lambda name, task: of[name][task].value if task in of[name] else None)


def flagged(
    rows: Sequence[Row], tasks: Sequence[str], names: Sequence[str]
) -> Float[np.ndarray, "names tasks"]:
    """Share of the benign shift that each detector flags, the mean over its kinds; NaN where there is none."""
    own = {task: of_all_seeds(rows, task) for task in tasks}

    def mean(name: str, task: str) -> float | None:
        shares = benign(own[task], name)
        return float(np.mean(list(shares.values()))) if shares else None

    return _grid(names, tasks, mean)


def _grid(
    names: Sequence[str], tasks: Sequence[str], of: Callable[[str, str], float | None]
) -> Float[np.ndarray, "names tasks"]:
    values = [[of(name, task) for task in tasks] for name in names]
    return np.array([[np.nan if value is None else value for value in line] for line in values])


def draw(rows: Sequence[Row], least: int) -> Figure:
    """The two maps, one below the other."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    tasks = list(dict.fromkeys(row.task for row in rows))
    names = [name for name, on in headlines(rows).items() if len(on) >= least]
    with look():
        width, height = CELL * len(tasks) + 1.7, 2 * CELL * len(names) + 2.2
        fig = Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=0.12))
        FigureCanvasAgg(fig)
        upper, lower = fig.subplots(2, 1, sharex=True)
        _map(upper, found(rows, tasks, names), "AUROC, in hundredths", "RdBu", tasks, names)
        what = "share of the benign shift that is flagged at a nominal 1%, in percent"
        _map(lower, flagged(rows, tasks, names), what, "Oranges", tasks, names)
        fig.draw_without_rendering()
    return fig


def _map(
    axes: Axes,
    values: Float[np.ndarray, "names tasks"],
    title: str,
    colours: str,
    tasks: Sequence[str],
    names: Sequence[str],
) -> None:
    """One map: a colour and two figures (hundredths) a cell."""
    image = axes.imshow(values, cmap=colours, vmin=0, vmax=1, aspect="equal", alpha=0.8)
    for (y, x), value in np.ndenumerate(values):
        if not np.isnan(value):
            dark = np.mean(image.cmap(float(value))[:3]) < DARK
            colour = LIGHT["paper" if dark else "ink"]
            axes.text(x, y, _hundredths(value), ha="center", va="center", fontsize=6.5, color=colour)
    axes.set_title(title, fontsize=9)
    axes.set_xticks(range(len(tasks)), tasks, rotation=60, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _hundredths(value: float) -> str:
    """``88`` for .88, ``1`` for .01; a dot for what rounds to nothing."""
    return f"{100 * value:.0f}" if value >= 0.005 else "·"


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw the picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--least", type=int, default=5, help="on how many tasks a detector must have run")
    given = parser.parse_args(arguments)
    rows = [Row(**row) for row in json.loads(given.results.read_text(encoding="utf-8"))["rows"]]
    save_png(draw(rows, given.least), given.out, dpi=DPI)
    print(given.out)


if __name__ == "__main__":
    main()
