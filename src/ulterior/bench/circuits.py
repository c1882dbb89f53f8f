"""`ulterior bench circuits`: how well methods find circuits that are known."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from tqdm import tqdm

from ulterior.circuits.command.store import Kept, plain
from ulterior.circuits.finding.acdc import Acdc
from ulterior.circuits.finding.catalogue import FINDERS
from ulterior.circuits.finding.finder import Finder
from ulterior.circuits.finding.integrated import IntegratedInputs
from ulterior.circuits.finding.learned import EdgePruning, SigmoidMask
from ulterior.circuits.graph import Units
from ulterior.circuits.judging.conditions import Ends, conditions, ends, run_masks
from ulterior.circuits.judging.curves import curve, magnitude_scores, random_scores
from ulterior.circuits.judging.faithfulness import ratio_of_means
from ulterior.circuits.mask import Mask, Scores, mask_of
from ulterior.circuits.metrics import Metric, logit_difference
from ulterior.circuits.pairs import Pairs
from ulterior.circuits.streams import wire
from ulterior.circuits.truth.catalogue import truths
from ulterior.circuits.truth.truth import Truth
from ulterior.errors import InputError
from ulterior.files import writable_folder, write_whole
from ulterior.metrics import Estimate, auroc
from ulterior.serialise import saved
from ulterior.subject import Subject
from ulterior.version import __version__

__all__ = ["BenchCircuits", "CircuitCell", "main", "method", "method_names", "run_cell"]

EDGES = Units("edges")
THRESHOLDS = tuple(float(one) for one in np.geomspace(1e-4, 3.0, 12))
CONTROLS = ("random", "magnitude")
# What the usual few steps of the integral cost in accuracy.
FINE, FINE_STEPS = "eap_ig_inputs_50", 50


@dataclass(frozen=True)
class BenchCircuits:
    """Run methods x known circuits x seeds: do they find the edges that are known to be the circuit.

    Attributes:
        truths: Names of the known circuits; all if none is given.
        methods: Names of the methods; all if none is given. `random` and `magnitude` (the size of what a source adds)
            are controls; `eap_ig_inputs_50` takes 50 steps in place of 5.
        seeds: Seeds 0, 1, ... change the pairs and whatever the method draws.
        pairs: How many pairs a circuit is found on, and as many that it is judged on.
        out: Folder for the cells, `results.json` and `report.html`. A run in the same folder goes on from there.
        progress: Whether a bar is shown.
    """

    truths: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    seeds: int = 3
    pairs: int = 64
    out: Path = Path("runs/circuits")
    progress: bool = True


@saved
@dataclass(frozen=True, eq=False)
class CircuitCell:
    """One method on one known circuit with one seed.

    Attributes:
        truth: Name of the known circuit.
        kind: How it is known; see ``Truth``.
        method: Name of the method.
        seed: The seed.
        auroc: P(an edge of the circuit scores higher than another), edges that no pair can show left out.
        precision: Share of true edges among as many of the largest scores as the circuit has edges.
        cmd: Area of |1 - faithfulness| over sizes, on held-out pairs.
        faithfulness: Of the circuit of the true size, on held-out pairs.
        complement: Faithfulness of everything but that circuit: 0 if it is complete.
        kept: Names of that circuit's edges.
        seconds: Of finding it once.
        refused: Why the method does not run on this model; empty where it does.
    """

    truth: str
    kind: str
    method: str
    seed: int
    auroc: Estimate | None = None
    precision: float = float("nan")
    cmd: Estimate | None = None
    faithfulness: Estimate | None = None
    complement: Estimate | None = None
    kept: tuple[str, ...] = ()
    seconds: float = float("nan")
    refused: str = ""


@dataclass(frozen=True)
class _Control:
    """An order of the edges that knows nothing of the behaviour."""

    name: Literal["random", "magnitude"]
    seed: int = 0

    def __call__(self, subject: Subject, pairs: Pairs, units: Units, metric: Metric) -> Scores:
        wired = wire(subject)
        if self.name == "random":
            return random_scores(wired.graph, units, self.seed)
        return magnitude_scores(wired, pairs, units)


def method_names() -> tuple[str, ...]:
    """All methods of the bench: those that score edges, and the controls."""
    return (*(name for name in FINDERS if name != "path_patching"), FINE, *CONTROLS)


def method(name: str, seed: int = 0) -> Finder:
    """A method as the bench runs it: with scores in place of a mask, so that all can be ranked.

    Raises:
        InputError: an unknown name.
    """
    if name == FINE:
        return IntegratedInputs(steps=FINE_STEPS)
    if name == "acdc":
        return Acdc(threshold=THRESHOLDS)
    if name == "edge_pruning":
        return EdgePruning(result="scores", seed=seed)
    if name == "sigmoid_mask":
        return SigmoidMask(result="scores", seed=seed)
    if name == "random" or name == "magnitude":
        return _Control(name, seed)
    if name not in method_names():
        raise InputError(f"no method '{name}'; there are: {', '.join(method_names())}")
    return FINDERS[name]()


def main(config: BenchCircuits) -> list[CircuitCell]:
    """Run the command: fill in the cells that are missing, print the table, write the folder.

    Raises:
        InputError: an unknown name, no seeds or pairs, a folder that cannot be written to.
    """
    from ulterior.bench.circuit_page import circuits_report, circuits_text
    from ulterior.report import write_report

    chosen = _chosen(config.truths, {one.name: one for one in truths()})
    methods = config.methods or method_names()
    for name in methods:
        method(name)
    if config.seeds < 1 or config.pairs < 2:
        raise InputError(f"{config.seeds} seeds of {config.pairs} pairs; at least 1 and 2 are needed")
    writable_folder(config.out)
    settings = {"pairs": config.pairs, "version": __version__}
    kept, cells = Kept(config.out, settings), []
    once = [replace(truth, build=cache(truth.build)) for truth in chosen]
    todo = [(truth, name, seed) for truth in once for name in methods for seed in range(config.seeds)]
    with tqdm(todo, desc="circuits", unit="cell", disable=None if config.progress else True) as bar:
        for truth, name, seed in bar:
            bar.set_postfix_str(f"{truth.name}, {name}")
            cell = kept(
                f"{truth.name} {name} {seed}",
                lambda truth=truth, name=name, seed=seed: run_cell(truth, name, seed, n=config.pairs),
            )
            cells.append(cell)
    print(circuits_text(cells))
    write_whole(config.out / "results.json", json.dumps({"run": settings, "cells": plain(cells)}) + "\n")
    write_report(circuits_report(cells, settings), config.out / "report.html")
    return cells


def run_cell(truth: Truth, name: str, seed: int, *, n: int = 64) -> CircuitCell:
    """Find a known circuit by one method, and judge what was found on pairs of its own.

    Args:
        truth: The known circuit.
        name: The method.
        seed: Of the pairs, and of what the method draws.
        n: Pairs to find on, and as many to judge on.
    """
    subject, metric = truth.build(), logit_difference
    both = truth.pairs(2 * n, seed)
    pairs, held = both.take(range(n)), both.take(range(n, 2 * n))
    cell = CircuitCell(truth.name, truth.kind, name, seed)
    finder = method(name, seed)
    start = time.perf_counter()
    try:
        scores = finder(subject, pairs, EDGES, metric)
    except InputError as error:
        return replace(cell, refused=str(error))
    seconds = time.perf_counter() - start
    assert isinstance(scores, Scores)
    found, agreement = _against(truth, scores)
    given = conditions(subject, held, metric)
    at = ends(given, EDGES)
    circuit = scores.top(len(truth.edges))
    inside, outside = _faithful(circuit, given, at)
    return replace(
        cell,
        auroc=found,
        precision=agreement,
        cmd=curve(given, [scores], at, name=name).cmd,
        faithfulness=inside,
        complement=outside,
        kept=circuit.kept,
        seconds=seconds,
    )


def _against(truth: Truth, scores: Scores) -> tuple[Estimate, float]:
    """AUROC of the scores' sizes, and precision at the true size, over edges that pairs can tell apart."""
    unseen = mask_of(scores.graph, EDGES, truth.wired - truth.edges)
    shown = (unseen.flat == 0).numpy()
    labels = (truth.mask(scores.graph).flat > 0).numpy()[shown]
    sizes = scores.flat.abs().double().numpy()[shown]
    best = np.argsort(-sizes, kind="stable")[: int(labels.sum())]
    return auroc(sizes, labels), float(labels[best].mean())


def _faithful(mask: Mask, given: Any, at: Ends) -> tuple[Estimate, Estimate]:
    values = run_masks(given, [mask, ~mask])[0]
    gap = at.whole - at.empty
    inside, outside = (ratio_of_means(row - at.empty, gap) for row in values)
    return inside, outside


def _chosen(names: Sequence[str], known: Mapping[str, Truth]) -> list[Truth]:
    for name in names:
        if name not in known:
            raise InputError(f"no known circuit '{name}'; there are: {', '.join(known)}")
    return [known[name] for name in (names or known)]
