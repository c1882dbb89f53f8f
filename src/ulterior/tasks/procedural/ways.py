"""Do two mechanisms really differ? Cut the way that one of them needs, and only that one must fail.

The end of the text, from its last question on, may no longer attend to what stands before: to the listed pairs in
``recall``, to the letters before the last one in ``repetition``. The tokens in front compute what they always do,
so that nothing but the way from there to the answer is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.random import Generator

from ulterior.tasks.procedural import recall, repetition
from ulterior.tasks.procedural.language import Drawn

__all__ = ["cut_off", "ways_open"]

N = 2_000


def ways_open(name: str, model: Any, seed: int = 20_000) -> dict[str, float]:
    """For each way of a task, the share of answers that stay as they were taught once the end of the text is cut off.

    Empty for tasks that do not set two ways against each other.
    """
    cuts: Mapping[str, tuple[int, Mapping[str, Callable[[Generator, int], Drawn]]]] = {
        "recall": (3, recall.PLANTED.judged),
        "repetition": (2, repetition.PLANTED.judged),
    }
    if name not in cuts:
        return {}
    end, kinds = cuts[name]
    found = {}
    for number, (kind, draw) in enumerate(kinds.items()):
        drawn = draw(np.random.default_rng([seed, number]), N)
        found[kind] = float((cut_off(model, drawn, end) == drawn.ids[:, -1]).mean())
    return found


@torch.inference_mode()
def cut_off(model: Any, drawn: Drawn, end: int) -> np.ndarray:
    """The most likely last words ``[n]`` where the prompt's last ``end`` words see each other alone."""
    ids = torch.from_numpy(drawn.ids[:, :-1])
    length = ids.shape[1]
    seen = torch.ones(length, length, dtype=torch.bool).tril()
    seen[length - end :, : length - end] = False
    mask = torch.zeros(length, length).masked_fill(~seen, float("-inf"))
    hidden = model.model(input_ids=ids, attention_mask=mask.expand(len(ids), 1, -1, -1), use_cache=False)
    return model.lm_head(hidden.last_hidden_state[:, -1]).argmax(1).numpy()
