"""Chats to text through the tokenizer's own template."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ulterior.errors import InputError
from ulterior.subject import RowError

Message = dict[str, Any]


@dataclass(frozen=True)
class Rendered:
    """Text that is ready for the tokenizer.

    Attributes:
        texts: One text an example.
        is_chat: Whether a chat template wrote them, special tokens included.
        contents: The last message of each chat; empty without a template.
    """

    texts: list[str]
    is_chat: bool = False
    contents: tuple[str, ...] = ()


def render(values: Iterable[Any], tokenizer: Any, chat: bool | Literal["auto"], column: str) -> Rendered:
    """Texts as they are, or chats (and text, if ``chat`` is True) through the chat template.

    Raises:
        RowError: a value that is neither text nor a list of messages.
        InputError: there are chats but the tokenizer has no template, or ``chat`` is False.
    """
    values = list(values)
    are_chats = bool(values) and not isinstance(values[0], str) and _is_chat(values[0])
    if are_chats and chat is False:
        raise InputError(
            f"column '{column}' holds chats; pass chat='auto' to put them through the chat template"
        )
    for row, value in enumerate(values):
        if not (_is_chat(value) if are_chats else isinstance(value, str)):
            expected = "a list of {role, content} messages" if are_chats else "text"
            shown = "nothing" if value is None else f"{value!r:.60}"
            raise RowError(row, f"column '{column}' holds {shown}, expected {expected}")
    if not are_chats and chat is not True:
        return Rendered(values)
    if not getattr(tokenizer, "chat_template", None):
        raise InputError("this tokenizer has no chat template; give text, and chat=False or 'auto'")
    chats = values if are_chats else [[{"role": "user", "content": text}] for text in values]
    return Rendered(
        [_apply(row, messages, tokenizer) for row, messages in enumerate(chats)],
        True,
        tuple(str(messages[-1]["content"]) for messages in chats),
    )


def shorten(encoding: Any, rendered: Rendered, tokenizer: Any, limit: int) -> None:
    """Cut too long chats in place, at the end of their last message, so that the template around it stays whole.

    Raises:
        RowError: the rest is too long even without that message.
    """
    for row, ids in enumerate(encoding["input_ids"]):
        over = len(ids) - limit
        if over <= 0:
            continue
        text, content = rendered.texts[row], rendered.contents[row].strip()
        start = text.rfind(content)
        offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        inside = [
            token
            for token, (left, right) in enumerate(offsets["offset_mapping"])
            if left >= start and right <= start + len(content)
        ]
        if start < 0 or len(inside) < over:
            raise RowError(
                row,
                f"the chat has {len(ids)} tokens, the limit is {limit}: too long without its last message",
            )
        dropped = set(inside[-over:])
        for name in encoding:
            encoding[name][row] = [
                value for token, value in enumerate(encoding[name][row]) if token not in dropped
            ]


def _apply(row: int, messages: Sequence[Message], tokenizer: Any) -> str:
    # A table fills the keys that a message lacks with nulls.
    given = [{key: value for key, value in message.items() if value is not None} for message in messages]
    try:
        return tokenizer.apply_chat_template(
            given, tokenize=False, add_generation_prompt=given[-1].get("role") != "assistant"
        )
    except Exception as error:  # templates raise whatever their authors chose
        raise RowError(row, f"the chat template refused the messages: {error}") from error


def _is_chat(value: Any) -> bool:
    return (
        isinstance(value, (list, tuple))
        and len(value) > 0
        and all(
            isinstance(message, dict) and message.get("role") and message.get("content") is not None
            for message in value
        )
    )
