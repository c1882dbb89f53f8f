from __future__ import annotations

import pytest

from tests.circuits.judging.models import EDGES, NODES, decided, known, true_nodes, true_scores
from tests.circuits.models import pairs, wired
from ulterior.circuits.judging import Thoroughness, evaluate
from ulterior.circuits.mask import full_mask, random_mask
from ulterior.circuits.metrics import kl, logit_difference
from ulterior.serialise import pack, unpack

SMALL = Thoroughness(subsets=2, steps=1, candidates=2, units=3, paths=4, randoms=2)


def test_everything_about_the_known_circuit():
    found = evaluate(
        true_nodes(), known().subject, decided(8), logit_difference, scores=true_scores(), thorough=SMALL
    )
    assert (found.pairs, found.kept, found.of) == (8, 3, NODES.count(known().graph))
    assert found.outcome.faithfulness.error.value == pytest.approx(0, abs=1e-5)
    assert found.outcome.agreement.value == 1.0
    assert found.outcome.accuracy.value == found.outcome.accuracy_whole.value
    assert found.outcome.kl.value == pytest.approx(0, abs=1e-6)
    assert not found.outcome.by_whole
    assert [one.name for one in found.curves] == ["true", "random", "magnitude"]
    assert len(found.beside.random) == 2
    assert found.completeness.mean.value == pytest.approx(0, abs=1e-5)
    assert len(found.minimality.effects) == 3


@pytest.mark.parametrize("ablated", ["mean", "zero"])
def test_other_ablations_and_a_mask_without_scores(ablated):
    given = pairs(4)
    found = evaluate(
        full_mask(wired("gpt2").graph, EDGES),
        wired("gpt2").subject,
        given,
        kl,
        ablated,
        found_on=pairs(5, seed=1),
        thorough=SMALL,
    )
    assert [one.name for one in found.curves] == ["random", "magnitude"]
    assert found.outcome.faithfulness.overall.value == pytest.approx(1, abs=1e-5)


@pytest.mark.slow
def test_what_was_kept_is_not_made_again_and_comes_back_the_same():
    kept: dict = {}

    def keep(name, make):
        if name not in kept:
            kept[name] = pack(make())
        return unpack(*kept[name])

    mask = random_mask(known().graph, EDGES, 30)
    given = decided(4)
    how = {"thorough": SMALL, "keep": keep}
    first = evaluate(mask, known().subject, given, logit_difference, **how)
    names = set(kept)
    again = evaluate(mask, known().subject, given, logit_difference, **how)
    assert set(kept) == names
    assert str(pack(first)[0]) == str(pack(again)[0])
