from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ulterior.report.model import Interval
from ulterior.report.numbers import decimals, duration, p_value, plain, written


@pytest.mark.parametrize(
    ("interval", "unit", "expected"),
    [
        (Interval(0.9312, 0.912, 0.950), "auroc", (".93", "[.91, .95]")),
        (Interval(0.9922, 0.9871, 0.9979), "auroc", (".992", "[.987, .998]")),
        (Interval(1.0, 0.98, 1.0), "auroc", ("1.00", "[.98, 1.00]")),
        (Interval(0.6, 0.2, 0.9), "auroc", (".60", "[.20, .90]")),
        (Interval(0.71), "auroc", (".71", "")),
        (Interval(None), "auroc", ("undefined", "")),
        (Interval(math.nan, 0.0, 1.0), "rate", ("undefined", "")),
        (Interval(0.71, 0.65, 0.77), "rate", ("71%", "[65, 77]")),
        (Interval(0.012, 0.008, 0.019), "rate", ("1.2%", "[0.8, 1.9]")),
        (Interval(0.0, 0.0, 0.009), "rate", ("0.0%", "[0.0, 0.9]")),
        (Interval(0.03, 0.0, 0.083), "rate", ("3%", "[0, 8]")),
        (Interval(0.00031), "p", (".00031", "")),
        (Interval(1234.0), "number", ("1,234", "")),
        (Interval(-12.34, -14.0, -10.0), "number", ("\u221212", "[\u221214, \u221210]")),
    ],
)
def test_numbers_are_rounded_to_their_interval(interval, unit, expected):
    assert written(interval, unit) == expected


def test_a_signed_difference_shows_its_plus_and_a_true_minus():
    assert written(Interval(0.12, 0.08, 0.16), "auroc", signed=True) == ("+.12", "[.08, .16]")
    assert written(Interval(-0.12, -0.16, -0.08), "auroc", signed=True)[0] == "\u2212.12"


def test_a_minus_never_stands_before_zero():
    assert plain(-0.0001, 2) == ".00"


@given(st.floats(0, 1), st.floats(1e-6, 0.5))
def test_the_decimals_keep_one_significant_digit_of_the_half_width(value, half):
    digits = decimals(Interval(value, value - half, value + half), most=9)
    assert half * 10**digits >= 0.99  # the last decimal is not finer than the half-width...
    assert digits == 0 or half * 10 ** (digits - 1) < 1.01  # ... and one decimal fewer would be coarser


@pytest.mark.parametrize(
    ("p", "text"),
    [
        (0.032, ".032"),
        (0.0004, ".0004"),
        (3.2e-7, "3e\u22127"),
        (1.0, "1"),
        (0.5, ".5"),
        (0.0, "< 1e\u2212300"),
    ],
)
def test_p_values_are_short(p, text):
    assert p_value(p) == text


@given(st.floats(1e-300, 1.0))
def test_a_positive_p_value_is_never_written_as_zero(p):
    text = p_value(p).replace("\u2212", "-")
    assert float(text) > 0
    assert float(text) == pytest.approx(p, rel=0.51)


def test_durations_are_read_at_a_glance():
    assert [duration(s) for s in (0.42, 12.3, 200.0, 7500.0)] == ["0.4 s", "12 s", "3 min 20 s", "2 h 5 min"]
