"""The programs whose circuits are known: what each does, its sequences, and its variables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction

from numpy.random import Generator

from ulterior.circuits.truth.language import (
    Given,
    Mean,
    Variable,
    aggregate,
    apply,
    indices,
    mean,
    select,
    tokens,
)
from ulterior.circuits.truth.plan import Program

__all__ = ["PROGRAMS"]

BOS = "^"
LETTERS = ("a", "b", "c", "d", "e", "f")
Sample = Callable[[Generator], tuple[str, ...]]


def _letters(of: Sequence[str], length: int) -> Sample:
    return lambda rng: (BOS, *rng.choice(of, length - 1).tolist())


def _back(at: Given, by: int, values: Variable) -> Variable:
    """What stands so many positions before."""
    return aggregate(select(at, at, lambda key, query: float(key == query - by)), values)


def _share(at: Given, values: Variable, of: Callable[..., int]) -> Mean:
    """The mean of a number over all positions so far."""
    return mean(select(at, at, lambda key, query: 0.0), values, of, len(at.domain))


def _unlike_once(at: Given, word: Given) -> Mean:
    """1 / (1 + how often the own word has come so far): the first position is read beside those of the same word."""
    same = select(word, word, lambda key, query: float(key in (query, BOS)))
    # Only such means occur; were all fractions told apart, the steps between them would be steep.
    shares = tuple(Fraction(1, total) for total in range(len(at.domain), 0, -1))
    return Mean(same, at, lambda number: int(number == 0), shares)


def _count(of: Fraction) -> int:
    return round(1 / of) - 1


def _yes(share: Fraction) -> str:
    return "yes" if share > 0 else "no"


def skip(length: int = 8) -> Program:
    """One head."""
    word, at = tokens((BOS, *LETTERS)), indices(length)
    return Program(
        "skip",
        "the last word but two",
        (BOS, *LETTERS),
        length,
        _back(at, 2, word),
        _letters(LETTERS, length),
    )


def maximum(length: int = 8) -> Program:
    """One head, whose keys and values matter."""
    word, at = tokens((BOS, *LETTERS)), indices(length)
    largest = select(word, at, lambda key, query: float((BOS, *LETTERS).index(key)))
    return Program(
        "maximum",
        "the letter that is last in the alphabet",
        (BOS, *LETTERS),
        length,
        aggregate(largest, word),
        _letters(LETTERS, length),
    )


def majority(length: int = 8) -> Program:
    """A head and a feed-forward layer that reads a mean."""
    at, said = indices(length), ("fewer", "equal", "more")
    lead = _share(at, tokens((BOS, "x", "y")), lambda one: {"x": 1, "y": -1}.get(one, 0))
    named = apply(lambda share: said[(share > 0) - (share < 0) + 1], lead)
    words = (BOS, "x", "y", *said)
    return Program("majority", "more x than y?", words, length, named, _letters(("x", "y"), length))


def count(length: int = 8) -> Program:
    """A head that counts what is like its own word."""
    word, at, said = tokens((BOS, "a", "b", "c")), indices(length), ("one", "two", "three", "many")
    named = apply(lambda share: said[max(0, min(_count(share), 4) - 1)], _unlike_once(at, word))
    words = (BOS, "a", "b", "c", *said)
    return Program(
        "count", "how often the last word has come", words, length, named, _letters(("a", "b", "c"), length)
    )


def induction(length: int = 10) -> Program:
    """A head that reads the previous word, and one whose keys are made of what it read."""
    word, at = tokens((BOS, *LETTERS)), indices(length)
    match = select(_back(at, 1, word), word, lambda key, query: float(key == query))

    def sample(rng: Generator) -> tuple[str, ...]:
        own = str(rng.choice(LETTERS))
        row = rng.choice([one for one in LETTERS if one != own], length).tolist()
        row[0], row[-1], row[rng.integers(1, length - 2)] = BOS, own, own
        return tuple(row)

    about = "the word that came after the last word before"
    return Program("induction", about, (BOS, *LETTERS), length, aggregate(match, word), sample)


def ascending(length: int = 7) -> Program:
    """Each word is compared with the previous one; a second head asks whether any pair is out of order."""
    order = (BOS, *LETTERS)
    word, at = tokens(order), indices(length)
    fall = apply(lambda a, b: order.index(a) > order.index(b), _back(at, 1, word), word)
    named = apply(lambda share: "no" if share > 0 else "yes", _share(at, fall, int))

    def sample(rng: Generator) -> tuple[str, ...]:
        row = rng.choice(LETTERS, length - 1).tolist()
        if rng.random() < 0.6:
            row.sort()
            if rng.random() < 0.4:  # one pair out of order
                place = rng.integers(length - 2)
                row[place], row[place + 1] = row[place + 1], row[place]
        return (BOS, *row)

    return Program("ascending", "is it sorted?", (*order, "yes", "no"), length, named, sample)


def palindrome(length: int = 9) -> Program:
    """Each word is compared with its mirror image; a second head asks whether any pair differs."""
    some = ("a", "b", "c")
    word, at = tokens((BOS, *some)), indices(length)
    mirror = select(at, at, lambda key, query: float(key == min(query, length - query)))
    differs = apply(lambda a, b: a != b, aggregate(mirror, word), word)
    named = apply(lambda share: "no" if share > 0 else "yes", _share(at, differs, int))

    def sample(rng: Generator) -> tuple[str, ...]:
        half = rng.choice(some, (length - 1) // 2).tolist()
        row = half + half[::-1]
        if rng.random() < 0.5:
            row[rng.integers(length - 1)] = str(rng.choice(some))
        return (BOS, *row)

    return Program(
        "palindrome", "does it read the same backwards?", (BOS, *some, "yes", "no"), length, named, sample
    )


def balance(length: int = 9) -> Program:
    """Is the number of open brackets zero in the end, and never below: two questions of one count."""
    at = indices(length)
    depth = _share(at, tokens((BOS, "(", ")")), lambda one: {"(": 1, ")": -1}.get(one, 0))
    sign = apply(lambda share: (share > 0) - (share < 0), depth)
    below = apply(lambda share: share > 0, _share(at, sign, lambda one: int(one == -1)))
    named = apply(lambda bad, last: "no" if bad or last else "yes", below, sign)

    def sample(rng: Generator) -> tuple[str, ...]:
        kind, row, depth = rng.random(), [], 0
        if kind < 0.3:
            return (BOS, *rng.choice(["(", ")"], length - 1).tolist())
        for left in range(length - 1, 0, -1):
            opens = depth == 0 or (depth < left and rng.random() < 0.5)
            row.append("(" if opens else ")")
            depth += 1 if opens else -1
        if kind < 0.6:  # as many of either, in the wrong order somewhere
            cut = int(rng.integers(1, length - 1))
            row = row[cut:] + row[:cut]
        return (BOS, *row)

    return Program(
        "balance", "are the brackets balanced?", (BOS, "(", ")", "yes", "no"), length, named, sample
    )


def addition(length: int = 9, base: int = 5) -> Program:
    """Two heads read the digits behind two marks, which a head before found; their sum is looked up."""
    digits = tuple(map(str, range(base)))
    word, at = tokens((BOS, *digits, "A", "B")), indices(length)
    before = _back(at, 1, word)
    first, second = (
        aggregate(select(before, at, lambda key, query, mark=mark: float(key == mark)), word) for mark in "AB"
    )

    def add(x: str, y: str) -> str:
        # Marks and the first word are never behind a mark.
        return str((int(x) + int(y)) % base) if {x, y} <= set(digits) else "0"

    def sample(rng: Generator) -> tuple[str, ...]:
        parts = [[one] for one in rng.choice(digits, length - 5).tolist()]
        parts += [[mark, str(rng.choice(digits))] for mark in "AB"]
        return (BOS, *(one for part in rng.permutation(len(parts)) for one in parts[part]))

    about = f"the sum, modulo {base}, of the digits behind A and B"
    return Program("addition", about, (BOS, *digits, "A", "B"), length, apply(add, first, second), sample)


def repeated(length: int = 6) -> Program:
    """Each word is counted; a second head asks whether any has come before."""
    word, at = tokens((BOS, *LETTERS)), indices(length)
    again = apply(lambda share: _count(share) > 1, _unlike_once(at, word))
    named = apply(_yes, _share(at, again, int))

    def sample(rng: Generator) -> tuple[str, ...]:
        row = rng.permutation(LETTERS)[: length - 1].tolist()
        if rng.random() < 0.5:
            one, other = rng.choice(length - 1, 2, replace=False)
            row[one] = row[other]
        return (BOS, *row)

    return Program(
        "repeated", "has any word come twice?", (BOS, *LETTERS, "yes", "no"), length, named, sample
    )


def names(length: int = 8) -> Program:
    """Indirect objects: the name that came twice is found, carried to the end, and kept from being copied."""
    people, rest = ("Ann", "Bob", "Cleo", "Dan", "Eve"), ("and", "met", "gave", "to")
    word, at = tokens((BOS, *people, *rest)), indices(length)
    again = apply(lambda share: _count(share) > 1, _unlike_once(at, word))
    subject = aggregate(select(again, at, lambda key, query: float(key)), word)
    other = select(word, subject, lambda key, query: float(key in people and key != query))

    def sample(rng: Generator) -> tuple[str, ...]:
        one, two = rng.choice(people, 2, replace=False).tolist()
        if rng.random() < 0.5:
            return (BOS, one, "and", two, "met", str(rng.choice([one, two])), "gave", "to")
        return (BOS, one, "met", one, "and", two, "gave", "to")

    words = (BOS, *people, *rest)
    return Program("names", "the name that came once", words, length, aggregate(other, word), sample)


PROGRAMS: dict[str, Program] = {
    program.name: program
    for program in (
        skip(),
        maximum(),
        majority(),
        count(),
        induction(),
        ascending(),
        palindrome(),
        balance(),
        addition(),
        repeated(),
        names(),
    )
}
