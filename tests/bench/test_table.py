"""Verdicts of a whole bench allow for how many comparisons were made."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.bench.test_page import cell_of
from ulterior.bench.table import AUROC, DIFFERENCE, Row, comparisons, corrected, tabulate
from ulterior.metrics import holm


def rows_with(p: dict[tuple[str, str, str], float]) -> list[Row]:
    """One figure of each (task, detector, slice) and its comparison with a baseline, with this p-value."""
    like = next(
        row for row in tabulate([cell_of()], baseline="plain", alpha=0.05) if row.metric == DIFFERENCE
    )
    rows = []
    for (task, detector, one), value in p.items():
        named = replace(like, task=task, detector=detector, slice=one, seed=None, value=0.1)
        rows += [replace(named, metric=AUROC, value=0.9, p=None), replace(named, p=value, verdict="better")]
    return rows


def differences(rows: list[Row]) -> dict[tuple[str, str, str], Row]:
    return {(row.task, row.detector, row.slice): row for row in rows if row.metric == DIFFERENCE}


def test_the_headline_slices_of_all_tasks_are_one_family_and_further_slices_their_own():
    p = {
        ("one", "a", "first"): 0.001,
        ("one", "b", "first"): 0.02,
        ("two", "a", "main"): 0.03,
        ("two", "a", "second"): 0.03,
        ("two", "b", "second"): 0.04,
    }
    rows = rows_with(p)
    found = differences(corrected(rows))
    expected = holm([0.001, 0.02, 0.03])
    assert [
        found["one", "a", "first"].p,
        found["one", "b", "first"].p,
        found["two", "a", "main"].p,
    ] == expected
    assert [found["two", d, "second"].p for d in "ab"] == holm([0.03, 0.04])
    assert comparisons(rows) == 3


def test_what_does_not_survive_is_inconclusive_and_the_rest_keeps_its_side():
    rows = rows_with({("one", "a", "first"): 0.001, ("one", "b", "first"): 0.03, ("one", "c", "first"): 0.04})
    rows = [replace(row, value=-0.1) if row.detector == "a" and row.p else row for row in rows]
    found = differences(corrected(rows))
    assert {name: row.verdict for (_, name, _), row in found.items()} == {
        "a": "worse",
        "b": "inconclusive",
        "c": "inconclusive",
    }


def test_rows_of_single_seeds_and_undefined_differences_stay_as_they_are():
    rows = tabulate([cell_of()], baseline="plain", alpha=0.05)
    after = corrected(rows)
    kept = [(a, b) for a, b in zip(rows, after, strict=True) if a.seed is not None or a.p is None]
    assert kept
    assert all(a == b for a, b in kept)
    assert {row.p for row in rows if row.metric != DIFFERENCE} == {None}
    assert all(row.p == pytest.approx(row.p) and 0 <= row.p <= 1 for row in after if row.p is not None)
