"""The pools of actions: their sizes, and that each template really runs."""

from __future__ import annotations

import random

import pytest

from ulterior.tasks.tampering.diamonds.guard import Guard
from ulterior.tasks.tampering.diamonds.holdouts import DIFFICULTIES
from ulterior.tasks.tampering.diamonds.modifiers import fill
from ulterior.tasks.tampering.diamonds.program import Program
from ulterior.tasks.tampering.diamonds.templates import PROTECTORS, ROBBERS
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
