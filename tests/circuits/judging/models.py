"""A decoder by hand whose circuit is known, and pairs that its behaviour differs on."""

from __future__ import annotations

import copy
from functools import cache

import torch

from tests.circuits.models import pairs, wired
from ulterior.circuits.graph import Units
from ulterior.circuits.mask import Mask, Scores, mask_of
from ulterior.circuits.pairs import Pairs
from ulterior.circuits.streams import Wired, wire
from ulterior.readouts import CAUSAL
from ulterior.subject import Subject
from ulterior.tokens import token_collate

NODES, EDGES, NEURONS = Units("nodes"), Units("edges"), Units("neurons")
TRUE_NODES = ("embed", "head.0.1", "head.1.2")


@cache
def known() -> Wired:
    """A llama of which all but two heads write nothing: its nodes that matter are ``TRUE_NODES``."""
    model = copy.deepcopy(wired("llama").subject.model)
    for layer, alive in ((0, 1), (1, 2)):
        block = model.model.layers[layer]
        weight = block.self_attn.o_proj.weight.data
        width = weight.shape[1] // 4
        for head in range(4):
            if head != alive:
                weight[:, head * width : (head + 1) * width] = 0
        weight[:, alive * width : (alive + 1) * width] *= 4
        block.mlp.down_proj.weight.data.zero_()
    subject = Subject.of(
        model,
        encode=lambda _: [],
        collate=token_collate(model),
        readouts=CAUSAL,
        options={"use_cache": False},
    )
    return wire(subject)


def true_nodes() -> Mask:
    return mask_of(known().graph, NODES, TRUE_NODES, "true")


def true_scores() -> Scores:
    """Scores that rank the true nodes first."""
    mask = true_nodes()
    return Scores(mask.graph, mask.units, mask.values * torch.arange(1.0, mask.values.numel() + 1), "true")


def decided(n: int = 6, length: int = 6, seed: int = 0, ragged: bool = False) -> Pairs:
    """Random pairs whose first answer is what the known model prefers on the clean example over the corrupted one."""
    from ulterior.circuits.judging.conditions import conditions, run_whole
    from ulterior.circuits.metrics import logit_difference

    given = pairs(n, length, seed, ragged)
    clean, other = (
        run_whole(conditions(known().subject, one, logit_difference))[0]
        for one in (given, Pairs(given.corrupted, given.clean, given.answers, given.wrong))
    )
    swap = clean < other
    answers = tuple(w if s else a for a, w, s in zip(given.answers, given.wrong, swap, strict=True))
    wrong = tuple(a if s else w for a, w, s in zip(given.answers, given.wrong, swap, strict=True))
    return Pairs(given.clean, given.corrupted, answers, wrong)
