"""Do two mechanisms really differ? Take away what one of them needs, and only that one must fail.

All that stands before the end of a text is exchanged for what stands there in other texts, in which the key that
is asked for (``recall``), or the last letter (``repetition``), does not occur. An answer that was recalled, or
follows from the last letter alone, must stay; one that was copied from there must go. As a model reads from left
to right, this is at once a resample ablation of everything that the end of the text attends to in front of it, in
all layers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Int
from numpy.random import Generator

from ulterior.tasks.procedural import recall, repetition
from ulterior.tasks.procedural.language import Drawn
from ulterior.tasks.procedural.planted import Planted
from ulterior.tasks.procedural.training import correct

__all__ = ["elsewhere", "ways_open"]

N = 2_000

# How many words of the prompt belong to its end; the first but one of them, counted from the answer, is what may be
# found again in front.
ENDS: Mapping[str, tuple[int, Planted]] = {
    "recall": (3, recall.PLANTED),
    "repetition": (2, repetition.PLANTED),
}
SOUGHT = -3


def ways_open(name: str, model: Any, seed: int = 20_000) -> dict[str, float]:
    """For each way of a task, the share of answers that stay as they were taught.

    Empty for tasks that do not set two ways against each other.
    """
    if name not in ENDS:
        return {}
    end, planted = ENDS[name]
    found = {}
    for number, (kind, draw) in enumerate(planted.judged.items()):
        rng = np.random.default_rng([seed, number])
        drawn = draw(rng, N)
        found[kind] = float(correct(model, elsewhere(drawn, end, rng)).mean())
    return found


def elsewhere(drawn: Drawn, end: int, rng: Generator) -> Drawn:
    """The same ends, each behind the front of another text, in which what is sought does not occur."""
    fronts: Int[np.ndarray, "n front"] = drawn.ids[:, : -1 - end]
    sought = drawn.ids[:, SOUGHT]
    source = rng.permutation(len(drawn))
    while (wrong := (fronts[source] == sought[:, None]).any(1)).any():
        source[wrong] = rng.integers(len(drawn), size=int(wrong.sum()))
    ids = np.concatenate([fronts[source], drawn.ids[:, -1 - end :]], axis=1)
    return Drawn(ids, drawn.learned, drawn.columns)
