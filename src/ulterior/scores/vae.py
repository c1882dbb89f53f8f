"""A variational autoencoder: how badly a row is described by the few numbers that describe trusted ones."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ulterior.errors import InputError
from ulterior.scores.descent import trained, uniform
from ulterior.scores.linear import vectors
from ulterior.scores.score import Columns, moments_in, rows_of, stored_in
from ulterior.scores.statistics import MomentsOf, Statistic, StoreOf
from ulterior.scores.whitening import Whitening
from ulterior.serialise import saved

__all__ = ["VAE", "FittedVAE"]

_ROWS_AT_ONCE, _RATE = 2048, 2e-2
# The logs of all variances lie within this of 0.
_MOST_LOG = 6.0
# To begin with: the units' slope, at which tanh is nearly straight, and the log variance of code and error.
_SLOPE, _FIRST_LOG = 0.3, -3.0


@saved
@dataclass(frozen=True)
class VAE:
    """Reconstruction error plus divergence of the code, in nats: minus the evidence bound, with the code at its mean.

    Rows are whitened. The first ``directions`` principal directions are encoded in ``code`` numbers and decoded again,
    with one hidden layer each and a learned variance of the error for each direction; the remaining ones count as
    independent and Gaussian, so that a shift along any of them is seen. Training draws the code at random, as usual;
    the score takes its mean and draws nothing. Training begins with the Gaussian (see ``linear_start``) and stops where
    held-out trusted rows are described best; the units are bounded (tanh), so that far rows stay badly described.
    Kingma, Welling, "Auto-encoding variational Bayes" (arXiv 1312.6114).

    ``steps``: minibatches. Some three seconds of training for 2,000 rows of width 128 on one core.
    """

    directions: int = 64
    code: int = 8
    hidden: int = 64
    steps: int = 1000
    seed: int = 0
    bound: int = 5_000
    reference: str = "reference"

    @property
    def needs(self) -> tuple[Statistic, ...]:
        """Moments and a bounded sample of the reference rows."""
        return (MomentsOf(self.reference), StoreOf(self.reference, self.bound))

    def fit(self, given: Mapping[Statistic, Any], columns: Columns) -> FittedVAE:
        """The trained encoder and decoder.

        Raises:
            InputError: a size below 1.
        """
        if min(self.directions, self.code) < 1 or self.hidden < self.code or self.steps < 0:
            raise InputError(
                f"VAE(directions={self.directions}, code={self.code}, hidden={self.hidden}, steps={self.steps}): give"
                " at least 1 direction and 1 number of code, no fewer hidden units than that, and steps from 0"
            )
        whitening = Whitening.of(moments_in(given, self.needs[0]))
        x = vectors(stored_in(given, self.needs[1]).x)
        k, code, hidden = min(self.directions, x.shape[1]), self.code, self.hidden
        z = torch.cat([whitening(piece)[:, :k].float() for piece in x.split(_ROWS_AT_ONCE)])
        start = linear_start(k, min(code, k), hidden, torch.Generator().manual_seed(self.seed))
        found = trained(start, description, z, self.steps, _RATE, self.seed)
        return FittedVAE(whitening, k, tuple(part.double() for part in found))


@saved
@dataclass(frozen=True, eq=False)
class FittedVAE:
    """Weights and biases of encoder and decoder, two layers each, and the log variances of the error."""

    whitening: Whitening
    directions: int
    parameters: tuple[Tensor, ...]

    def __call__(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n"]:
        """Score n rows."""
        return torch.cat([self._description(piece) for piece in rows_of(x).split(_ROWS_AT_ONCE)])

    def _description(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n"]:
        z, k = self.whitening(x), self.directions
        rest = self.whitening.surprise(z[:, k:])
        return description(self.parameters, z[:, :k], None) + rest + self.whitening.log_volume


def linear_start(k: int, code: int, hidden: int, generator: torch.Generator) -> list[Tensor]:
    """Parameters with which the code is the first directions, as they are, and describes rows as the Gaussian does.

    From random weights, the code usually stays unused: to ignore it is a local optimum. Here it is in use from the
    beginning, and what the other directions owe to it can be learned at once. Units beyond the first ``code`` begin
    with random inputs, and have no say in the outputs yet.
    """
    first = torch.arange(code)
    inward, outward = uniform((k, hidden), k, generator), uniform((code, hidden), code, generator)
    to_code, to_row, spread = torch.zeros(hidden, 2 * code), torch.zeros(hidden, k), torch.zeros(k)
    biases = uniform((2, hidden), 1, generator)
    for weights in (inward, outward, biases):
        weights[:, :code] = 0
    inward[first, first] = outward[first, first] = _SLOPE
    # Of a unit variance, the code's mean carries 1 - v and its noise v; the error has v as well.
    to_code[first, first] = to_row[first, first] = math.sqrt(1 - math.exp(_FIRST_LOG)) / _SLOPE
    noise = torch.cat([torch.zeros(code), torch.full((code,), _FIRST_LOG)])
    spread[:code] = _FIRST_LOG
    return [
        inward,
        torch.zeros(hidden),
        to_code,
        noise,
        outward,
        torch.zeros(hidden),
        to_row,
        torch.zeros(k),
        spread,
    ]


def description(
    parameters: Sequence[Tensor], z: Float[Tensor, "n k"], noise: torch.Generator | None
) -> Float[Tensor, "n"]:
    """Minus the evidence bound of n whitened rows, at one draw of the code; at its mean without ``noise``."""
    inward, inward_bias, to_code, to_code_bias, outward, outward_bias, to_row, to_row_bias, spread = (
        parameters
    )
    coded = torch.tanh(z @ inward + inward_bias) @ to_code + to_code_bias
    mean, log_variance = coded.split(coded.shape[1] // 2, 1)
    log_variance = _bounded(log_variance)
    code = mean
    if noise is not None:
        draw = torch.randn(mean.shape, generator=noise, dtype=mean.dtype)
        code = mean + draw * torch.exp(log_variance / 2)
    decoded = torch.tanh(code @ outward + outward_bias) @ to_row + to_row_bias
    log_error = _bounded(spread)
    error = (z - decoded).square() * torch.exp(-log_error) + log_error + math.log(2 * math.pi)
    divergence = mean.square() + torch.exp(log_variance) - log_variance - 1
    return (error.sum(1) + divergence.sum(1)) / 2


def _bounded(x: Tensor) -> Tensor:
    return _MOST_LOG * torch.tanh(x / _MOST_LOG)
