"""Write one program: a world, the actions of robbers and protectors in some order, the output section."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

from ulterior.tasks.tampering.diamonds.holdouts import pool
from ulterior.tasks.tampering.diamonds.modifiers import fill, wrap
from ulterior.tasks.tampering.diamonds.templates import PROTECTORS, ROBBERS, Template
from ulterior.tasks.tampering.diamonds.world import VAULTS, closing, opening, transcript

__all__ = ["Program", "write_program"]


@dataclass(frozen=True)
class Program:
    """A program as its top-level pieces: the opening, one piece per action, the closing lines.

    The pieces joined by newlines are the program's code; `text` adds the transcript with its markers, a comment.
    """

    pieces: tuple[str, ...]
    templates: tuple[str, ...]

    @property
    def text(self) -> str:
        """The whole source, markers included: what a model reads."""
        return "\n".join((*self.pieces, transcript()))


@lru_cache
def _pool(
    templates: tuple[Template, ...], difficulty: str, holdout: int
) -> tuple[tuple[Template, ...], list[float]]:
    drawn = pool(templates, difficulty, holdout)
    return drawn, list(accumulate(template.weight for template in drawn))


@lru_cache
def _opening(vault: int) -> str:
    return opening(vault) + "\n"


def write_program(stream: str, difficulty: str, index: int, holdout: int = 0) -> Program:
    """Program number `index` of a stream; it depends on these arguments alone.

    Args:
        stream: name of the stream; streams of different names are independent.
        difficulty: one of `DIFFICULTIES`.
        index: position in the stream.
        holdout: seed of the choice of held-out templates.
    """
    rng = random.Random(f"{stream}/{difficulty}/{index}/{holdout}")
    protectors, protector_weights = _pool(PROTECTORS, difficulty, holdout)
    robbers, robber_weights = _pool(ROBBERS, difficulty, holdout)
    actions = rng.choices(protectors, cum_weights=protector_weights, k=rng.randint(1, 4))
    actions += rng.choices(robbers, cum_weights=robber_weights, k=rng.randint(3, 5))
    rng.shuffle(actions)
    blocks = ["\n".join(wrap(fill(action.source, rng), rng)) for action in actions]
    vault = rng.randrange(len(VAULTS))
    return Program((_opening(vault), *blocks, closing()), tuple(action.name for action in actions))
