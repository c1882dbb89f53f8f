"""A small language of programs over sequences (RASP: Weiss et al. 2021, https://arxiv.org/abs/2106.06981), interpreted.

A variable has one value at every position. Tokens and indices are given; a map makes a variable of one or two others
at the same position; an aggregate reads earlier positions. What a compiler makes of these is in ``compiler.py``.

The selector differs from RASP's: it has *scores* instead of a predicate, and selects the earlier positions (and the
own) whose score is highest, all of them if they are equal. So the best match needs no second selector, a predicate is
the special case of the scores 0 and 1, and "none is true" has a meaning.

Example:
    >>> before = select(indices(9), indices(9), lambda key, query: key == query - 1)
    >>> interpret(aggregate(before, tokens(("^", "a", "b"))), ("^", "a", "b"))
    'a'
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, cached_property
from typing import Any

from ulterior.errors import InputError

__all__ = [
    "Aggregate",
    "Given",
    "Map",
    "Mean",
    "Select",
    "Value",
    "Variable",
    "aggregate",
    "apply",
    "indices",
    "interpret",
    "mean",
    "ordered",
    "parents",
    "select",
    "tokens",
]

Value = Hashable


@dataclass(frozen=True, eq=False)
class Given:
    """The tokens, or the numbers of their positions from 0.

    Attributes:
        name: ``tokens`` or ``indices``.
        domain: The values that it can have.
    """

    name: str
    domain: tuple[Value, ...]


@dataclass(frozen=True, eq=False)
class Map:
    """A function of one or two variables at the same position.

    Attributes:
        of: The variables; a mean only alone.
        function: Of their values.
    """

    of: tuple[Variable, ...]
    function: Callable[..., Value]

    @cached_property
    def domain(self) -> tuple[Value, ...]:
        """The values that it can have."""
        first, *more = (variable.domain for variable in self.of)
        values = (
            self.function(*given)
            for given in ([(a, b) for a in first for b in more[0]] if more else [(a,) for a in first])
        )
        return tuple(dict.fromkeys(values))


@dataclass(frozen=True, eq=False)
class Select:
    """Which positions are read from which: those up to the own whose score is highest.

    Attributes:
        keys: A variable of the position that is read.
        queries: One of the position that reads.
        score: Of a key's and a query's value; at least 1 apart where it decides.
    """

    keys: Variable
    queries: Variable
    score: Callable[[Value, Value], float]


@dataclass(frozen=True, eq=False)
class Aggregate:
    """The value at the selected positions, which must all agree.

    Attributes:
        select: The positions.
        values: What is read of them; not a mean.
    """

    select: Select
    values: Variable

    @property
    def domain(self) -> tuple[Value, ...]:
        """The values that it can have."""
        return self.values.domain


@dataclass(frozen=True, eq=False)
class Mean:
    """The mean of a number over the selected positions.

    Attributes:
        select: The positions.
        values: The variable that is read of them.
        number: What each of its values counts as, a whole number.
        domain: The means that sequences of the program's length can have, in order.
    """

    select: Select
    values: Variable
    number: Callable[..., int]
    domain: tuple[Fraction, ...]


Variable = Given | Map | Aggregate | Mean


def tokens(words: Sequence[str]) -> Given:
    """The tokens themselves."""
    return Given("tokens", tuple(words))


def indices(length: int) -> Given:
    """The numbers of the positions: 0, 1, ..."""
    return Given("indices", tuple(range(length)))


def apply(function: Callable[..., Value], *of: Variable) -> Map:
    """A function of one or two variables, position by position.

    Raises:
        InputError: other numbers of variables, or a mean beside another.
    """
    if not 1 <= len(of) <= 2:
        raise InputError(f"a map is of one variable or two, here are {len(of)}")
    if len(of) == 2 and any(isinstance(variable, Mean) for variable in of):
        raise InputError("a mean is mapped alone: first to a value, then together with another variable")
    return Map(of, function)


def select(keys: Variable, queries: Variable, score: Callable[..., float]) -> Select:
    """The positions whose score is highest.

    Raises:
        InputError: a mean as key or query.
    """
    if isinstance(keys, Mean) or isinstance(queries, Mean):
        raise InputError("a selector compares values, not means: map the mean to a value first")
    return Select(keys, queries, score)


def aggregate(selected: Select, values: Variable) -> Aggregate:
    """The one value at the selected positions.

    Raises:
        InputError: the value is a mean.
    """
    if isinstance(values, Mean):
        raise InputError("an aggregate reads values, not means: map the mean to a value first")
    return Aggregate(selected, values)


def mean(selected: Select, values: Variable, number: Callable[..., int], length: int) -> Mean:
    """The mean of whole numbers over the selected positions, in sequences of at most so many tokens.

    Raises:
        InputError: the value is a mean.
    """
    if isinstance(values, Mean):
        raise InputError("a mean is of values, not of means: map the mean to a value first")
    numbers = [number(value) for value in values.domain]
    domain = {
        Fraction(total, count)
        for count in range(1, length + 1)
        for total in range(count * min(numbers), count * max(numbers) + 1)
    }
    return Mean(selected, values, number, tuple(sorted(domain)))


def parents(variable: Variable) -> tuple[Variable, ...]:
    """What a variable is made of."""
    if isinstance(variable, Given):
        return ()
    if isinstance(variable, Map):
        return variable.of
    return variable.select.queries, variable.select.keys, variable.values


@cache
def ordered(variable: Variable) -> tuple[Variable, ...]:
    """All that a variable depends on, and itself, each after what it is made of."""
    before = (one for parent in parents(variable) for one in ordered(parent))
    return (*dict.fromkeys(before), variable)


@dataclass(frozen=True)
class _Unclear:
    """The value of an aggregate whose selected positions do not agree: an error only for those who read it."""

    problem: str


def interpret(variable: Variable, sequence: Sequence[str], position: int | None = None) -> Value:
    """A variable's value at a position, the last one if not given; straight from the definitions.

    Raises:
        InputError: it depends on an aggregate whose selected positions do not agree.
    """
    # Loops and no functions: the checks of tests make a call a hundred times as expensive as what it does here.
    rows: dict[Variable, list[Any]] = {}
    for one in ordered(variable):
        row: list[Any] = []
        for at, word in enumerate(sequence):
            if isinstance(one, Given):
                row.append(word if one.name == "tokens" else at)
                continue
            if isinstance(one, Map):
                given = [rows[parent][at] for parent in one.of]
                unclear = [value for value in given if isinstance(value, _Unclear)]
                row.append(unclear[0] if unclear else one.function(*given))
                continue
            query, keys = rows[one.select.queries][at], rows[one.select.keys][: at + 1]
            unclear = [value for value in (query, *keys) if isinstance(value, _Unclear)]
            scores = [] if unclear else [one.select.score(key, query) for key in keys]
            best = [key for key, score in enumerate(scores) if score == max(scores)]
            values = [rows[one.values][key] for key in best]
            unclear += [value for value in values if isinstance(value, _Unclear)]
            if unclear:
                row.append(unclear[0])
            elif isinstance(one, Mean):
                row.append(Fraction(sum(map(one.number, values)), len(values)))
            elif len(set(values)) == 1:
                row.append(values[0])
            else:
                where = f"position {at} of {' '.join(sequence)} reads positions {best}"
                row.append(_Unclear(f"{where}, which do not agree"))
        rows[one] = row
    found = rows[variable][-1 if position is None else position]
    if isinstance(found, _Unclear):
        raise InputError(found.problem)
    return found
