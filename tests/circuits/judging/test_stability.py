from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from tests.circuits.judging.models import EDGES, NODES, decided, known
from ulterior.circuits.graph import Units
from ulterior.circuits.judging.curves import random_scores
from ulterior.circuits.judging.stability import over_resamples, over_seeds_of
from ulterior.circuits.mask import Mask, Scores, random_mask
from ulterior.circuits.metrics import Metric, logit_difference
from ulterior.circuits.pairs import Pairs
from ulterior.circuits.streams import wire
from ulterior.errors import InputError
from ulterior.subject import Subject


@dataclass(frozen=True)
class Chance:
    seed: int = 0
    name: str = "chance"

    def __call__(self, subject: Subject, pairs: Pairs, units: Units, metric: Metric) -> Mask:
        return random_mask(wire(subject).graph, units, 20, self.seed)


@dataclass(frozen=True)
class Same:
    name: str = "same"

    def __call__(self, subject: Subject, pairs: Pairs, units: Units, metric: Metric) -> Scores:
        return random_scores(wire(subject).graph, units, 0)


def test_a_method_that_always_finds_the_same_is_stable_and_chance_is_not():
    given = decided(5)
    same = over_resamples(Same(), known().subject, given, EDGES, logit_difference, 10, resamples=3)
    assert (same.mean, same.least, same.sizes) == (1.0, 1.0, (10, 10, 10))
    chance = over_seeds_of(Chance(), known().subject, given, EDGES, logit_difference, seeds=(0, 1, 2, 3))
    share = 20 / EDGES.count(known().graph)
    assert len(chance.jaccard) == 6
    assert chance.mean == pytest.approx(share / (2 - share), abs=0.08)  # of two random sets
    assert chance.least == min(chance.jaccard)
    assert np.mean(chance.jaccard) == pytest.approx(chance.mean)


def test_what_cannot_be_compared_is_refused():
    given = decided(3)
    with pytest.raises(InputError, match="no seed"):
        over_seeds_of(Same(), known().subject, given, NODES, logit_difference, 2)
    with pytest.raises(InputError, match="how many units"):
        over_resamples(Same(), known().subject, given, NODES, logit_difference)
    with pytest.raises(InputError, match="too few"):
        over_resamples(Same(), known().subject, given, NODES, logit_difference, 2, resamples=1)
