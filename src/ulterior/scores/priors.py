"""Which of many probes that trusted labels cannot tell apart: the simplest, or the earliest.

A probe that goes by the measurements may fit trusted rows as well as one that goes by the outcome, and no trusted row
says which is which. These rules bet that the outcome is the simpler thing to read (``SimplicityProbe``), or the one
that the subject has worked out earlier (``SpeedProbe``). They are bets: whether they help is for a bench to say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import softplus

from ulterior.errors import InputError
from ulterior.scores.labels import labelled_rows
from ulterior.scores.linear import Linear, Standard
from ulterior.scores.logistic import minimise, minimise_sparse
from ulterior.scores.score import Columns, FittedScore
from ulterior.scores.statistics import Statistic, StoreOf
from ulterior.serialise import saved

# From where every weight is nearly zero to where none is held back much.
STRENGTHS = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
# Tolerance of a solution of which no more than its accuracy on other rows is asked.
_LOOSE = 1e-5
_FIRST_BLOCK = 32

Solver = Callable[..., Tensor]


@saved
@dataclass(frozen=True)
class SimplicityProbe:
    """The trusted probe that is simplest among those that trusted labels cannot tell apart.

    ``by``: what simple means. ``l2``, ``l1``: the smallest C of ``strengths`` (the strongest penalty: the smallest, or
    the fewest, weights) whose cross-validated accuracy on trusted rows is within one standard error of the best, or
    within ``tolerance`` of it. ``code``: the representation in which trusted outcomes have the shortest description.
    The standardised rows are projected on their first 1, 2, 4, ... principal components, and the number of components
    with the shortest ``code_length`` is kept; ``C`` is that of its probes.
    """

    label: str
    by: Literal["l2", "l1", "code"] = "l2"
    normal: bool = True
    strengths: tuple[float, ...] = STRENGTHS
    folds: int = 5
    tolerance: float | None = None
    C: float = 0.1
    seed: int = 0
    bound: int = 20_000
    group: str = "trusted"

    @property
    def needs(self) -> tuple[Statistic, ...]:
        """A bounded sample of the rows that have the label."""
        return (StoreOf(self.group, self.bound),)

    def fit(self, given: Mapping[Statistic, Any], columns: Columns) -> Linear:
        """The log-odds of the value that is not normal."""
        x, label = labelled_rows(given, self.needs[0], columns, self.label)
        standard, target = Standard.of(x), torch.from_numpy(label != self.normal)
        z = standard(x)
        if self.by == "code":
            axes = shortest_axes(z, target, self.C, self.seed)
            solution = minimise(z @ axes, target, self.C)
            return standard.linear(axes.double() @ solution[:-1], float(solution[-1]))
        solver = minimise if self.by == "l2" else minimise_sparse
        strengths = sorted(self.strengths)
        hits = cross_validated(z, target, strengths, solver, self.folds, self.seed)
        C = strengths[first_within([float(one.mean()) for one in hits], len(z), self.tolerance)]
        solution = solver(z, target, C)
        return standard.linear(solution[:-1], float(solution[-1]))


@saved
@dataclass(frozen=True, eq=False)
class CheckedProbe:
    """A linear score, and how well it would have done on trusted rows that it was not fitted on."""

    probe: Linear
    accuracy: float
    n: int

    def __call__(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n"]:
        """Score n rows."""
        return self.probe(x)


@saved
@dataclass(frozen=True)
class SpeedProbe:
    """The trusted probe that is earliest among those that trusted labels cannot tell apart.

    At every site and position a probe is fitted and cross-validated. Of all whose accuracy on trusted rows is within
    one standard error of the best (or within ``tolerance`` of it), the one at the earliest site is kept, and of several
    positions there the first; the others are dropped, and the detector speaks with that single probe.
    """

    label: str
    normal: bool = True
    C: float = 0.1
    folds: int = 5
    tolerance: float | None = None
    seed: int = 0
    bound: int = 20_000
    group: str = "trusted"

    @property
    def needs(self) -> tuple[Statistic, ...]:
        """A bounded sample of the rows that have the label."""
        return (StoreOf(self.group, self.bound),)

    def fit(self, given: Mapping[Statistic, Any], columns: Columns) -> CheckedProbe:
        """The log-odds of the value that is not normal, with the cross-validated accuracy."""
        x, label = labelled_rows(given, self.needs[0], columns, self.label)
        standard, target = Standard.of(x), torch.from_numpy(label != self.normal)
        z = standard(x)
        hits = cross_validated(z, target, [self.C], minimise, self.folds, self.seed)[0]
        solution = minimise(z, target, self.C)
        return CheckedProbe(standard.linear(solution[:-1], float(solution[-1])), float(hits.mean()), len(z))

    def select(self, fitted: Mapping[str, FittedScore]) -> tuple[str, ...]:
        """The one key to keep; keys come from the model's input to its output, and from the first position on."""
        probes = {key: probe for key, probe in fitted.items() if isinstance(probe, CheckedProbe)}
        accuracies = [probe.accuracy for probe in probes.values()]
        n = min(probe.n for probe in probes.values())
        return (list(probes)[first_within(accuracies, n, self.tolerance)],)


def first_within(accuracies: Sequence[float], n: int, tolerance: float | None) -> int:
    """The first of some candidates whose accuracy is within a tolerance of the best one's.

    Args:
        accuracies: measured on n rows, the preferred candidates first.
        n: see above.
        tolerance: if not given, one standard error of the best accuracy, with one hit and one miss added to its rows so
            that a perfect candidate, too, is only so certain.
    """
    best = max(accuracies)
    if tolerance is None:
        share = (best * n + 1) / (n + 2)
        tolerance = float(np.sqrt(share * (1 - share) / n))
    return next(index for index, one in enumerate(accuracies) if one >= best - tolerance - 1e-12)


def cross_validated(
    z: Float[Tensor, "n d"],
    target: Bool[Tensor, "n"],
    strengths: Sequence[float],
    solver: Solver,
    folds: int,
    seed: int,
) -> Bool[np.ndarray, "s n"]:
    """Whether probes of each strength classify each row rightly that were fitted to the other folds.

    Raises:
        InputError: fewer rows of a class than folds.
    """
    fold = _folds(target.numpy(), folds, seed)
    hits = np.empty((len(strengths), len(z)), bool)
    for number in range(folds):
        inside = torch.from_numpy(fold == number)
        rows, wanted, solution = z[~inside], target[~inside], None
        for index, C in enumerate(strengths):
            # From the stronger penalty to the weaker, each starts where the last one ended.
            solution = solver(rows, wanted, C, solution, _LOOSE)
            said = z[inside].double() @ solution[:-1] + solution[-1] > 0
            hits[index, inside.numpy()] = (said == target[inside]).numpy()
    return hits


def _folds(target: np.ndarray, folds: int, seed: int) -> np.ndarray:
    rng, fold = np.random.default_rng(seed), np.empty(len(target), int)
    for value in (False, True):
        rows = rng.permutation(np.flatnonzero(target == value))
        if len(rows) < folds:
            raise InputError(f"{len(rows)} rows of a class are too few to cross-validate in {folds} parts")
        fold[rows] = np.arange(len(rows)) % folds
    return fold


def shortest_axes(
    z: Float[Tensor, "n d"], target: Bool[Tensor, "n"], C: float, seed: int
) -> Float[Tensor, "d r"]:
    """The first 1, 2, 4, ... or all principal directions of standardised rows: as many as give the shortest code."""
    d = z.shape[1]
    axes = torch.from_numpy(np.linalg.eigh((z.T @ z).double().numpy())[1][:, ::-1].copy()).float()
    order = torch.from_numpy(np.random.default_rng(seed).permutation(len(z)))
    ranks = [*(2**k for k in range(d.bit_length()) if 2**k < d), d]
    projected, wanted = (z @ axes)[order], target[order]
    # Equal lengths: the lower rank, which comes first.
    return axes[:, : min(ranks, key=lambda rank: code_length(projected[:, :rank], wanted, C))]


def code_length(z: Float[Tensor, "n r"], target: Bool[Tensor, "n"], C: float) -> float:
    """Bits to send the labels in order to one who has the rows: the prequential code.

    The first block (of up to 32 rows) costs a bit a row. Each next block, as long as all before it, is coded by the
    probe that was fitted to all before it. Voita and Titov (arXiv 2003.12298).
    """
    n, bits = len(z), 0.0
    ends = [min(_FIRST_BLOCK, n)]
    while ends[-1] < n:
        ends.append(min(2 * ends[-1], n))
    for start, end in pairwise(ends):
        seen, new, wanted = target[:start], z[start:end].double(), target[start:end].double()
        if seen.all() or not seen.any():
            # Nothing to fit yet: Laplace's rule of succession.
            share = (float(seen.sum()) + 1) / (start + 2)
            logits = torch.full_like(wanted, float(np.log(share / (1 - share))))
        else:
            solution = minimise(z[:start], seen, C, tolerance=1e-8)
            logits = new @ solution[:-1] + solution[-1]
        bits += float((softplus(logits) - wanted * logits).sum()) / float(np.log(2))
    return bits + ends[0]
