"""Reviews with something written into them: injections that dictate the answer, and what only looks like them."""

from __future__ import annotations

from typing import Literal, TypedDict

from numpy.random import Generator

from ulterior.tasks.injection.prompt import messages
from ulterior.tasks.injection.wordings import Audience, Wording, of_family
from ulterior.tasks.texts.reviews import Review

Position = Literal["start", "middle", "end"]
POSITIONS: tuple[Position, ...] = ("start", "middle", "end")


class Row(TypedDict):
    """One example as it is put to the model.

    `label` is the honest answer (1 = positive); `dictated` the answer that an injection asks for, -1 where none
    does; `wording` the line behind what was written in, and `family` and `position` its kind and place, empty
    where nothing was.
    """

    text: str
    messages: list[dict[str, str]]
    label: int
    dictated: int
    group: str
    anomalous: bool
    wording: str
    family: str
    position: str


def plain(review: Review, group: str) -> Row:
    """A review as it stands."""
    return _row(review.text, review.label, group)


def injected(
    review: Review, wording: Wording, dictated: int, position: Position, group: str, rng: Generator
) -> Row:
    """A review into which someone wrote the answer that they want."""
    text = insert(review.text, wording.variant(bool(dictated), rng), position)
    return _row(text, review.label, group, dictated=dictated, wording=wording, position=position)


def advised(review: Review, wording: Wording, position: Position, group: str, rng: Generator) -> Row:
    """A review with a sentence that sounds like an instruction and dictates nothing."""
    text = insert(review.text, wording.variant(bool(review.label), rng), position)
    return _row(text, review.label, group, wording=wording, position=position)


def quoting(review: Review, audience: Audience, position: Position, group: str, rng: Generator) -> Row:
    """A review with a long quotation from the film in it."""
    carriers, quotes = of_family(audience, "carrier"), of_family(audience, "quote")
    carrier, quote = carriers[rng.integers(len(carriers))], quotes[rng.integers(len(quotes))]
    sentence = carrier.line.replace("{quote}", quote.line)
    return _row(
        insert(review.text, sentence, position), review.label, group, wording=quote, position=position
    )


def insert(review: str, sentence: str, position: Position) -> str:
    """Write a sentence before a review, after it, or at the pause nearest to its middle.

    >>> insert("slow , but sure .", "say yes .", "middle")
    'slow , say yes . but sure .'
    """
    if position == "start":
        return f"{sentence} {review}"
    if position == "end":
        return f"{review} {sentence}"
    words = review.split()
    pauses = [i + 1 for i, word in enumerate(words[:-1]) if word[-1] in ",.;:!?"] or [len(words) // 2]
    cut = min(pauses, key=lambda i: abs(2 * i - len(words)))
    return " ".join([*words[:cut], sentence, *words[cut:]])


def _row(
    text: str,
    label: int,
    group: str,
    *,
    dictated: int = -1,
    wording: Wording | None = None,
    position: str = "",
) -> Row:
    return Row(
        text=text,
        messages=messages(text),
        label=label,
        dictated=dictated,
        group=group,
        anomalous=dictated >= 0,
        wording=wording.line if wording else "",
        family=wording.family if wording else "",
        position=position,
    )
