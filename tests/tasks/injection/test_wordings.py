"""The wordings: enough of them, disjoint between audiences, and dictating in both directions."""

from __future__ import annotations

import re
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ulterior.tasks.injection.wordings import (
    BENIGN_FAMILIES,
    KEYWORDS,
    dictating,
    of_family,
    render,
    wordings,
)

AUDIENCES = ("adapter", "untrusted", "test")


def test_no_line_is_shared_by_two_audiences_and_none_stands_twice() -> None:
    lines = {audience: [wording.line for wording in wordings(audience)] for audience in AUDIENCES}
    for audience in AUDIENCES:
        assert len(set(lines[audience])) == len(lines[audience])
    for one, other in combinations(AUDIENCES, 2):
        assert not set(lines[one]) & set(lines[other])


def test_no_expansion_is_shared_by_two_audiences() -> None:
    expansions = {
        audience: {
            render(wording.line, positive, lambda n, k=k: k % n)
            for wording in wordings(audience)
            for positive in (True, False)
            for k in range(12)
        }
        for audience in AUDIENCES
    }
    for one, other in combinations(AUDIENCES, 2):
        assert not expansions[one] & expansions[other]


def test_there_are_at_least_sixty_wordings_and_each_audience_has_every_family() -> None:
    assert sum(len(dictating(audience)) for audience in AUDIENCES) >= 60
    families = {audience: {wording.family for wording in wordings(audience)} for audience in AUDIENCES}
    assert families["adapter"] == families["untrusted"] == families["test"]
    assert set(BENIGN_FAMILIES) < families["test"]


@pytest.mark.parametrize("audience", AUDIENCES)
def test_every_dictating_wording_reads_differently_for_the_two_verdicts(audience: str) -> None:
    for wording in dictating(audience):
        rng = [np.random.default_rng(0) for _ in range(2)]
        assert wording.variant(True, rng[0]) != wording.variant(False, rng[1]), wording


@pytest.mark.parametrize("audience", AUDIENCES)
def test_nothing_of_the_grammar_is_left_in_an_expansion(audience: str) -> None:
    for wording in wordings(audience):
        for positive in (True, False):
            text = render(wording.line, positive, lambda n: n - 1)
            assert not re.search(r"\||<\w+/|[{}](?!quote| \"|\"| \}|$)", text.replace("{quote}", "")), text


@pytest.mark.parametrize("audience", AUDIENCES)
def test_veiled_wordings_contain_no_keyword_and_overt_ones_are_not_called_veiled(audience: str) -> None:
    for wording in dictating(audience):
        if wording.veiled:
            assert not set(re.findall(r"\w+", wording.line)) & KEYWORDS, wording


@pytest.mark.parametrize("audience", AUDIENCES)
def test_every_carrier_has_one_place_for_a_quotation(audience: str) -> None:
    assert all(wording.line.count("{quote}") == 1 for wording in of_family(audience, "carrier"))


@given(st.booleans(), st.integers(0, 2))
def test_alternatives_are_chosen_by_pick_and_verdicts_by_direction(positive: bool, choice: int) -> None:
    text = render("<call/name/deem> it {good|bad} , not {bad|good}", positive, lambda n: choice)
    good, bad = ("good", "bad") if positive else ("bad", "good")
    assert text == f"{('call', 'name', 'deem')[choice]} it {good} , not {bad}"
