"""What a whole panel costs: time to fit and score it, over the time of one plain forward on the same examples.

Both run in one process on the same examples, in turns, and the ratio of the medians is reported. The plain forward uses
the same encoder and the same batches, and reads nothing but the model's output.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from measure import show

from ulterior.detectors.catalogue import activation_panel
from ulterior.examples import Examples, concat
from ulterior.features.outputs import outputs
from ulterior.features.reading import read
from ulterior.panel import PanelSettings, fit_panel
from ulterior.subject import Subject
from ulterior.tasks.registry import find_tasks


@dataclass(frozen=True, eq=False)
class Case:
    """A subject with examples to fit on and to score; ``goal`` is the ratio that must not be exceeded."""

    subject: Subject
    trusted: Examples
    untrusted: Examples
    test: Examples
    at: str
    goal: float


def case(task_name: str, n: int, goal: float) -> Case:
    """The task's own subject and data, a third of ``n`` for each of its three parts."""
    task = find_tasks((task_name,))[0]
    data = task.load(0, "small")
    assert data.untrusted is not None
    third = [part.take(range(min(len(part), n // 3))) for part in (data.trusted, data.untrusted, data.test)]
    trusted, untrusted, test = third
    return Case(data.subject, trusted, untrusted, test, task.at, goal)


def plain_forward(case: Case) -> None:
    """One forward for each example, the same batches, no activation read."""
    for _ in read(case.subject, concat([case.trusted, case.untrusted, case.test]), [outputs("behaviour")]):
        pass


def whole_panel(case: Case) -> None:
    """Fit, calibrate and score the default activation panel."""
    detectors = activation_panel("resid.*", case.at)
    panel = fit_panel(detectors, case.subject, case.trusted, case.untrusted, settings=PanelSettings())
    panel.score(case.subject, case.test)


def medians(steps: Sequence[Callable[[Case], None]], given: Case, repeats: int) -> list[float]:
    """Median seconds of each step; the steps take turns, so that a noisy machine disturbs all alike."""
    times: list[list[float]] = [[] for _ in steps]
    few = replace(
        given, **{name: getattr(given, name).take(range(40)) for name in ("trusted", "untrusted", "test")}
    )
    for step in steps:
        step(few)  # warms up
    for _ in range(repeats):
        for step, spent in zip(steps, times, strict=True):
            start = time.perf_counter()
            step(given)
            spent.append(time.perf_counter() - start)
    return [statistics.median(spent) for spent in times]


def main() -> None:
    """Measure each subject that is there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument(
        "--subjects", nargs="+", default=["diamonds", "injection"], help="tasks whose subjects to use"
    )
    parser.add_argument(
        "--n", type=int, default=0, help="examples; 3,000 for diamonds and 600 for injection by default"
    )
    parser.add_argument("--repeats", type=int, default=2)
    given = parser.parse_args()
    result = {}
    for name in given.subjects:
        one = case(name, given.n or {"diamonds": 3000}.get(name, 600), {"diamonds": 1.5}.get(name, 1.15))
        forward, panel = medians((plain_forward, whole_panel), one, given.repeats)
        result[name] = {
            "subject": one.subject.name,
            "ratio": round(panel / forward, 3),
            "goal": one.goal,
            "seconds_forward": round(forward, 2),
            "seconds_panel": round(panel, 2),
            "examples": sum(map(len, (one.trusted, one.untrusted, one.test))),
            "sites": len(one.subject.select("resid.*")),
            "detectors": len(activation_panel()),
        }
    show(result, given.json)


if __name__ == "__main__":
    main()
