"""Twelve detectors together over the sum of their times one by one; streaming moments over one matrix product.

python benchmarks/panel.py --json

- `together`: fit and score on SmolLM2-135M (with the adapter of `injection`); the goal is at most 0.25 of the sum.
- `moments`: mean, covariance and what shrinkage needs, gathered in batches in float64, over ``X.T @ X`` of all rows at
  once in float64; the goal is at most 2.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence

import torch
from measure import show
from one_pass import Case, case

from ulterior.detectors.catalogue import activation_panel
from ulterior.detectors.detector import Detector
from ulterior.detectors.panels import further_panel
from ulterior.panel import PanelSettings, fit_panel
from ulterior.scores.moments import MomentsFitter

DETECTORS = 12
GOALS = {"together": 0.25, "moments": 2.0}


def seconds(step: Callable[[], object]) -> float:
    """How long it takes."""
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def fit_and_score(given: Case, detectors: Sequence[Detector]) -> None:
    """The whole of a small audit."""
    settings = PanelSettings(held_out=0.5)
    panel = fit_panel(detectors, given.subject, given.trusted, given.untrusted, settings=settings)
    panel.score(given.subject, given.test)


def together(given: Case) -> dict[str, float]:
    """A panel of the default detectors of activations and further scores, whole and in parts of one."""
    detectors = (*activation_panel("resid.*", given.at), *further_panel("resid.*", given.at))[:DETECTORS]
    fit_and_score(given, detectors[:1])  # warms up
    whole = seconds(lambda: fit_and_score(given, detectors))
    apart = [seconds(lambda one=one: fit_and_score(given, [one])) for one in detectors]
    return {
        "ratio": round(whole / sum(apart), 3),
        "seconds_together": round(whole, 1),
        "seconds_apart": round(sum(apart), 1),
        "detectors": len(detectors),
    }


def moments(rows: int = 20_000, d: int = 576, batch: int = 1024, repeats: int = 5) -> dict[str, float]:
    """Streaming moments of SmolLM2's width, in turns with one product."""
    x = torch.randn(rows, d)
    wide = x.double()

    def stream() -> None:
        fitter = MomentsFitter(d)
        for start in range(0, rows, batch):
            fitter.update(x[start : start + batch])
        fitter.finish()

    spent = [(seconds(stream), seconds(lambda: wide.T @ wide)) for _ in range(repeats)]
    ours, product = (statistics.median(column) for column in zip(*spent, strict=True))
    return {"ratio": round(ours / product, 2), "rows": rows, "width": d}


def main() -> None:
    """Measure both, or one of them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", choices=tuple(GOALS))
    parser.add_argument("--task", default="injection", help="the task whose subject and data are used")
    # Half of a third is fitted on: the neighbours of the local outlier factor are 20.
    parser.add_argument("--n", type=int, default=150, help="examples")
    given = parser.parse_args()
    steps = {"together": lambda: together(case(given.task, given.n, GOALS["together"])), "moments": moments}
    chosen = [given.only] if given.only else list(GOALS)
    show({name: {**steps[name](), "goal": GOALS[name]} for name in chosen}, given.json)


if __name__ == "__main__":
    main()
