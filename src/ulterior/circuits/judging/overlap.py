"""How far scores or a mask agree with a circuit that is known to be the true one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ulterior.circuits.mask import Mask, Scores
from ulterior.errors import InputError
from ulterior.metrics import Estimate, auroc, clopper_pearson, undefined
from ulterior.serialise import saved

__all__ = ["MaskOverlap", "Overlap", "mask_overlap", "overlap"]


@saved
@dataclass(frozen=True, eq=False)
class Overlap:
    """How scores rank the units of a known circuit.

    Attributes:
        auroc: P(a true unit scores higher than another) + P(equal) / 2, DeLong's interval over units.
        false: Share of the other units at or above each threshold, rising from 0 to 1.
        true: Share of the true ones there.
    """

    auroc: Estimate
    false: Float[np.ndarray, "t"]
    true: Float[np.ndarray, "t"]


@saved
@dataclass(frozen=True, eq=False)
class MaskOverlap:
    """How a mask agrees with a known circuit.

    Attributes:
        precision: Share of the mask's units that are true; undefined for an empty mask.
        recall: Share of the true units that the mask has; undefined for an empty truth.
        f1: Their harmonic mean, 0 if nothing is shared.
        jaccard: Shared units over all of either.
    """

    precision: Estimate
    recall: Estimate
    f1: float
    jaccard: float


def overlap(scores: Scores | Mask, truth: Mask, *, signed: bool = False) -> Overlap:
    """Compare scores (or a mask's values) with the truth; by size, or by value if ``signed``.

    Raises:
        InputError: units of another model or grain.
    """
    _comparable(scores, truth)
    values = (scores.flat if signed else scores.flat.abs()).double().numpy()
    labels = (truth.flat > 0).numpy()
    thresholds = np.unique(values)[::-1]
    ranked = np.sort(values[labels]), np.sort(values[~labels])
    true, false = (
        1 - np.searchsorted(one, thresholds, "left") / len(one) if len(one) else np.zeros(len(thresholds))
        for one in ranked
    )
    return Overlap(auroc(values, labels), np.concatenate([[0.0], false]), np.concatenate([[0.0], true]))


def mask_overlap(mask: Mask, truth: Mask) -> MaskOverlap:
    """Compare which units are on.

    Raises:
        InputError: units of another model or grain.
    """
    _comparable(mask, truth)
    mine, theirs = mask.flat > 0, truth.flat > 0
    both, n, m = int((mine & theirs).sum()), int(mine.sum()), int(theirs.sum())
    return MaskOverlap(
        Estimate(both / n, *clopper_pearson(both, n), n) if n else undefined(0),
        Estimate(both / m, *clopper_pearson(both, m), m) if m else undefined(0),
        2 * both / (n + m) if n + m else 1.0,
        mask.overlap(truth),
    )


def _comparable(one: Scores | Mask, truth: Mask) -> None:
    if (one.graph, one.units) != (truth.graph, truth.units):
        raise InputError(
            f"'{one.name}' is over {one.units} of {one.graph}, the known circuit over {truth.units} of {truth.graph}"
        )
