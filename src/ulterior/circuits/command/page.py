"""A circuit as a page."""

from __future__ import annotations

import platform
from dataclasses import asdict

import numpy as np
import torch

from ulterior.circuits.command.run import Circuit, CircuitResult
from ulterior.circuits.command.sections import (
    around,
    of_circuit,
    of_completeness,
    of_faithfulness,
    of_hypotheses,
    of_pairs,
    percent,
    said,
)
from ulterior.circuits.pairs import Pairs
from ulterior.metrics import Estimate
from ulterior.report import KeyFigure, Report
from ulterior.version import __version__

__all__ = ["circuit_report"]


def circuit_report(result: CircuitResult, config: Circuit, pairs: Pairs) -> Report:
    """The page of a circuit.

    Args:
        result: What was found.
        config: How the run was started.
        pairs: All pairs.
    """
    one = result.evaluation
    f, beside = one.outcome.faithfulness, one.beside
    chance = [each.overall.value for each in beside.random if each.overall.value is not None]
    metric = config.metric.replace("_", " ")
    share = f"{one.kept} of {one.of} {config.units} ({percent(one.kept / one.of)})"
    answer = (
        f"{share} keep {said(f.overall)} of the {metric} on {one.pairs} held-out pairs"
        f" (1: all of it); as many drawn by chance keep {said(_mean(chance, one.pairs))}, the largest by magnitude"
        f" {said(beside.magnitude.overall)}. Without the circuit {said(one.completeness.complement.overall)} is left."
    )
    return Report(
        title=f"Circuit of {config.pairs.stem} in {config.model.rstrip('/').rpartition('/')[2]}",
        answer=answer,
        figures=_figures(result),
        sections=(
            of_circuit(result, config),
            of_faithfulness(result, config),
            of_completeness(result),
            of_hypotheses(result, config),
            of_pairs(result, config),
        ),
        run=_run(result, config, pairs),
        notes=_notes(result),
    )


def _figures(result: CircuitResult) -> tuple[KeyFigure, ...]:
    one = result.evaluation
    f, outcome = one.outcome.faithfulness, one.outcome
    return (
        KeyFigure(said(f.overall), "faithfulness", around(f.overall)),
        KeyFigure(
            said(f.error), "error of a pair", f"{around(f.error)} 0: as the model, 1: as the empty circuit"
        ),
        KeyFigure(
            said(one.completeness.complement.overall),
            "left without the circuit",
            around(one.completeness.complement.overall),
        ),
        KeyFigure(
            percent(outcome.accuracy.value or 0.0),
            "next token " + ("as the model's" if outcome.by_whole else "right"),
            f"the model {percent(outcome.accuracy_whole.value or 0.0)}",
        ),
        KeyFigure(percent(one.kept / one.of), f"of {one.of} units", f"{one.kept} units"),
    )


def _run(result: CircuitResult, config: Circuit, pairs: Pairs) -> dict[str, str]:
    judging = ", ".join(f"{name} {value}" for name, value in asdict(config.judging).items())
    return {
        "model": config.model,
        "pairs": f"{config.pairs.name}: {len(pairs)}, {result.n_found} to find the circuit on and"
        f" {result.evaluation.pairs} held out",
        "method": config.method,
        "units": config.units,
        "metric": config.metric,
        "size": result.size_says,
        "ablation": config.ablation,
        "seed": str(config.seed),
        "judging": judging,
        "ulterior": __version__,
        "torch": torch.__version__,
        "machine": f"{platform.system()} {platform.machine()}, {torch.get_num_threads()} threads",
        "time": f"finding {result.seconds['finding']:.0f} s, judging {result.seconds['judging']:.0f} s in this run",
    }


def _notes(result: CircuitResult) -> tuple[str, ...]:
    one, notes = result.evaluation, []
    if one.pairs < 20:
        notes.append(
            f"Only {one.pairs} held-out pairs: intervals of so few are wide, and still a little too narrow."
        )
    if not one.outcome.faithfulness.overall.defined:
        notes.append(
            "On the held-out pairs the model's metric cannot be told from that of the ablated model, so that"
            " faithfulness is not defined."
        )
    accuracy = one.outcome.accuracy_whole.value
    if accuracy is not None and accuracy < 0.5 and not one.outcome.by_whole:
        notes.append(f"The model itself is right on {percent(accuracy)} of the pairs only.")
    return tuple(notes)


def _mean(values: list[float], n: int) -> Estimate:
    return Estimate(float(np.mean(values)) if values else None, None, None, n)
