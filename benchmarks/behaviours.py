"""Circuits of templated behaviours in a real model: how small, how faithful, how complete.

python benchmarks/behaviours.py [--model smollm2-135m-instruct] [--pairs 16] [--size .02] [--out runs/behaviours]

For each behaviour: makes its pairs, finds a circuit of the given share of all edges on half of them by edge attribution
patching, judges it on the other half (one circuit by chance beside it), and prints a row in Markdown. Resumable: each
behaviour has a folder with its page.

- right: of the held-out pairs, how many the model and the circuit complete with the right token.
- faithfulness, error, left without it, CMD: see `docs/circuits.md`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from ulterior.circuits.behaviours import data
from ulterior.circuits.command.run import Circuit, CircuitResult
from ulterior.circuits.command.run import main as find
from ulterior.circuits.judging import Thoroughness
from ulterior.metrics import Estimate

BEHAVIOURS = ("indirect_object", "greater_than", "agreement", "agreement_attractor", "induction")
COLUMNS = (
    "behaviour",
    "right: model",
    "right: circuit",
    "faithfulness",
    "by chance",
    "by magnitude",
    "error of a pair",
    "left without it",
    "CMD",
)


def cells(name: str, found: CircuitResult) -> list[str]:
    """A row of the table."""
    one = found.evaluation
    faithfulness, chance = one.outcome.faithfulness, one.beside.random[0]
    own = next(curve for curve in one.curves if curve.name == found.mask.name)
    return [
        f"`{name}`",
        said(one.outcome.accuracy_whole),
        said(one.outcome.accuracy),
        said(faithfulness.overall),
        said(chance.overall),
        said(one.beside.magnitude.overall),
        said(faithfulness.error),
        said(one.completeness.complement.overall),
        said(own.cmd),
    ]


def said(one: Estimate) -> str:
    """A figure with its interval."""
    if one.value is None:
        return "not defined"
    interval = "" if one.low is None or one.high is None else f" [{one.low:.2f}, {one.high:.2f}]"
    return f"{one.value:.2f}{interval}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is missing, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--pairs", type=int, default=16)
    parser.add_argument("--size", type=float, default=0.02)
    parser.add_argument(
        "--behaviours", nargs="+", choices=(*BEHAVIOURS, "repeated_letter"), default=BEHAVIOURS
    )
    parser.add_argument("--out", type=Path, default=Path("runs/behaviours"))
    given = parser.parse_args(arguments)
    little = Thoroughness(subsets=1, steps=0, units=0, paths=0, randoms=1)
    rows = []
    for name in given.behaviours:
        pairs = given.out / f"{name}.jsonl"
        data.main(data.PairsData(name, pairs, given.model, given.pairs))
        found = find(
            Circuit(pairs, given.out / name, given.model, "eap", size=given.size, again=0, judging=little)
        )
        rows.append(cells(name, found))
    print(f"\n| {' | '.join(COLUMNS)} |\n|{' --- |' * len(COLUMNS)}")
    for row in rows:
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
