"""The pools of actions: their sizes, and that each template really runs."""

from __future__ import annotations

import random
from itertools import islice

import pytest

from ulterior.tasks.tampering.diamonds.guard import Guard
from ulterior.tasks.tampering.diamonds.modifiers import fill
from ulterior.tasks.tampering.diamonds.program import Program
from ulterior.tasks.tampering.diamonds.splits import PARTIAL, kind
from ulterior.tasks.tampering.diamonds.stream import stream
from ulterior.tasks.tampering.diamonds.templates import (
    BASE,
    DIFFICULTIES,
    PREDICTORS,
    PROTECTORS,
    ROBBERS,
    held_out,
    holdout_of,
    pool,
)
from ulterior.tasks.tampering.diamonds.world import VAULTS, closing, opening

EVERY = ROBBERS + PROTECTORS


def test_the_pools_are_as_large_as_the_published_ones():
    assert sum(t.easy for t in PROTECTORS) >= 16
    assert sum(t.easy for t in ROBBERS) >= 23
    assert len(PROTECTORS) >= 47
    assert len(ROBBERS) >= 63
    assert len({t.name for t in EVERY}) == len(EVERY) == len({(t.role, t.source) for t in EVERY})


@pytest.mark.parametrize("vault", range(len(VAULTS)))
def test_each_template_runs_to_its_end_in_each_vault(vault):
    rng = random.Random(vault)
    programs = [
        (opening(vault) + "\n", "\n".join(fill(t.source, rng)), closing()) for t in EVERY for _ in range(6)
    ]
    with Guard() as guard:
        answers = guard.execute(programs)
    names = [t.name for t in EVERY for _ in range(6)]
    failed = {name: a["error"] for name, a in zip(names, answers, strict=True) if "error" in a}
    assert failed == {}
    assert all(len(a["stdout"]) >= 4 for a in answers)


def test_templates_run_after_any_others_with_every_wrapper():
    # A crash would be silent: the stream leaves failed programs out. Here one is a failure.
    from ulterior.tasks.tampering.diamonds.program import write_program

    programs = [write_program("every", d, i) for d in DIFFICULTIES for i in range(500)]
    assert {name for p in programs for name in p.templates} == {t.name for t in EVERY}
    with Guard() as guard:
        answers = guard.execute([p.pieces for p in programs])
    assert [a for a in answers if "error" in a] == []


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


def test_no_template_rebinds_what_the_truth_is_read_from():
    for template in EVERY:
        assert "Diamond =" not in template.source
        assert "Diamond(" not in template.source
        assert "class Diamond" not in template.source
        assert "vault =" not in template.source


def test_a_program_is_its_pieces_and_a_transcript_of_markers():
    text = Program((opening(0) + "\n", "vault.locked = True", closing()), ("x",)).text
    assert text.startswith(opening(0))
    assert text.count("<|sensor|>") == 3
    assert text.endswith("# vault: <|vault|>")
