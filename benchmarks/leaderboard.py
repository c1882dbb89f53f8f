"""Turn `results.json` of a bench into the Markdown tables that the documentation shows.

python benchmarks/leaderboard.py runs/diamonds/results.json [--slices 2] [--caught 1 5] [--measurement] [--cost]
python benchmarks/leaderboard.py runs/all/results.json --brief [--tasks quirky password]

Of several tasks, the first table holds every detector on every task; then comes a table for each. With `--brief` there
are three tables of all tasks alone: AUROC on the headline slices, without intervals, and ``+`` or ``-`` where that is
better or worse than the task's baseline; the share that is caught at 1% false alarms; and the share of each kind of the
benign shift that is flagged at a nominal 1%.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from ulterior.bench.measured import MEASUREMENTS
from ulterior.bench.table import (
    AUROC,
    COSTS,
    DIFFERENCE,
    EXAMPLE,
    FALSE_ALARMS,
    MEASURED,
    Row,
    headlines,
    of_all_seeds,
    ranked,
    recall_name,
)


def table(
    rows: Sequence[Row],
    task: str,
    *,
    slices: int = 2,
    caught: Sequence[float] = (0.01, 0.05),
    measurement: bool = False,
    cost: bool = False,
) -> str:
    """One task's table over all seeds, best first on the headline slice."""
    own = of_all_seeds(rows, task)
    found = list(dict.fromkeys(one for _, one, metric in own if metric == AUROC))
    groups = list(dict.fromkeys(group for _, group, metric in own if metric == FALSE_ALARMS))
    metrics = MEASUREMENTS if measurement else ()
    head = ["detector", *(f"AUROC, {one}" for one in found[:slices])]
    head += [*(f"caught at {level:.0%}" for level in caught), *(f"flagged: {group}" for group in groups)]
    head += [*metrics, *(["passes, training", "passes, scoring"] if cost else []), "verdict"]
    lines = []
    for row in ranked(rows, task):
        name = row.detector
        difference = own.get((name, found[0], DIFFERENCE))
        verdict = "baseline" if row.is_baseline else str(difference.verdict) if difference else ""
        lines.append(
            [
                _named(name, row.role),
                *(interval(own.get((name, one, AUROC))) for one in found[:slices]),
                *(share(own.get((name, found[0], recall_name(level)))) for level in caught),
                *(share(own.get((name, group, FALSE_ALARMS))) for group in groups),
                *(interval(own.get((name, MEASURED, metric))) for metric in metrics),
                *(
                    passes([own.get((name, EXAMPLE, m)) for m in some])
                    for some in (COSTS[:2], COSTS[2:])
                    if cost
                ),
                verdict,
            ]
        )
    return _markdown(head, lines)


def joint(rows: Sequence[Row]) -> str:
    """Every detector on every task's headline slice, with its verdict there."""
    tasks = list(dict.fromkeys(row.task for row in rows))
    own = {task: of_all_seeds(rows, task) for task in tasks}
    lines = []
    for name, found in headlines(rows).items():
        cells = []
        for task in tasks:
            row = found.get(task)
            difference = own[task].get((name, row.slice, DIFFERENCE)) if row else None
            verdict = difference.verdict if difference else "baseline" if row and row.is_baseline else None
            cells.append(interval(row) + (f" *{verdict}*" if verdict else ""))
        lines.append([_named(name, next(iter(found.values())).role), *cells])
    return _markdown(["detector", *tasks], lines)


SIGNS = {"better": " +", "worse": " -"}


def brief(rows: Sequence[Row]) -> dict[str, str]:
    """Three tables of all tasks, by what they show."""
    tasks = list(dict.fromkeys(row.task for row in rows))
    own = {task: of_all_seeds(rows, task) for task in tasks}
    shown: dict[str, list[list[str]]] = {
        "AUROC": [],
        "caught at 1% false alarms": [],
        "benign shift, flagged at 1%": [],
    }
    for name, found in headlines(rows).items():
        headline = [found.get(task) for task in tasks]
        detector = _named(name, next(iter(found.values())).role)
        signs = [own[row.task].get((name, row.slice, DIFFERENCE)) if row else None for row in headline]
        aurocs = [
            ""
            if row is None
            else "undefined"
            if row.value is None
            else short(row.value) + _sign(row, against)
            for row, against in zip(headline, signs, strict=True)
        ]
        caught = [
            share(own[row.task].get((name, row.slice, recall_name(0.01)))) if row else "" for row in headline
        ]
        flagged = [percent(benign(own[task], name).values()) for task in tasks]
        for lines, cells in zip(shown.values(), (aurocs, caught, flagged), strict=True):
            lines.append([detector, *cells])
    kinds = [
        f"{task}: {' / '.join(next(filter(None, (benign(own[task], name) for name in headlines(rows))), ()))}"
        for task in tasks
    ]
    heads = (tasks, tasks, kinds)
    return {
        what: _markdown(["detector", *head], lines)
        for (what, lines), head in zip(shown.items(), heads, strict=True)
    }


def _sign(row: Row, against: Row | None) -> str:
    if row.is_baseline:
        return " (baseline)"
    return SIGNS.get(against.verdict or "", "") if against else ""


def benign(own: Mapping[tuple[str, str, str], Row], name: str) -> dict[str, float]:
    """What a detector flags of each benign kind."""
    return {
        group: row.value
        for (detector, group, metric), row in own.items()
        if detector == name and metric == FALSE_ALARMS and group != "trusted" and row.value is not None
    }


def percent(shares: Collection[float]) -> str:
    """``1 / 6 / 100%``."""
    return " / ".join(f"{100 * one:.0f}" for one in shares) + "%" if shares else ""


def interval(row: Row | None) -> str:
    """``.884 [.859, .905]``."""
    if row is None:
        return ""
    if row.value is None or row.low is None or row.high is None:
        return "undefined"
    return f"{short(row.value)} [{short(row.low)}, {short(row.high)}]"


def short(value: float) -> str:
    """Three decimals, no zero before the point."""
    return f"{value:.3f}".removeprefix("0")


def share(row: Row | None) -> str:
    """A share in percent."""
    return "" if row is None or row.value is None else f"{100 * row.value:.1f}%"


def passes(rows: Sequence[Row | None]) -> str:
    """Forward and, if there are any, backward passes."""
    forward, backward = (row.value or 0.0 if row else 0.0 for row in rows)
    return f"{forward:.3g}" + (f" + {backward:.3g} back" if backward else "")


def _named(name: str, role: str) -> str:
    return f"`{name}`" + (f" *({role})*" if role in ("ceiling", "control", "oracle") else "")


def _markdown(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, ["---"] * len(head), *lines))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path, nargs="+")
    parser.add_argument("--slices", type=int, default=2, help="how many slices get a column")
    parser.add_argument("--tasks", nargs="*", help="which tasks; all if not given")
    parser.add_argument(
        "--caught", type=float, nargs="*", default=[1, 5], help="at which false-alarm rates, in percent: 1, 5"
    )
    parser.add_argument("--measurement", action="store_true", help="how well the networks measure")
    parser.add_argument("--cost", action="store_true", help="passes through the network an example")
    parser.add_argument("--brief", action="store_true", help="all tasks in three tables, without intervals")
    given = parser.parse_args()
    for path in given.results:
        content = json.loads(path.read_text(encoding="utf-8"))
        rows = [Row(**row) for row in content["rows"]]
        rows = [row for row in rows if not given.tasks or row.task in given.tasks]
        tasks = list(dict.fromkeys(row.task for row in rows))
        if given.brief:
            for what, shown in brief(rows).items():
                print(f"{what}\n\n{shown}\n")
            continue
        if len(tasks) > 1:
            print(f"all tasks, AUROC on the headline slice of each, size {content['run']['size']}\n")
            print(joint(rows) + "\n")
        for task in tasks:
            own = [row for row in rows if row.task == task]
            seeds = sorted({row.seed for row in own if row.seed is not None})
            print(f"{task}: {own[0].subject}, seeds {seeds}, size {content['run']['size']}\n")
            caught = [level / 100 for level in given.caught]
            shown = table(
                own, task, slices=given.slices, caught=caught, measurement=given.measurement, cost=given.cost
            )
            print(shown + "\n")


if __name__ == "__main__":
    main()
