"""What a subject answers, as probabilities, and how one answer differs from another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ulterior.errors import InputError
from ulterior.readouts import class_logits, last_logits
from ulterior.subject import Batch, Subject

__all__ = ["Answers", "divergence", "log_odds", "loss"]


@dataclass(frozen=True)
class Answers:
    """How an output becomes log-probabilities.

    Attributes:
        of: A readout of the subject that is a log-odds, for a subject whose output holds no logits (a measurement
            predictor's ``behaviour``); the logits of its classes, or of its next token, if not given.
    """

    of: str | None = None

    def __call__(self, subject: Subject, output: Any, batch: Batch) -> Float[Tensor, "n k"]:
        """Log-probabilities of at least two answers.

        Raises:
            InputError: an output without logits, or a subject without that readout.
        """
        if self.of is not None:
            if self.of not in subject.readouts:
                raise InputError(
                    f"this subject has no readout '{self.of}'; it has: {', '.join(subject.readouts)}"
                )
            logits = subject.readouts[self.of](output, batch).float().reshape(len(batch), -1)
        else:
            given = output if isinstance(output, Tensor) else getattr(output, "logits", None)
            if not isinstance(given, Tensor) or given.ndim > 3:
                raise InputError(
                    "this subject's output has no logits, so that its answers have no probabilities"
                )
            logits = (last_logits if given.ndim == 3 else class_logits)(output, batch)
        if logits.shape[1] == 1:  # the log-odds of yes against no
            logits = torch.cat([torch.zeros_like(logits), logits], 1)
        return logits.log_softmax(1)


def loss(said: Float[Tensor, "n k"], answer: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Minus the log-probability of an answer, in nats."""
    return -said.gather(1, answer[:, None])[:, 0]


def log_odds(said: Float[Tensor, "n k"], answer: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    """The log-odds of an answer against all others; unlike the loss, it goes on moving where the answer is certain."""
    others = said.scatter(1, answer[:, None], -torch.inf)
    return -loss(said, answer) - others.logsumexp(1)


def divergence(said: Float[Tensor, "n k"], other: Float[Tensor, "n k"]) -> Float[Tensor, " n"]:
    """KL(said, other) in nats: how far the second is from telling what the first tells."""
    probability = said.exp()
    terms = torch.where(probability > 0, probability * (said - other), torch.zeros_like(said))
    return terms.sum(1).clamp(min=0)
