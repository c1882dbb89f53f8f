"""A small model of what the network does from site to site, and how far an example departs from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ulterior.errors import InputError
from ulterior.scores.moments import Moments, MomentsFitter
from ulterior.scores.quadratic import Quadratic
from ulterior.scores.score import Columns, aligned_in, rows_of
from ulterior.scores.statistics import Statistic, StoreOf
from ulterior.serialise import saved

__all__ = ["FittedAbstraction", "LocallyConsistentAbstraction"]

_KEPT_OUT = 3
_NOTHING = 1e-6  # a variance, of states whose own is 1, below which there is nothing but rounding


@saved
@dataclass(frozen=True)
class LocallyConsistentAbstraction:
    """How badly the abstract state of each site predicts that of the next one.

    Linear maps take the activations x_i of site i to an abstract state z_i of ``size`` numbers, and z_i to the next
    state z_(i+1), such that on trusted examples both ways from x_i to z_(i+1) agree as well as linear maps can. All
    states are white on trusted examples (mean 0, covariance I), so that they cannot collapse to a constant, which would
    agree perfectly. In closed form, from the last site back: the last state is the leading principal components; each
    earlier one is what its site says of the next state, the regression of z_(i+1) on x_i, whitened. That is the
    reduced-rank regression, so that going through z_i loses nothing.

    Every third trusted row is kept out of the states. On those the step from each state to the next is fitted, and the
    errors that it leaves are measured, as a regression on many features explains too much of the rows that it was
    fitted on. An example's errors e are weighed by the inverse of their covariance R: mean over steps of e' R^-1 e /
    size, about 1 on trusted examples. An example that looks usual at every site, but comes from one to the next in an
    unusual way, scores high.

    The idea is that of Jenner's abstractions that are trained to commute with the network; linear maps, the closed form
    and the weights are ours.

    ``size``: of the state, no more than the width of a site; ``bound``: trusted rows that are stored.
    """

    size: int = 16
    bound: int = 5_000
    reference: str = "reference"

    @property
    def needs(self) -> tuple[Statistic, ...]:
        """A bounded sample of the reference rows."""
        return (StoreOf(self.reference, self.bound),)

    def fit_all(self, given: Mapping[str, Mapping[Statistic, Any]], columns: Columns) -> FittedAbstraction:
        """The maps, from the last site back, and the spread of their errors.

        Raises:
            InputError: a size below 1, fewer than two sites, or fewer than nine rows.
        """
        if self.size < 1:
            raise InputError(
                f"an abstract state of size {self.size} holds nothing: give a size of at least 1"
            )
        stored, rows = aligned_in(given, self.needs[0])
        if len(rows) < 3 * _KEPT_OUT:
            raise InputError(
                f"an abstraction is learned from at least {3 * _KEPT_OUT} trusted rows; there are {len(rows)}"
            )
        kept_out = torch.arange(len(rows)) % _KEPT_OUT == _KEPT_OUT - 1
        learned = {key: x[~kept_out].double() for key, x in stored.items()}
        size = min(self.size, int(kept_out.sum()) // 3, *(x.shape[1] for x in stored.values()))
        states = _states(list(learned.values()), size)
        held = [state(x[kept_out]) for state, x in zip(states, stored.values(), strict=True)]
        steps = tuple(AbstractStep.of(before, after) for before, after in pairwise(held))
        return FittedAbstraction(tuple(stored), states, steps)


def _states(sites: list[Float[Tensor, "n _"]], size: int) -> tuple[Encoder, ...]:
    """The encoder of every site, each of which but the last is made to tell the next state."""
    last = _moments(sites[-1])
    values, vectors = last.eigen
    leading = values[-size:].maximum(values[-1] * _NOTHING).clamp(min=1e-30)
    states = [Encoder(last.mean, vectors[:, -size:] / leading.sqrt())]
    for x, following in zip(sites[-2::-1], sites[:0:-1], strict=True):
        moments, target = _moments(x), states[-1](following)
        weights = _regression(moments, x, target)
        explained, turn = np.linalg.eigh((weights.T @ moments.covariance @ weights).numpy())
        root = torch.from_numpy(np.sqrt(explained.clip(min=_NOTHING)))
        directions = torch.from_numpy(turn)
        # By the symmetric root, so that coordinate j of a state stays what tells coordinate j of the next one.
        states.append(Encoder(moments.mean, weights @ (directions / root) @ directions.T))
    return tuple(reversed(states))


def _regression(
    moments: Moments, x: Float[Tensor, "n d"], target: Float[Tensor, "n k"]
) -> Float[Tensor, "d k"]:
    """Weights of the regression of a target on the centred rows, by their shrunk covariance."""
    values, vectors = moments.eigen
    share = moments.intensity("oas")
    shrunk = (1 - share) * values + share * values.mean()
    shrunk = shrunk.maximum(vectors.square().T @ moments.resolution)
    shared = (x - moments.mean).T @ target / len(x)
    return (vectors / shrunk) @ (vectors.T @ shared)


def _moments(x: Float[Tensor, "n d"]) -> Moments:
    fitter = MomentsFitter(x.shape[1])
    fitter.update(x)
    return fitter.finish()


@saved
@dataclass(frozen=True, eq=False)
class Encoder:
    """From activations to the abstract state: (x - mean) weight."""

    mean: Float[Tensor, "d"]
    weight: Float[Tensor, "d k"]

    def __call__(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n k"]:
        """The states of n rows."""
        return (rows_of(x) - self.mean) @ self.weight


@saved
@dataclass(frozen=True, eq=False)
class AbstractStep:
    """From one state to the next, z weight, and how far the error that is left lies from the usual ones."""

    weight: Float[Tensor, "k k"]
    error: Quadratic

    @staticmethod
    def of(before: Float[Tensor, "n k"], after: Float[Tensor, "n k"]) -> AbstractStep:
        """Least squares; the spread of its errors is shrunk a little, as for any covariance."""
        first, second = before - before.mean(0), after - after.mean(0)
        # States have variance 1: what is below a millionth of that is the rounding of float32.
        ridge = _NOTHING * torch.eye(before.shape[1], dtype=torch.float64)
        weight = torch.linalg.solve(first.T @ first / len(first) + ridge, first.T @ second / len(first))
        weight = weight.contiguous()  # as it will come back from a file: products round by the layout
        moments = _moments(after - before @ weight)
        values, vectors = moments.eigen
        share = moments.intensity("oas")
        shrunk = ((1 - share) * values + share * values.mean()).clamp(min=_NOTHING)
        return AbstractStep(weight, Quadratic(moments.mean, vectors, 1 / (shrunk * len(values))))

    def __call__(self, before: Float[Tensor, "n k"], after: Float[Tensor, "n k"]) -> Float[Tensor, "n"]:
        """The weighed error of n rows, about 1 on trusted ones."""
        return self.error(after - before @ self.weight)


@saved
@dataclass(frozen=True, eq=False)
class FittedAbstraction:
    """See ``LocallyConsistentAbstraction``.

    Attributes:
        reads: The sites, as keys.
        states: From the activations of each site to its abstract state.
        steps: From each state to the next: one fewer than sites.
    """

    reads: tuple[str, ...]
    states: tuple[Encoder, ...]
    steps: tuple[AbstractStep, ...]

    def __call__(self, x: Mapping[str, Float[Tensor, "n _"]]) -> Float[Tensor, "n"]:
        """Score n rows."""
        return self.of_steps(x).mean(1)

    def of_steps(self, x: Mapping[str, Float[Tensor, "n _"]]) -> Float[Tensor, "n s"]:
        """The weighed error of every single step."""
        states = [state(x[key]) for key, state in zip(self.reads, self.states, strict=True)]
        pairs = zip(self.steps, pairwise(states), strict=True)
        return torch.stack([step(before, after) for step, (before, after) in pairs], 1)
