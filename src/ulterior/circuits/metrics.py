"""Metrics: one number for each example from the model's output, which a circuit is to reproduce.

A metric is any function ``(output, pairs, reference) -> [n]``, where ``reference`` is what the whole model gives
on the clean examples. Higher must mean "does the behaviour", except where it says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ulterior.circuits.pairs import NO_TOKEN, PairBatch
from ulterior.errors import InputError
from ulterior.readouts import last_logits
from ulterior.subject import Readout

__all__ = ["METRICS", "Metric", "accuracy", "kl", "logit_difference", "probability", "readout"]

# What the whole model says on clean examples: its logits after the last token, ``[n, vocab]``.
Reference = Tensor | None
Metric = Callable[[Any, PairBatch, Reference], Tensor]


def logit_difference(output: Any, pairs: PairBatch, reference: Reference = None) -> Float[Tensor, "n"]:
    """Mean logit of the right next tokens minus that of the wrong ones.

    Raises:
        InputError: pairs without right or without wrong tokens.
    """
    logits = last_logits(output, pairs.clean)
    return _mean(logits, pairs.answers, "answers") - _mean(logits, pairs.wrong, "wrong")


def probability(output: Any, pairs: PairBatch, reference: Reference = None) -> Float[Tensor, "n"]:
    """Probability of the right next tokens together, minus that of the wrong ones where there are some.

    Raises:
        InputError: pairs without right tokens.
    """
    p = last_logits(output, pairs.clean).softmax(1)
    right = _sum(p, pairs.answers, "answers")
    return right - _sum(p, pairs.wrong, "wrong") if pairs.wrong.shape[1] else right


def kl(output: Any, pairs: PairBatch, reference: Reference = None) -> Float[Tensor, "n"]:
    """Minus the divergence KL(model || this output) of the next token, in nats: 0 for the model itself, less otherwise.

    Raises:
        InputError: no reference.
    """
    if reference is None:
        raise InputError("the divergence is measured from what the whole model says, which was not given")
    ours, theirs = last_logits(output, pairs.clean).log_softmax(1), reference.log_softmax(1)
    return -(theirs.exp() * (theirs - ours)).sum(1)


def accuracy(output: Any, pairs: PairBatch, reference: Reference = None) -> Float[Tensor, "n"]:
    """1 where a right next token is the likeliest; without right ones, where the whole model's likeliest token is."""
    logits = last_logits(output, pairs.clean)
    best = logits.argmax(1)
    if pairs.answers.shape[1]:
        return (best[:, None] == pairs.answers).any(1).float()
    if reference is None:
        raise InputError("accuracy needs right tokens, or what the whole model says")
    return (best == reference.argmax(1)).float()


def readout(of: Readout) -> Metric:
    """A subject's readout ``[n]`` as a metric: ``readout(subject.readouts["behaviour"])``."""

    def metric(output: Any, pairs: PairBatch, reference: Reference = None) -> Float[Tensor, "n"]:
        return of(output, pairs.clean)

    return metric


METRICS: dict[str, Metric] = {"logit_difference": logit_difference, "probability": probability, "kl": kl}


def _mean(values: Tensor, tokens: Int[Tensor, "n k"], column: str) -> Tensor:
    return _sum(values, tokens, column) / (tokens != NO_TOKEN).sum(1)


def _sum(values: Tensor, tokens: Int[Tensor, "n k"], column: str) -> Tensor:
    known = tokens != NO_TOKEN
    if not bool(known.any(1).all()):
        raise InputError(f"this metric needs the column '{column}' in every row of the pairs")
    taken = values.gather(1, tokens.clamp(min=0))
    return torch.where(known, taken, torch.zeros_like(taken)).sum(1)
