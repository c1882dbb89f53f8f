"""Text that others wrote, made fit to be shown: bounded, and with nothing unseen in it."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from ulterior.report.model import ShownExample

SHORT = 420
"""Characters of a text that are shown at once; the rest waits behind a click."""
LONGEST = 20_000
"""Characters of a text that a page carries at all."""


@dataclass(frozen=True)
class Passage:
    """A text to show: turns of (role, content), the role empty for plain text; a preview if it is long."""

    turns: tuple[tuple[str, str], ...]
    preview: str
    omitted: int


def passage(example: ShownExample) -> Passage:
    """An example's text, cut where a page would suffer: a preview for long ones, a bound for endless ones."""
    turns = (("", example.text),) if isinstance(example.text, str) else example.text
    room, kept, omitted = LONGEST, [], 0
    for role, content in turns:
        kept.append((role, visible(content[:room])))
        omitted += max(len(content) - room, 0)
        room = max(room - len(content), 0)
    flat = "\n".join(content for _, content in kept)
    long = len(flat) > SHORT * 1.25 or flat.count("\n") > 12
    preview = "\n".join(flat[:SHORT].split("\n")[:9]).rstrip() + "\u2026" if long else ""
    return Passage(tuple(kept), preview, omitted)


def visible(text: str) -> str:
    """A text with nothing unseen in it: control characters, such as those of ANSI colours, become their
    pictures (``\\x1b`` is shown as U+241B), and so do characters that turn the direction of writing; lone
    surrogates, which no file can hold, become the replacement character.

    >>> visible("\\x1b[31mred")
    '\u241b[31mred'
    """
    return text if text.isascii() and text.isprintable() else "".join(map(_visible, text))


def _visible(c: str) -> str:
    if c in "\n\t" or c.isprintable():
        return c
    category = unicodedata.category(c)
    if c == "\r":
        return "\u240d"
    if category == "Cc":
        return chr(0x2400 + ord(c)) if ord(c) < 0x20 else "\u2421" if ord(c) == 0x7F else "\ufffd"
    if category == "Cs":
        return "\ufffd"
    if unicodedata.bidirectional(c) in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"):
        return f"\u27e8U+{ord(c):04X}\u27e9"
    return c
