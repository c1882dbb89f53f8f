"""How far a circuit is from what it is to reproduce, for each example by itself.

Batch means of a metric would let the error of one example cancel that of another; here every example has its own, and
only errors are averaged.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

from jaxtyping import Float
from torch import Tensor

from ulterior.circuits.finding.runs import Ready, Said
from ulterior.circuits.metrics import Metric
from ulterior.errors import InputError
from ulterior.readouts import last_logits

__all__ = ["Objective", "check_objective", "errors"]

Objective = Literal["kl", "distance", "squared", "drop"]
"""``kl``: divergence of the next token, in nats. ``distance``: of the metric, in its units; ``squared``: the square of
that. ``drop``: by how much the metric is lower, which may be less than nothing: as ACDC was published for metrics other
than the divergence. With it errors can cancel."""


def check_objective(objective: str) -> None:
    """Whether there is such an objective.

    Raises:
        InputError: there is none.
    """
    if objective not in get_args(Objective):
        raise InputError(f"no objective '{objective}'; there are: {', '.join(get_args(Objective))}")


def errors(
    objective: Objective, output: Any, ready: Ready, metric: Metric, target: Said | None = None
) -> Float[Tensor, "n"]:
    """The error of each example.

    Args:
        objective: Which.
        output: What the circuit gives.
        ready: The examples.
        metric: The metric; not looked at for ``kl``.
        target: What is to be reproduced: what the whole model gives, if nothing else is.
    """
    target = target or ready.whole
    if objective == "kl":
        ours = last_logits(output, ready.pairs.clean).log_softmax(1)
        theirs = target.logits.log_softmax(1)
        return (theirs.exp() * (theirs - ours)).sum(1)
    off = target.value - metric(output, ready.pairs, ready.whole.logits)
    if objective == "drop":
        return off
    return off.abs() if objective == "distance" else off.square()
