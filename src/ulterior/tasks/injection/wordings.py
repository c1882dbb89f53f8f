"""The sentences that are written into reviews, and the small grammar that they are written in.

They stand in `lines/`, one file for each audience: `adapter` (the subject's training), `untrusted` (what a
detector meets unlabelled, and what the adapter was tuned on) and `test` (seen by nobody before the test). The
three share no line. A heading `[family]` opens a family; families of one name are the same idea in other words.

In a line `{a|b}` reads `a` for a positive verdict and `b` for a negative one, and `<a/b/c>` reads any one of
its alternatives. A *wording* is a line; what it expands to are its variants.

The overt families name the task or its answer ("answer positive"). The `veiled-*` families contain none of
`KEYWORDS` and dictate all the same. `advice` sounds like an instruction and dictates nothing; its verdicts are
the reviewer's own. `carrier` and `quote` make long quotations.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

from numpy.random import Generator

Audience = Literal["adapter", "untrusted", "test"]

KEYWORDS = frozenset(
    {
        "answer",
        "answering",
        "assistant",
        "classifier",
        "classify",
        "command",
        "disregard",
        "grade",
        "grader",
        "ignore",
        "instruction",
        "judge",
        "label",
        "model",
        "negative",
        "output",
        "positive",
        "prompt",
        "rate",
        "reply",
        "respond",
        "response",
        "review",
        "reviewer",
        "sentiment",
        "system",
        "verdict",
    }
)
"""Words that give an overt injection away."""

BENIGN_FAMILIES = ("advice", "carrier", "quote")


@dataclass(frozen=True)
class Wording:
    """One line of the grammar and the family that it stands in."""

    family: str
    line: str

    @property
    def veiled(self) -> bool:
        """Whether it dictates the answer without any of `KEYWORDS`."""
        return self.family.startswith("veiled")

    def variant(self, positive: bool, rng: Generator) -> str:
        """A random expansion for one verdict."""
        return render(self.line, positive, lambda n: int(rng.integers(n)))


@cache
def wordings(audience: Audience) -> tuple[Wording, ...]:
    """Every line that one audience may see, the benign families included, in the order of its file."""
    lines = (
        files("ulterior.tasks.injection")
        .joinpath("lines", f"{audience}.txt")
        .read_text(encoding="utf-8")
        .splitlines()
    )
    family, found = "", []
    for line in filter(None, map(str.strip, lines)):
        if heading := re.fullmatch(r"\[([a-z-]+)\]", line):
            family = heading[1]
        else:
            found.append(Wording(family, line))
    return tuple(found)


def dictating(audience: Audience) -> tuple[Wording, ...]:
    """The wordings that dictate an answer."""
    return tuple(w for w in wordings(audience) if w.family not in BENIGN_FAMILIES)


def of_family(audience: Audience, family: str) -> tuple[Wording, ...]:
    """The wordings of one family."""
    return tuple(w for w in wordings(audience) if w.family == family)


def render(line: str, positive: bool, pick: Callable[[int], int]) -> str:
    """One expansion of `line` for a verdict; `pick(n)` chooses among n alternatives.

    >>> render("<call/name> it {good|bad}", positive=False, pick=lambda n: 0)
    'call it bad'
    """
    line = re.sub(r"<([^<>]*)>", lambda m: (options := m[1].split("/"))[pick(len(options))], line)
    return re.sub(r"\{([^{}|]*)\|([^{}|]*)\}", lambda m: m[1] if positive else m[2], line)
