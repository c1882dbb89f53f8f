"""Behaviours as templates: each draws a clean text, a corrupted one, and what may and may not follow the clean one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from numpy.random import Generator

from ulterior.circuits.behaviours.words import (
    ADJECTIVES,
    LETTERS,
    NAMES,
    NOUNS,
    PLACES,
    SPANS,
    THINGS,
    VERBS,
    WORDS,
    Filler,
)

__all__ = ["BEHAVIOURS", "Behaviour", "Row"]

Fillers = Mapping[str, Sequence[Filler]]


@dataclass(frozen=True)
class Row:
    """One pair as text.

    Attributes:
        clean: The clean text.
        corrupted: The corrupted one.
        answers: Continuations that are right after the clean text, with the space in front.
        wrong: Those that are wrong there.
        template: Which template it was.
    """

    clean: str
    corrupted: str
    answers: tuple[str, ...]
    wrong: tuple[str, ...]
    template: str


@dataclass(frozen=True)
class Behaviour:
    """Something that language models do.

    Attributes:
        name: As the command calls it.
        about: One line.
        fillers: The words for each slot; those that a tokenizer splits are left out.
        needs: The least number of each slot's words that leaves something to vary.
        apart: The slot whose words are shared out where two sets of pairs are to have none in common.
        draw: Makes a row of what is left of the words.
    """

    name: str
    about: str
    fillers: Fillers
    needs: Mapping[str, int]
    apart: str
    draw: Callable[[Fillers, Generator], Row]


def _one(fillers: Fillers, slot: str, rng: Generator) -> Filler:
    return fillers[slot][int(rng.integers(len(fillers[slot])))]


def _some(fillers: Fillers, slot: str, n: int, rng: Generator) -> list[Filler]:
    return [fillers[slot][int(row)] for row in rng.choice(len(fillers[slot]), n, replace=False)]


_INDIRECT = (
    "When {} and {} went to the {place}, {s} gave a {thing} to",
    "After {} and {} had met at the {place}, {s} handed the {thing} to",
    "While {} and {} were waiting near the {place}, {s} offered a {thing} to",
    "Later that day {} and {} came to the {place}, and {s} sold the {thing} to",
)


def _indirect_object(fillers: Fillers, rng: Generator) -> Row:
    (one,), (other,) = _some(fillers, "names", 2, rng)
    (place,), (thing,) = _one(fillers, "places", rng), _one(fillers, "things", rng)
    number, swapped = int(rng.integers(len(_INDIRECT))), bool(rng.random() < 0.5)
    first, second = (other, one) if swapped else (one, other)

    def text(subject: str) -> str:
        return _INDIRECT[number].format(first, second, place=place, thing=thing, s=subject)

    # A is the answer, B the subject of the second clause; in the corrupted text they have changed roles.
    order = "BABA" if swapped else "ABBA"
    return Row(text(other), text(one), (f" {one}",), (f" {other}",), f"{order} {number}")


_YEARS = (
    "The {span} lasted from the year {century}{year} to the year {century}",
    "The {span} began in the year {century}{year} and ended in the year {century}",
)


def _greater_than(fillers: Fillers, rng: Generator) -> Row:
    (span,), century = _one(fillers, "spans", rng), int(rng.integers(11, 19))
    year, number = int(rng.integers(12, 88)), int(rng.integers(len(_YEARS)))

    def text(of: int) -> str:
        return _YEARS[number].format(span=span, century=century, year=f"{of:02}")

    later = tuple(f"{one:02}" for one in range(year + 1, 100))
    return Row(
        text(year), text(1), later, tuple(f"{one:02}" for one in range(2, year + 1)), f"years {number}"
    )


def _agreement(fillers: Fillers, rng: Generator, attracted: bool) -> Row:
    subject, other = _some(fillers, "nouns", 2, rng)
    verb, (adjective,) = _one(fillers, "verbs", rng), _one(fillers, "adjectives", rng)
    own = int(rng.integers(2))
    # An attractor has the other number: what stands next to the verb is misleading.
    near = ("near", "behind", "with")[int(rng.integers(3))]
    behind = f" {near} the {other[1 - own]}" if attracted else ""

    def text(number: int) -> str:
        return f"The {adjective} {subject[number]}{behind}"

    answers = (f" {verb[own]}",), (f" {verb[1 - own]}",)
    return Row(text(own), text(1 - own), *answers, f"{near if attracted else 'plain'} {verb[0]}")


def _induction(fillers: Fillers, rng: Generator) -> Row:
    *row, instead = (word for (word,) in _some(fillers, "words", 11, rng))
    end = int(rng.integers(3, len(row)))
    other = [*row[:end], instead, *row[end + 1 :]]

    def text(first: list[str]) -> str:
        return " ".join(["Words:", *first, *row[:end]])

    return Row(text(row), text(other), (f" {row[end]}",), (f" {instead}",), "repeated")


_ROW = 14  # letters, as in the task `repetition`


def _repeated_letter(fillers: Fillers, rng: Generator) -> Row:
    instead, *row = (letter for (letter,) in _some(fillers, "letters", _ROW, rng))
    # The last letter has come once before, not at the very beginning nor just now.
    at = int(rng.integers(1, _ROW - 4))
    right, last = row[at], row[at - 1]
    other = [*row[:at], instead, *row[at + 1 :]]

    def text(of: list[str]) -> str:
        return " ".join([*of, last, "="])

    return Row(text(row), text(other), (f" {right}",), (f" {instead}",), "letters")


_NOUNS = {"nouns": NOUNS, "verbs": VERBS, "adjectives": ADJECTIVES}
_FEW = {"nouns": 4, "verbs": 1, "adjectives": 1}

BEHAVIOURS: dict[str, Behaviour] = {
    one.name: one
    for one in (
        Behaviour(
            "indirect_object",
            "the name that was mentioned once receives the thing",
            {"names": NAMES, "places": PLACES, "things": THINGS},
            {"names": 4, "places": 1, "things": 1},
            "names",
            _indirect_object,
        ),
        Behaviour(
            "greater_than",
            "a span of years ends after it began",
            {"spans": SPANS},
            {"spans": 2},
            "spans",
            _greater_than,
        ),
        Behaviour(
            "agreement",
            "the verb has the number of its subject",
            _NOUNS,
            _FEW,
            "nouns",
            lambda fillers, rng: _agreement(fillers, rng, attracted=False),
        ),
        Behaviour(
            "agreement_attractor",
            "the verb has the number of its subject, not of the noun beside it",
            _NOUNS,
            _FEW,
            "nouns",
            lambda fillers, rng: _agreement(fillers, rng, attracted=True),
        ),
        Behaviour(
            "induction",
            "in random words that are repeated, what followed a word before follows it again",
            {"words": WORDS},
            {"words": 11},
            "words",
            _induction,
        ),
        Behaviour(
            "repeated_letter",
            "behind a row of letters and =, the letter that came after the last one before",
            {"letters": LETTERS},
            {"letters": _ROW},
            "letters",
            _repeated_letter,
        ),
    )
}
