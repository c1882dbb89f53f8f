"""Numbers that a model's output is judged by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ulterior.subject import Batch, Readout


def last_logits(output: Any, batch: Batch) -> Float[Tensor, "n vocab"]:
    """Next-token logits after the last token of each example, in float32."""
    logits = output.logits
    if logits.shape[1] == 1:  # `logits_to_keep=1`
        return logits[:, 0].float()
    last = batch.positions["last"].to(logits.device)
    return logits[torch.arange(len(logits), device=logits.device), last[:, 0]].float()


def confidence(output: Any, batch: Batch) -> Float[Tensor, "n"]:
    """Log-probability of the most likely next token after the last one."""
    logits = last_logits(output, batch)
    return logits.amax(1) - logits.logsumexp(1)


def answer_readouts(first: int, second: int) -> Mapping[str, Readout]:
    """Behaviour = logit of one answer's token minus that of the other; ``answers`` = both logits ``[n, 2]``."""

    def answers(output: Any, batch: Batch) -> Float[Tensor, "n 2"]:
        return last_logits(output, batch)[:, [first, second]]

    def behaviour(output: Any, batch: Batch) -> Float[Tensor, "n"]:
        both = answers(output, batch)
        return both[:, 0] - both[:, 1]

    return {"behaviour": behaviour, "answers": answers, "confidence": confidence}


def class_lead(output: Any, batch: Batch) -> Float[Tensor, "n"]:
    """How far the most likely class leads the next, as a difference of logits; the number itself if it is alone.

    The output is a tensor ``[n]`` or ``[n, classes]`` of logits, or an object with such ``logits``.
    """
    logits = class_logits(output, batch)
    return logits[:, 0] if logits.shape[1] == 1 else _lead(logits)


def token_lead(output: Any, batch: Batch) -> Float[Tensor, "n"]:
    """How far the most likely next token leads the second, as a difference of logits."""
    return _lead(last_logits(output, batch))


def class_logits(output: Any, batch: Batch) -> Float[Tensor, "n classes"]:
    """The output's numbers, one row an example, in float32."""
    logits = output if isinstance(output, Tensor) else output.logits
    return logits.float().reshape(len(logits), -1)


def pooled_norm(output: Any, batch: Batch) -> Float[Tensor, "n"]:
    """Length of the mean of the final states over an example's tokens."""
    states = output.last_hidden_state.float()
    mask = torch.ones(states.shape[:2], device=states.device) if batch.mask is None else batch.mask.to(states)
    return ((mask[:, :, None] * states).sum(1) / mask.sum(1, keepdim=True)).norm(dim=1)


def _lead(logits: Float[Tensor, "n k"]) -> Float[Tensor, "n"]:
    first, second = logits.topk(2, dim=1).values.unbind(1)
    return first - second


# Whatever the subject, the size of its behaviour says how decided it is: near zero, another answer was near.
CAUSAL: Mapping[str, Readout] = {"behaviour": token_lead, "confidence": confidence}
CLASSES: Mapping[str, Readout] = {"behaviour": class_lead, "logits": class_logits}
STATES: Mapping[str, Readout] = {"behaviour": pooled_norm}
