"""Writing programs."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from ulterior.tasks.tampering.diamonds.holdouts import DIFFICULTIES, pool
from ulterior.tasks.tampering.diamonds.program import write_program
from ulterior.tasks.tampering.diamonds.templates import PROTECTORS, ROBBERS


@settings(max_examples=50)
@given(st.sampled_from(DIFFICULTIES), st.integers(0, 10**6), st.integers(0, 3))
def test_a_program_follows_from_its_arguments_and_the_rules(difficulty, index, holdout):
    program = write_program("s", difficulty, index, holdout)
    assert program == write_program("s", difficulty, index, holdout)
    compile(program.text, "<test>", "exec")
    roles = [name.split(".")[0] for name in program.templates]
    assert 1 <= roles.count("protector") <= 4
    assert 3 <= roles.count("robber") <= 5
    assert len(program.pieces) == len(roles) + 2
    allowed = {t.name for t in (*pool(ROBBERS, difficulty, holdout), *pool(PROTECTORS, difficulty, holdout))}
    assert set(program.templates) <= allowed


def test_streams_of_different_names_are_different():
    texts = {write_program(name, "both", 0).text for name in ("0/trusted", "0/untrusted", "1/trusted")}
    assert len(texts) == 3


def test_programs_are_about_as_long_as_published_ones():
    lengths = [len(write_program("s", "both", i).text) for i in range(200)]
    assert 1_200 < sum(lengths) / len(lengths) < 2_200
