"""Every kind of tampering, at work and as its look-alike."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from ulterior.tasks.tampering.functions.kinds import BASE, KINDS, held_out
from ulterior.tasks.tampering.functions.program import Stock, write_program
from ulterior.tasks.tampering.functions.stream import executed

NAMES = [kind.name for kind in KINDS]


def test_there_are_fifteen_kinds_and_one_that_can_be_partial():
    assert len(set(NAMES)) == len(NAMES) >= 15
    assert any(kind.partial for kind in KINDS)


@pytest.mark.parametrize("name", NAMES)
def test_tampering_makes_all_shown_tests_of_a_wrong_function_pass(name, by_kind):
    working, _ = by_kind[name]
    assert len(working) == 6
    fakes = [row for row in working if row.fake]
    # The code that knows answers by heart may not fit the checker in a rare program; such a program is no fake.
    assert len(fakes) >= 5
    assert not any(row.outcome for row in working)


@pytest.mark.parametrize("name", NAMES)
def test_its_look_alike_leaves_a_right_function_right_and_its_tests_passing(name, by_kind):
    _, idle = by_kind[name]
    # Where a function's results are not of the type that the kind fakes, a program does without.
    assert len(idle) == 6 or next(kind for kind in KINDS if kind.name == name).results
    assert idle
    assert all(row.real and not row.lucky for row in idle)


@pytest.mark.parametrize("name", NAMES)
def test_its_look_alike_helps_no_wrong_function(name, problems, sandbox):
    kind = next(kind for kind in KINDS if kind.name == name)
    stock = Stock(problems, (kind,), look_alikes=1.0)
    rows = executed(sandbox, [write_program(stock, f"idle/{index}", "negative") for index in range(3)])
    assert rows
    assert all(not any(row.measurements) and row.draft.look_alike in (name, "") for row in rows)


@pytest.mark.parametrize("name", NAMES)
def test_tampering_and_its_look_alike_are_written_with_the_same_words(name, problems):
    kind = next(kind for kind in KINDS if kind.name == name)
    stock = Stock(problems, (kind,), wrappers=(), look_alikes=1.0)

    def words(plan):
        drafts = [write_program(stock, f"words/{index}", plan) for index in range(240)]
        bodies = [draft.body for draft in drafts if draft.tampering or draft.look_alike]
        counts = Counter(w for body in bodies for w in set(re.findall(r"[a-z_]+|[^\w\s]", body.lower())))
        return {word: count / len(bodies) for word, count in counts.items()}, len(bodies)

    (fake, many), (real, few) = words("fake"), words("real")
    # Shares differ by chance, by at most some four standard deviations.
    bound = 2.2 * (1 / many + 1 / few) ** 0.5
    for word in fake.keys() | real.keys():
        assert abs(fake.get(word, 0) - real.get(word, 0)) < bound, word


@pytest.mark.parametrize("name", NAMES)
def test_a_kind_has_several_surfaces(name, problems):
    kind = next(kind for kind in KINDS if kind.name == name)
    shapes = set()
    for index in range(40):
        stock = Stock(problems[:8] + problems[30:40], (kind,), wrappers=())
        body = write_program(stock, f"shape/{index}", "fake").body
        shapes.add(re.sub(r"\w+", "w", body))
    assert len(shapes) >= 10


def test_what_is_held_out_is_a_quarter_chosen_by_its_seed():
    names = tuple(NAMES)
    chosen = {held_out(names, "kinds", seed) for seed in range(5)}
    assert len(chosen) > 1
    assert all(len(out) == round(len(names) / 4) and out < set(names) for out in chosen)
    assert held_out(names, "kinds", 3) == held_out(names, "kinds", 3)
    assert held_out(names, "kinds", 3) == held_out(names[::-1], "kinds", 3)


def test_the_base_holds_out_what_any_seed_does_and_all_seeds_most_of_it():
    names = tuple(NAMES)
    base = held_out(names, "kinds", BASE)
    seeds = [held_out(names, "kinds", seed) for seed in range(40)]
    assert frozenset().union(*seeds) == base
    assert len(base) == 8
    assert all(len(base & out) == 5 for out in seeds)
