from __future__ import annotations

import pytest
from torch import nn

from ulterior.errors import InputError
from ulterior.examples import Examples
from ulterior.features.reading import read
from ulterior.features.text import text
from ulterior.subject import Subject


def texts_of(examples: Examples, column: str = "text") -> list[str]:
    ((_, reading),) = read(Subject.from_arrays(nn.Linear(1, 1)), examples, [text(column)])
    values = reading[text(column)]["text"]
    assert isinstance(values, list)
    return values


def test_text_is_handed_on_and_nulls_are_empty() -> None:
    assert texts_of(Examples.of(text=["a", None, "ü\n"])) == ["a", "", "ü\n"]


def test_a_chat_becomes_its_messages_one_a_line() -> None:
    chats = [[{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}], []]
    assert texts_of(Examples.of(chat=chats), "chat") == ["user: hi\nassistant: ho", ""]


def test_a_missing_column_is_named() -> None:
    with pytest.raises(InputError, match="no column 'text' in the examples; it has: txt; did you mean 'txt'"):
        texts_of(Examples.of(txt=["a"]))
