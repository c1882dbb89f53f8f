"""Where a compiler puts a program's variables, and the circuit that follows from it.

Of an edge it is known which variables its source writes and its destination reads. So an edge is

* *wired* if some variable is written by its source and read by its destination (queries, keys or values of the head
  that makes an aggregate, the feed-forward layer that makes a map, the logits for the result), and
* *true* if one of these variables depends on the tokens. One that depends on positions alone is the same in a clean
  and a corrupted example of one length, so that no exchange of the two can show its edges.

Every true edge then also matters on the pairs of the program: exchanged alone, it changes the logits of some pair (a
test holds every program to it). InterpBench's compiled models define theirs alike (Gupta et al. 2024,
https://arxiv.org/abs/2407.14494), without the parts of attention.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.random import Generator

from ulterior.circuits.graph import ARROW
from ulterior.circuits.truth.language import Aggregate, Given, Map, Mean, Variable, ordered, parents

__all__ = ["Plan", "Program", "plan_of", "stage"]


@dataclass(frozen=True, eq=False)
class Program:
    """A program, and what it is run on.

    Attributes:
        name: As tables call it.
        about: One line.
        words: All tokens: those of the sequences, then those that are answers only.
        length: Tokens of a sequence.
        output: The variable whose value at the last position is the next token.
        sample: Draws a sequence.
    """

    name: str
    about: str
    words: tuple[str, ...]
    length: int
    output: Variable
    sample: Callable[[Generator], tuple[str, ...]]

    @cached_property
    def variables(self) -> tuple[Variable, ...]:
        """All that the output depends on, each after what it is made of."""
        return ordered(self.output)


@dataclass(frozen=True, eq=False)
class Plan:
    """A program's variables in a transformer.

    Attributes:
        program: The program.
        layers: Blocks.
        heads: Heads a block.
        places: Which source of the graph writes each variable.
        idle: The heads, as ``(layer, head)``, that no variable needs.
    """

    program: Program
    layers: int
    heads: int
    places: dict[Variable, str]
    idle: tuple[tuple[int, int], ...]

    @cached_property
    def wired(self) -> frozenset[str]:
        """The edges that carry a variable."""
        return frozenset(f"{self.places[variable]}{ARROW}{where}" for where, variable in self._reads())

    @cached_property
    def edges(self) -> frozenset[str]:
        """The edges that carry a variable which depends on the tokens."""
        return frozenset(
            f"{self.places[variable]}{ARROW}{where}" for where, variable in self._reads() if _varies(variable)
        )

    def _reads(self) -> Iterator[tuple[str, Variable]]:
        for variable, place in self.places.items():
            if isinstance(variable, Aggregate | Mean):
                yield f"{place}.q", variable.select.queries
                yield f"{place}.k", variable.select.keys
                yield f"{place}.v", variable.values
            elif isinstance(variable, Map):
                for one in variable.of:
                    yield place, one
        yield "logits", self.program.output


def plan_of(program: Program, *, heads: int = 4, layers: int | None = None, seed: int = 0) -> Plan:
    """Place every variable as early as it can be, on heads drawn at random.

    Args:
        program: The program.
        heads: Heads a block; more where one block needs more.
        layers: Blocks; as many as the program needs if not given.
        seed: Of the heads' numbers.
    """
    stages = {variable: stage(variable) for variable in program.variables}
    needed = max(stages.values()) // 2 + 1
    layers = max(needed, layers or 0)
    by_layer = [
        [one for one, at in stages.items() if at == 2 * layer and not isinstance(one, Given)]
        for layer in range(layers)
    ]
    heads = max(heads, *map(len, by_layer))
    rng = np.random.default_rng([seed, 3])
    places: dict[Variable, str] = {one: "embed" for one, at in stages.items() if at < 0}
    idle = []
    for layer, makers in enumerate(by_layer):
        order = rng.permutation(heads).tolist()
        for variable, head in zip(makers, order, strict=False):
            places[variable] = f"head.{layer}.{head}"
        idle += [(layer, head) for head in sorted(order[len(makers) :])]
        places |= {one: f"mlp.{layer}" for one, at in stages.items() if at == 2 * layer + 1}
    return Plan(program, layers, heads, places, tuple(idle))


def stage(variable: Variable) -> int:
    """When a variable is known at the earliest: -1 in the embedding, 2 l in attention l, 2 l + 1 behind its MLP."""
    if isinstance(variable, Given):
        return -1
    before = max(stage(one) for one in parents(variable))
    odd = isinstance(variable, Map)
    return before + 1 if (before + 1) % 2 == odd else before + 2


def _varies(variable: Variable) -> bool:
    if isinstance(variable, Given):
        return variable.name == "tokens"
    return any(_varies(one) for one in parents(variable))
