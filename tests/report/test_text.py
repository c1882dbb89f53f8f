from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ulterior.report import ShownExample
from ulterior.report.text import LONGEST, SHORT, passage, visible


def test_control_characters_become_their_pictures():
    assert visible("\x1b[31mred\x00\x7f\r") == "\u241b[31mred\u2400\u2421\u240d"


def test_characters_that_turn_the_direction_of_writing_are_named():
    assert visible("a\u202eb") == "a\u27e8U+202E\u27e9b"


def test_ordinary_text_of_every_script_stays_as_it_is():
    text = "na\u00efve \u0928\u092e\u0938\u094d\u0924\u0947 \U0001f9ea\n\tif x < 3: \u05e9\u05dc\u05d5\u05dd"
    assert visible(text) == text


@given(st.text(st.characters(exclude_categories=()), max_size=50))
def test_every_text_can_be_written_to_a_file_and_holds_no_controls(text):
    shown = visible(text)
    shown.encode("utf-8")
    assert not any(ord(c) < 0x20 and c not in "\n\t" for c in shown)
    assert visible(shown) == shown


def test_a_short_text_is_shown_whole_and_a_long_one_has_a_preview():
    assert passage(ShownExample("short", 1)).preview == ""
    long = passage(ShownExample("word " * 400, 1))
    assert 0 < len(long.preview) <= SHORT + 1
    assert long.turns == (("", "word " * 400),)
    assert long.omitted == 0


def test_many_short_lines_are_long_too():
    assert passage(ShownExample("x\n" * 30, 1)).preview.count("\n") == 8


def test_an_endless_text_is_bounded_and_says_how_much_is_missing():
    turns = (("user", "a" * LONGEST), ("assistant", "b" * 77))
    shown = passage(ShownExample(turns, 1))
    assert sum(len(content) for _, content in shown.turns) == LONGEST
    assert shown.omitted == 77
