from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from ulterior.circuits.truth.language import (
    aggregate,
    apply,
    indices,
    interpret,
    mean,
    select,
    tokens,
)
from ulterior.circuits.truth.programs import PROGRAMS
from ulterior.errors import InputError

WORDS = ("^", "a", "b")


def dyck(row: tuple[str, ...]) -> bool:
    depth = 0
    for one in row[1:]:
        depth += 1 if one == "(" else -1
        if depth < 0:
            return False
    return depth == 0


# What each program is to say, in plain Python.
MEANT = {
    "skip": lambda row: row[-3],
    "maximum": lambda row: max(row[1:]),
    "majority": lambda row: ("equal", "more", "fewer")[
        (row.count("x") > row.count("y")) - (row.count("x") < row.count("y"))
    ],
    "count": lambda row: ("one", "two", "three", "many")[min(row.count(row[-1]), 4) - 1],
    "induction": lambda row: row[row.index(row[-1]) + 1],
    "ascending": lambda row: "yes" if list(row[1:]) == sorted(row[1:]) else "no",
    "palindrome": lambda row: "yes" if row[1:] == row[:0:-1] else "no",
    "balance": lambda row: "yes" if dyck(row) else "no",
    "addition": lambda row: str((int(row[row.index("A") + 1]) + int(row[row.index("B") + 1])) % 5),
    "repeated": lambda row: "yes" if len(set(row)) < len(row) else "no",
    "names": lambda row: next(
        name for name, times in Counter(row).items() if times == 1 and name[0].isupper()
    ),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_says_what_it_is_meant_to_say(name):
    program, rng = PROGRAMS[name], np.random.default_rng(0)
    answers = set()
    for _ in range(300):
        row = program.sample(rng)
        assert len(row) == program.length
        answers.add(MEANT[name](row))
        assert interpret(program.output, row) == MEANT[name](row)
    assert len(answers) > 1


def test_the_best_of_the_earlier_positions_is_read_and_all_of_equal_ones():
    word, at = tokens(WORDS), indices(4)
    latest = aggregate(select(at, at, lambda key, query: float(key)), word)
    assert [interpret(latest, ("^", "a", "b"), position) for position in range(3)] == ["^", "a", "b"]
    everywhere = mean(select(at, at, lambda key, query: 0.0), word, lambda one: int(one == "a"), 4)
    assert float(interpret(everywhere, ("^", "a", "b", "a"))) == 0.5
    assert [float(number) for number in everywhere.domain] == [0, 1 / 4, 1 / 3, 1 / 2, 2 / 3, 3 / 4, 1]


def test_positions_that_do_not_agree_are_named():
    word, at = tokens(WORDS), indices(3)
    any_of = aggregate(select(at, at, lambda key, query: 0.0), word)
    with pytest.raises(InputError, match=r"position 2 of \^ a b reads positions \[0, 1, 2\]"):
        interpret(any_of, ("^", "a", "b"))


def test_a_mean_must_become_a_value_before_others_read_it():
    word, at = tokens(WORDS), indices(3)
    everywhere = select(at, at, lambda key, query: 0.0)
    share = mean(everywhere, word, lambda one: int(one == "a"), 3)
    for wrong in (
        lambda: select(share, at, lambda key, query: 0.0),
        lambda: aggregate(everywhere, share),
        lambda: mean(everywhere, share, int, 3),
        lambda: apply(lambda a, b: a, share, word),
    ):
        with pytest.raises(InputError, match="mean"):
            wrong()
    with pytest.raises(InputError, match="one variable or two"):
        apply(lambda: 0)
