"""Whether a circuit holds all that does the behaviour: what is left when it, or parts of it, are removed.

A circuit C is complete where the circuit without K and the model without K agree, for every part K of it (Wang et al.
2022, "Interpretability in the wild"). K is drawn at random, and searched for greedily; K = C is the complement.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ulterior.circuits.forward import masked_run
from ulterior.circuits.judging.conditions import Conditions, Ends, prepared, run_masks
from ulterior.circuits.judging.faithfulness import (
    Faithfulness,
    error_of,
    faithfulness,
    ratio_of_means,
)
from ulterior.circuits.mask import Mask, full_mask, mask_of
from ulterior.circuits.streams import placed
from ulterior.errors import InputError
from ulterior.metrics import Estimate, undefined
from ulterior.serialise import saved

__all__ = ["Completeness", "Removed", "completeness", "worst_removal"]

FEWEST = 8
"""Held-out pairs below which the worst part is judged on the pairs that it was searched on."""


@saved
@dataclass(frozen=True, eq=False)
class Removed:
    """One part K of a circuit, removed from the circuit and from the model.

    Attributes:
        units: Names of K.
        circuit: Faithfulness of the circuit without K.
        model: Faithfulness of the model without K.
        incompleteness: Mean of |m(C without K) - m(M without K)| over pairs, over the mean gap |m(M) - m(empty)|.
    """

    units: tuple[str, ...]
    circuit: Estimate
    model: Estimate
    incompleteness: Estimate


@saved
@dataclass(frozen=True, eq=False)
class Completeness:
    """Completeness of a circuit.

    Attributes:
        complement: Faithfulness of everything but the circuit: 0 if nothing outside does the behaviour.
        subsets: Parts drawn at random, of sizes drawn evenly from 1 to all but one unit.
        mean: Mean incompleteness over these, with the interval over pairs.
        worst: The part that a greedy search found; None for a circuit without units, or where no search was asked for.
        worst_is_held_out: Whether the worst part was judged on other pairs than it was searched on; the largest
            of many figures is too large on the pairs that chose it.
    """

    complement: Faithfulness
    subsets: tuple[Removed, ...]
    mean: Estimate
    worst: Removed | None
    worst_is_held_out: bool


def completeness(
    given: Conditions,
    mask: Mask,
    at: Ends,
    *,
    subsets: int = 10,
    steps: int = 4,
    candidates: int = 4,
    seed: int = 0,
) -> Completeness:
    """Judge completeness.

    Args:
        given: The conditions.
        mask: The circuit.
        at: The two ends on the same pairs.
        subsets: How many random parts.
        steps: Units that the greedy search removes at most; 0: no search.
        candidates: Units tried exactly in each step, those of the steepest slope.
        seed: Of parts and bootstrap.
    """
    names, generator = mask.kept, np.random.default_rng(seed)
    parts = []
    for _ in range(subsets if len(names) > 1 else 0):
        size = int(generator.integers(1, len(names)))
        parts.append(tuple(names[i] for i in sorted(generator.choice(len(names), size, replace=False))))
    runs = [~mask, *(one for part in parts for one in without(mask, part))]
    values = run_masks(given, runs, about="completeness")[0]
    removed = tuple(
        _removed(part, values[1 + 2 * i], values[2 + 2 * i], at, seed) for i, part in enumerate(parts)
    )
    mean = error_of(values[1::2], values[2::2], at, seed) if parts else undefined(len(given.pairs))
    worst, held_out = None, len(given.pairs) >= FEWEST
    if steps and names:
        order = np.random.default_rng(seed + 1).permutation(len(given.pairs))
        half = len(order) // 2
        searched, judged = (order[:half], order[half:]) if held_out else (order, order)
        part = worst_removal(
            given.on(given.pairs.take(searched)), mask, steps=steps, candidates=candidates, seed=seed
        )
        there = given.on(given.pairs.take(judged))
        on = Ends(at.whole[judged], at.empty[judged])
        circuit, model = run_masks(there, without(mask, part), about="worst part")[0]
        worst = _removed(part, circuit, model, on, seed)
    return Completeness(
        faithfulness(values[0], at, seed), removed, mean, worst, held_out and worst is not None
    )


def without(mask: Mask, part: tuple[str, ...]) -> tuple[Mask, Mask]:
    """The circuit without a part, and the model without it."""
    off = mask_of(mask.graph, mask.units, part)
    return mask - off, full_mask(mask.graph, mask.units) - off


def worst_removal(
    given: Conditions, mask: Mask, *, steps: int, candidates: int, seed: int = 0
) -> tuple[str, ...]:
    """The part of the circuit whose removal sets circuit and model farthest apart, found greedily.

    Each step takes the derivative of the mean |m(C without K) - m(M without K)| in the removal of every unit, tries the
    units of the steepest slopes exactly, and keeps the best, until none makes it worse.

    Raises:
        InputError: a metric without a gradient.
    """
    names = np.array(mask.kept)
    generator = np.random.default_rng(seed)
    part: tuple[str, ...] = ()
    worst = _apart(run_masks(given, without(mask, part), about="worst part")[0])
    for _ in range(min(steps, len(names))):
        slopes = _slopes(given, mask, part)
        slopes[np.isin(names, part)] = -np.inf
        # Where circuit and model agree exactly every slope is 0: then chance chooses.
        order = np.lexsort((generator.random(len(names)), -slopes))
        tried = [str(names[i]) for i in order[:candidates] if np.isfinite(slopes[i])]
        runs = [one for name in tried for one in without(mask, (*part, name))]
        values = run_masks(given, runs, about="worst part")[0]
        found = [_apart(values[2 * i : 2 * i + 2]) for i in range(len(tried))]
        if not found or max(found) <= worst:
            break
        worst = max(found)
        part = (*part, tried[int(np.argmax(found))])
    return part


def _slopes(given: Conditions, mask: Mask, part: tuple[str, ...]) -> Float[np.ndarray, "u"]:
    """How fast circuit and model part as each unit of the circuit is removed from both."""
    circuit, model = without(mask, part)
    total = torch.zeros(mask.values.shape)
    for batch in prepared(given, neurons=mask.units.grain == "neurons"):
        off = placed(torch.zeros(mask.values.shape), given.wired).requires_grad_()
        both: list[Tensor] = []
        for one in (circuit, model):
            values = placed(one.values, given.wired)
            # Only what is on can be removed.
            output: Any = masked_run(
                given.wired,
                batch.pairs.clean,
                values - off * (values > 0),
                mask.units,
                batch.ablated,
                grad=True,
            )
            both.append(given.metric(output, batch.pairs, batch.reference))
        apart = (both[0] - both[1]).abs().sum()
        if not apart.requires_grad:
            raise InputError(
                "the search for the worst part needs a metric with a gradient; ask for no steps instead"
            )
        (slope,) = torch.autograd.grad(apart, off)
        total += slope.float().cpu()
    on = mask.units.exists(mask.graph) & (mask.values > 0)
    return total[on].double().numpy()


def _apart(values: Float[np.ndarray, "2 n"]) -> float:
    return float(np.abs(values[0] - values[1]).mean())


def _removed(
    part: tuple[str, ...], circuit: Float[np.ndarray, "n"], model: Float[np.ndarray, "n"], at: Ends, seed: int
) -> Removed:
    gap = at.whole - at.empty
    return Removed(
        part,
        ratio_of_means(circuit - at.empty, gap, seed),
        ratio_of_means(model - at.empty, gap, seed),
        error_of(circuit, model, at, seed),
    )
