"""Which templates a seed holds out, and the pool that a program of each difficulty draws from."""

from __future__ import annotations

import random
from functools import cache

from ulterior.tasks.tampering.diamonds.templates import PROTECTORS, ROBBERS, Template

__all__ = ["BASE", "DIFFICULTIES", "PREDICTORS", "held_out", "holdout_of", "pool"]

# The seed of the templates that no embedded predictor's base model has seen.
BASE = 0

# How many embedded predictors there are: bench seeds beyond begin again at the first, with other programs.
PREDICTORS = 5

# Without these two, programs of held-out templates alone do not show every pattern of measurements.
_ALWAYS_HELD_OUT = ("robber.hard.spoof.1", "robber.hard.theft.1")

# The published numbering of the difficulties: the position in this tuple.
DIFFICULTIES = ("easy", "hard", "both", "val", "only_val")


@cache
def held_out(seed: int) -> frozenset[str]:
    """Names of the hard templates that only `val` and `only_val` programs may use.

    The seed `BASE` holds out a quarter of each role's hard pool, spread evenly over its kinds, so that held-out
    programs still contain every sort of action. Any other seed holds out two thirds of that quarter: a model that was
    trained with `BASE` has seen nothing that another seed holds out.
    """
    rng = random.Random("held out 0")
    names: list[str] = []
    for templates in (ROBBERS, PROTECTORS):
        hard = [template for template in templates if not template.easy]
        rng.shuffle(hard)
        hard.sort(key=lambda template: template.kind)
        unseen = [template.name for template in hard[rng.randrange(4) :: 4]]
        if seed != BASE:
            chosen = random.Random(f"held out {seed}/{len(names)}")
            always = [name for name in unseen if name in _ALWAYS_HELD_OUT]
            others = [name for name in unseen if name not in _ALWAYS_HELD_OUT]
            unseen = always + chosen.sample(others, round(len(unseen) * 2 / 3) - len(always))
        names += unseen
    return frozenset(names)


def holdout_of(seed: int) -> int:
    """The seed of the templates that this bench seed's predictor has not seen."""
    return 1 + seed % PREDICTORS


def pool(templates: tuple[Template, ...], difficulty: str, holdout: int) -> tuple[Template, ...]:
    """The templates that a program of this difficulty draws from.

    `easy`: the easy pool. `hard`: the hard templates that are not held out. `both`: the union of these. `val`:
    `both` and the held-out templates. `only_val`: the held-out templates alone.
    """
    out = held_out(holdout)
    keep = {
        "easy": lambda t: t.easy,
        "hard": lambda t: not t.easy and t.name not in out,
        "both": lambda t: t.name not in out,
        "val": lambda t: True,
        "only_val": lambda t: t.name in out,
    }[difficulty]
    return tuple(filter(keep, templates))
