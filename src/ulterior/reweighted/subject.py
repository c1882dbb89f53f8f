"""A subject that is run with other weights besides its own, and read by what that changes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import functional_call

from ulterior.capture import Captured, capture
from ulterior.errors import InputError
from ulterior.reweighted.coordinates import Weights
from ulterior.subject import Batch, Readout, Subject

__all__ = ["Compared", "Comparison", "Reweighted", "Seen", "reweighted", "see"]


@dataclass(frozen=True, eq=False)
class Seen:
    """One forward pass: what went in, what came out, and activations at the sites that were asked for."""

    batch: Batch
    output: Any
    captured: Captured


Comparison = Callable[[Seen, Seen], Float[Tensor, "n c"]]
"""(the run with its own weights, the run with others) -> what is read of the two, as columns."""


@dataclass(frozen=True, eq=False)
class Compared:
    """What a reweighted subject returns.

    Attributes:
        own: The output with its own weights.
        found: What the comparison read, ``[n, weights, c]``.
    """

    own: Any
    found: Float[Tensor, "n weights c"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Reweighted(Subject):
    """See ``reweighted``."""

    weights: tuple[Weights, ...]
    compare: Comparison
    at: tuple[str, ...] = ()

    def run(self, batch: Batch, *, grad: bool = False) -> Compared:
        """One forward pass with the subject's own weights, and one with each of the others."""
        with torch.enable_grad() if grad else torch.inference_mode():
            own = see(self, batch, {}, self.at)
            found = [self.compare(own, see(self, batch, one, self.at)) for one in self.weights]
            return Compared(own.output, torch.stack(found, 1))

    def sites(self) -> tuple[str, ...]:
        """None: a site has an activation for each of the weights."""
        return ()

    def select(self, patterns: str | Sequence[str]) -> tuple[str, ...]:
        """None; see ``sites``.

        Raises:
            InputError: always.
        """
        raise InputError(
            "a subject that runs with several weights has no one activation at a site; read its readouts:"
            f" {', '.join(self.readouts)}"
        )

    def fingerprint(self) -> str:
        """A hash of all the weights."""
        digest = hashlib.sha256(super().fingerprint().encode())
        for weights in self.weights:
            for name, tensor in weights.items():
                digest.update(name.encode())
                digest.update(tensor.detach().cpu().float().numpy().tobytes())
        return digest.hexdigest()[:32]


def reweighted(
    subject: Subject,
    weights: Sequence[Weights],
    compare: Comparison,
    readouts: Mapping[str, Callable[[Float[Tensor, "n weights c"]], Tensor]],
    *,
    at: Sequence[str] = (),
    name: str | None = None,
) -> Reweighted:
    """A subject that runs once with its own weights and once with each of some others.

    The others stand in for the model's parameters during one forward pass (``torch.func.functional_call``), however
    that ends; outside it the model holds its own, the very tensors that it held before.

    Args:
        subject: Whose model, inputs and readouts these are.
        weights: At least one; parameters that are not named keep their own.
        compare: What is read of a pair of runs.
        readouts: What becomes of that, ``[n]`` or ``[n, k]`` by name; the subject's own readouts are of its own
        weights.
        at: Sites whose activations ``compare`` reads.
        name: What reports call it.

    Raises:
        InputError: no weights.
    """
    if not weights:
        raise InputError("there are no weights to compare the subject's own with; give at least one")

    def of_own(readout: Readout) -> Readout:
        return lambda output, batch: readout(output.own, batch)

    def of_found(read: Callable[[Tensor], Tensor]) -> Readout:
        return lambda output, batch: read(output.found)

    own = {key: of_own(readout) for key, readout in subject.readouts.items()}
    return Reweighted(
        name or subject.name,
        subject.model,
        subject.encode,
        subject.collate,
        {**own, **{key: of_found(read) for key, read in readouts.items()}},
        subject.options,
        subject.identity,
        weights=tuple(weights),
        compare=compare,
        at=tuple(at),
    )


def see(subject: Subject, batch: Batch, weights: Weights, at: Sequence[str] = ()) -> Seen:
    """Run the subject's model once with other weights, in whatever gradient mode the caller is."""
    inputs = {**batch.inputs, **subject.options}
    with capture(subject.model, at) as captured:
        output = functional_call(subject.model, weights, (), inputs) if weights else subject.model(**inputs)
    return Seen(batch, output, captured)
