"""Relevance patching: attribution with the rules of layer-wise relevance propagation in place of gradients.

RelP (Rezaei Jafari et al. 2025, "Faithful and efficient circuit discovery via relevance patching"). The forward pass is
the model's own; going back,

- a norm's scale is a constant (Ali et al. 2022);
- an activation function multiplies by its output over its input;
- a product of a gate and a value passes half to each;
- the attention's probabilities are constants, so that queries and keys get nothing.

The rest is linear, or keeps its gradient (caps on logits, and norms of queries and keys where the
probabilities are no constants). With these rules the metric of a model without biases is the sum of what any full cut
through it is given against the ablation by zero, if the metric is linear in the logits.

The rules hold for every supported family; they ask for norms whose law is known and for an activation
function that is a module of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ulterior.capture import first_argument, with_first_argument
from ulterior.circuits.ablations import Ablation, ablation_of
from ulterior.circuits.finding.attribution import Reduce, refuse_flat, scored, unit_scores
from ulterior.circuits.finding.norms import law_of
from ulterior.circuits.graph import Units
from ulterior.circuits.mask import Scores
from ulterior.circuits.metrics import Metric
from ulterior.circuits.pairs import PairBatch, Pairs
from ulterior.circuits.streams import Wired, wire
from ulterior.circuits.wiring import Projection
from ulterior.errors import InputError
from ulterior.subject import Subject

__all__ = ["RelevancePatching", "relevance_rules"]

ACTIVATIONS = ("act", "act_fn", "activation_fn")
GATES = ("gate_proj", "gate_up_proj")


@dataclass(frozen=True)
class RelevancePatching:
    """RelP.

    Attributes:
        fixed_attention: Whether attention's probabilities are constants. Then no edge into queries or keys is ever
            found; without, they get gradients through the probabilities, as in the examples of the public code.
        ablation: What stands in for a unit.
        reduce: How examples are put together (``EdgeAttribution``).
        tokens: Tokens a batch, padding included.
        name: As the command and tables call it.
    """

    fixed_attention: bool = True
    ablation: str | Ablation = "resample"
    reduce: Reduce = "signed"
    tokens: int = 1024
    name: str = "relp"

    def __call__(self, subject: Subject, pairs: Pairs, units: Units, metric: Metric) -> Scores:
        """Scores; by position, a unit's at each position of its readers.

        Raises:
            InputError: as ``EdgeAttribution``, or a model with parts for which there is no rule.
        """
        refuse_flat(metric, self.name)
        wired = wire(subject)
        ablation = ablation_of(
            self.ablation, wired, pairs, neurons=units.grain == "neurons", tokens=self.tokens
        )
        rules = partial(relevance_rules, fixed_attention=self.fixed_attention)

        def of(batch: PairBatch) -> Tensor:
            return unit_scores(wired, batch, units, metric, ablation, rules=rules)

        return scored(wired, pairs, units, of, name=self.name, reduce=self.reduce, tokens=self.tokens)


@contextmanager
def relevance_rules(wired: Wired, *, fixed_attention: bool = True) -> Iterator[None]:
    """Backward passes through runs inside the ``with`` block follow the rules; outputs stay as they are.

    Enter this behind ``reading``, which then sees queries and keys in front of where their gradients are cut.

    Raises:
        InputError: a feed-forward layer whose activation function is not found.
    """
    blocks = wired.wiring.blocks
    every = [norm for block in blocks for norm in (block.norm, block.mlp_norm, block.after, block.mlp_after)]
    norms = dict.fromkeys([*every, wired.wiring.final])
    with ExitStack() as hooks:
        for norm in norms:
            if norm is not None and not isinstance(norm, nn.Identity):
                # In front of others, who keep what the norm gives to take gradients of it.
                hook = norm.register_forward_hook(_fixed_scale, with_kwargs=True, prepend=True)
                hooks.callback(hook.remove)
        for block in blocks:
            activation = _activation(block.mlp)
            hooks.callback(activation.register_forward_hook(_proportional, with_kwargs=True).remove)
            if any(hasattr(block.mlp, gate) for gate in GATES):
                hooks.callback(block.down.register_forward_pre_hook(_halved, with_kwargs=True).remove)
            for projection in block.projections if fixed_attention else ():
                hooks.callback(projection.module.register_forward_hook(_cut(projection)).remove)
        yield


def _activation(mlp: nn.Module) -> nn.Module:
    for name in ACTIVATIONS:
        found = getattr(mlp, name, None)
        if isinstance(found, nn.Module):
            return found
    raise InputError(
        f"no rule for {type(mlp).__name__}: its activation function is no module under any of the names"
        f" {', '.join(ACTIVATIONS)}"
    )


def _as(output: Tensor, surrogate: Tensor) -> Tensor:
    """The output to the last bit, with the surrogate's gradient."""
    return output.detach() + (surrogate - surrogate.detach())


def _fixed_scale(module: nn.Module, args: tuple, kwargs: dict, output: Tensor) -> Tensor:
    x = first_argument(args, kwargs)
    return _as(output, law_of(module, x).linear(x).to(output.dtype))


def _proportional(module: nn.Module, args: tuple, kwargs: dict, output: Tensor) -> Tensor:
    x = first_argument(args, kwargs)
    ratio = torch.where(x == 0, torch.zeros_like(x), output / x)
    return _as(output, x * ratio.detach())


def _halved(module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
    x = first_argument(args, kwargs)
    return with_first_argument(args, kwargs, _as(x, x / 2))


def _cut(projection: Projection) -> Any:
    """Values alone pass gradients."""

    def hook(module: nn.Module, args: tuple, output: Tensor) -> Tensor:
        passes = torch.zeros(output.shape[-1], dtype=torch.bool, device=output.device)
        if "v" in projection.rows:
            passes[projection.rows["v"].flatten().to(output.device)] = True
        return torch.where(passes, output, output.detach())

    return hook
