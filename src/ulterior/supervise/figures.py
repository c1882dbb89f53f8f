"""The figures of supervision: AUROC against labels spent, for each strategy, beside references without labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from ulterior.metrics import Estimate, Verdict, auroc, over_seeds, paired_auroc_difference, undefined, verdict
from ulterior.serialise import saved
from ulterior.supervise.rounds import Curve
from ulterior.version import __version__

AUROC = "auroc"
ALONE = "auroc of a probe on the labels alone"
TO_START = "auroc difference to the detector without labels"
TO_RANDOM = "auroc difference to random labels"
FOUND = "anomalous among the labels"
OUTSIDE = -1


@saved
@dataclass(frozen=True, eq=False)
class Cell:
    """One finished seed: what every strategy's labels bought, and the references beside them.

    Attributes:
        seed: The seed.
        about: Task, subject, sizes, the start detector, roles of the references, seconds.
        references: Scores of the test examples by detectors that saw no label of ours ``[t]``.
        slices: Labels of the test examples in each comparison ``[t]``: 1 anomalous, 0 normal, -1 outside.
        curves: One for each strategy.
    """

    seed: int
    about: Mapping[str, Any]
    references: Mapping[str, Float[np.ndarray, " t"]]
    slices: Mapping[str, Int[np.ndarray, " t"]]
    curves: tuple[Curve, ...]


@dataclass(frozen=True)
class Row:
    """One figure.

    Attributes:
        task: Name of the task, or of the data.
        subject: Name of the model.
        name: A strategy, or a reference detector.
        role: ``strategy``; of references ``method``, ``baseline`` or ``ceiling``.
        labels: Labels spent; of references None.
        seed: The seed, or None for all seeds together.
        slice: What is compared; of labels, the untrusted examples.
        metric: What was measured.
        value: The figure; None where it is undefined.
        low: Lower end of the 95% interval.
        high: Upper end.
        n: Examples behind it.
        verdict: On rows of a difference.
        version: Of ulterior.
    """

    task: str
    subject: str
    name: str
    role: str
    labels: int | None
    seed: int | None
    slice: str
    metric: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    verdict: Verdict | None
    version: str


def tabulate(cells: Sequence[Cell]) -> list[Row]:
    """All rows: for each seed, and for all seeds together."""
    rows = []
    for some, seed in [*(([cell], cell.seed) for cell in cells), (list(cells), None)]:
        for name in cells[0].references:
            role = cells[0].about["roles"][name]
            for one in cells[0].slices:
                estimate = over_seeds([_auroc(cell.references[name], cell.slices[one]) for cell in some])
                rows.append(_row(some, name, role, None, seed, one, AUROC, estimate, None))
        for index, curve in enumerate(cells[0].curves):
            for point in range(min(len(cell.curves[index].spent) for cell in some)):
                labels = int(some[0].curves[index].spent[point])
                figures = list(_figures(some, index, point))
                # The bootstrap of a difference is slow: over all seeds, and where tables show it.
                if seed is None and labels in shown_points(some[0].curves[index].spent.tolist()):
                    figures += _differences(some, index, point)
                for one, metric, estimate, said in figures:
                    rows.append(
                        _row(some, curve.strategy, "strategy", labels, seed, one, metric, estimate, said)
                    )
    return rows


def _figures(
    cells: Sequence[Cell], index: int, point: int
) -> Iterator[tuple[str, str, Estimate, Verdict | None]]:
    """Slice, metric, estimate and verdict of one strategy after some round."""
    curves = [cell.curves[index] for cell in cells]
    found = np.array([curve.found[point] for curve in curves], dtype=float)
    yield "labels", FOUND, _spread(found), None
    for one in cells[0].slices:
        scored = [(curve.scores[point], cell.slices[one]) for curve, cell in zip(curves, cells, strict=True)]
        yield one, AUROC, over_seeds([_auroc(*pair) for pair in scored]), None
        alone = [(curve.alone[point], cell.slices[one]) for curve, cell in zip(curves, cells, strict=True)]
        # A mean over the seeds that happen to have both classes would be one over other seeds at each point.
        known = all(np.isfinite(scores).all() for scores, _ in alone)
        yield (
            one,
            ALONE,
            over_seeds([_auroc(*pair) for pair in alone])
            if known
            else undefined(sum(len(y) for _, y in alone)),
            None,
        )


def _differences(
    cells: Sequence[Cell], index: int, point: int
) -> Iterator[tuple[str, str, Estimate, Verdict | None]]:
    """What one strategy has gained after some round, and whether random labels would have done as well."""
    headline, strategy = next(iter(cells[0].slices)), cells[0].curves[index].strategy
    ours = [cell.curves[index].scores[point] for cell in cells]
    if point == len(cells[0].curves[index].spent) - 1:
        starts = [cell.references[cell.about["start"]] for cell in cells]
        gained = _difference(cells, ours, starts, headline)
        yield headline, TO_START, gained, verdict(gained)
    random = [curve.scores[point] for cell in cells for curve in cell.curves if curve.strategy == "random"]
    if strategy != "random" and random:
        beyond = _difference(cells, ours, random, headline)
        yield headline, TO_RANDOM, beyond, verdict(beyond)


def _auroc(scores: np.ndarray, labels: np.ndarray) -> Estimate:
    inside = labels != OUTSIDE
    return auroc(scores[inside], labels[inside])


def _difference(
    cells: Sequence[Cell], ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray], one: str
) -> Estimate:
    inside = [cell.slices[one] != OUTSIDE for cell in cells]

    def stacked(scores: Sequence[np.ndarray]) -> np.ndarray:
        return np.concatenate([some[mask] for some, mask in zip(scores, inside, strict=True)])

    labels = stacked([cell.slices[one] for cell in cells])
    seeds = np.repeat([cell.seed for cell in cells], [int(mask.sum()) for mask in inside])
    return paired_auroc_difference(stacked(ours), stacked(theirs), labels, seeds)


def _spread(counts: Float[np.ndarray, " s"]) -> Estimate:
    """The mean of counts over seeds; with several, 1.96 standard errors to either side."""
    mean = float(counts.mean())
    half = 1.96 * float(counts.std(ddof=1)) / np.sqrt(len(counts)) if len(counts) > 1 else 0.0
    return Estimate(mean, max(mean - half, 0.0), mean + half, len(counts))


def _row(
    cells: Sequence[Cell],
    name: str,
    role: str,
    labels: int | None,
    seed: int | None,
    one: str,
    metric: str,
    estimate: Estimate,
    said: Verdict | None,
) -> Row:
    about = cells[0].about
    return Row(
        about["task"],
        about["subject"],
        name,
        role,
        labels,
        seed,
        one,
        metric,
        estimate.value,
        estimate.low,
        estimate.high,
        estimate.n,
        said,
        __version__,
    )


def shown_points(spent: Sequence[int], most: int = 4) -> list[int]:
    """The numbers of labels that a table shows: the first round's, the last's, and some between."""
    after = [labels for labels in spent if labels]
    if len(after) <= most:
        return after
    return [after[round(place)] for place in np.linspace(0, len(after) - 1, most)]


class Lookup:
    """The rows over all seeds, by what they say."""

    def __init__(self, rows: Sequence[Row], task: str) -> None:
        self.rows = [row for row in rows if row.task == task and row.seed is None]
        self._by = {(row.name, row.labels, row.slice, row.metric): row for row in self.rows}

    def __call__(self, name: str, labels: int | None, one: str, metric: str) -> Row | None:
        """The row, if there is one."""
        return self._by.get((name, labels, one, metric))

    def named(self, *roles: str) -> list[str]:
        """Names with one of these roles, in order."""
        return list(dict.fromkeys(row.name for row in self.rows if row.role in roles))

    def spent(self, name: str) -> list[int]:
        """The numbers of labels at which a strategy has figures."""
        return list(
            dict.fromkeys(row.labels for row in self.rows if row.name == name and row.labels is not None)
        )


def text_table(rows: Sequence[Row], cells: Sequence[Cell]) -> str:
    """The table of a task for a terminal."""
    about, headline = cells[0].about, next(iter(cells[0].slices))
    look = Lookup(rows, about["task"])
    lines = [
        f"{about['task']}: {about['subject']}, {len(cells)} seed(s), {about['n_suspects']} suspects a seed;"
        f" AUROC on {headline}",
        f"{'':<18}{'labels':>8}{'anomalous':>11}  {'AUROC':<24}{'labels alone':<24}against random",
    ]
    for name in look.named("method", "baseline", "ceiling"):
        row, role = look(name, None, headline, AUROC), about["roles"][name]
        note = "the detector without labels" if name == about["start"] else "" if role == "method" else role
        lines.append(f"{name:<18}{'':>8}{'':>11}  {written(row):<24}{'':<24}{note}".rstrip())
    for name in look.named("strategy"):
        for labels in shown_points(look.spent(name)):
            found, difference = (
                look(name, labels, "labels", FOUND),
                look(name, labels, headline, TO_RANDOM),
            )
            lines.append(
                f"{name:<18}{labels:>8}{found.value if found else 0:>11.1f}"
                f"  {written(look(name, labels, headline, AUROC)):<24}"
                f"{written(look(name, labels, headline, ALONE)):<24}"
                f"{difference.verdict if difference else ''}".rstrip()
            )
    lines += [f"not fitted: {name} ({why})" for name, why in about["skipped"].items()]
    return "\n".join(lines)


def written(row: Row | None) -> str:
    """A figure with its interval, for a terminal."""
    if row is None:
        return ""
    return "undefined" if row.value is None else f"{row.value:.3f} [{row.low:.3f}, {row.high:.3f}]"
