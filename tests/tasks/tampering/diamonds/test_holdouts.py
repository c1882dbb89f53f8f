"""What a seed holds out, and what programs of each difficulty draw from."""

from __future__ import annotations

from itertools import islice

import pytest

from ulterior.tasks.tampering.diamonds.holdouts import (
    BASE,
    DIFFICULTIES,
    PREDICTORS,
    held_out,
    holdout_of,
    pool,
)
from ulterior.tasks.tampering.diamonds.splits import PARTIAL, kind
from ulterior.tasks.tampering.diamonds.stream import stream
from ulterior.tasks.tampering.diamonds.templates import PROTECTORS, ROBBERS


def test_the_base_holds_a_quarter_of_the_hard_templates_out_and_every_seed_two_thirds_of_these():
    for seed in range(12):
        out = held_out(seed)
        assert out <= held_out(BASE)
        for templates in (ROBBERS, PROTECTORS):
            quarter = [t for t in templates if t.name in held_out(BASE)]
            assert abs(len(quarter) - sum(not t.easy for t in templates) / 4) < 1
            assert not any(t.easy for t in quarter)
            if seed != BASE:
                assert sum(t.name in out for t in quarter) == round(2 * len(quarter) / 3)


def test_every_predictor_has_held_out_templates_of_its_own():
    assert len({held_out(holdout_of(seed)) for seed in range(PREDICTORS)}) == PREDICTORS
    assert BASE not in {holdout_of(seed) for seed in range(20)}
    assert holdout_of(PREDICTORS + 2) == holdout_of(2)


@pytest.mark.parametrize("seed", range(PREDICTORS))
def test_held_out_templates_alone_show_every_pattern_of_measurements(seed):
    missing = {"real", "fake", "negative", *PARTIAL}
    rows = stream("patterns", "only_val", holdout_of(seed))
    for row in islice(rows, 12_000):
        if not row.meh:
            missing.discard(kind(row))
        if not missing:
            break
    rows.close()
    assert not missing


def test_difficulties_draw_from_the_published_pools():
    out = held_out(3)
    for templates in (ROBBERS, PROTECTORS):
        names = {d: {t.name for t in pool(templates, d, 3)} for d in DIFFICULTIES}
        assert names["easy"] == {t.name for t in templates if t.easy}
        assert names["both"] == names["easy"] | names["hard"]
        assert names["val"] == names["both"] | names["only_val"]
        assert names["only_val"] == {t.name for t in templates} & out
        assert not names["both"] & out
