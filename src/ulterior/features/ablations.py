"""What takes the place of an activation when a site is ablated, learned from trusted examples.

``zero``      nothing
``mean``      the trusted mean
``resample``  a trusted activation, drawn once with a seed
``pcs``       the activation itself, moved to the trusted mean along the leading trusted principal directions, and
              left as it is across them

Means, draws and directions are those of ``tokens`` (all tokens of trusted examples alike) or of a ``position``, the
token's number in its example: then the mean is that of the trusted tokens with this number (the overall mean where
fewer than ``LEAST`` have it), and what is drawn is one whole trusted example, token for token. An example that is
longer than what was drawn begins with it anew. Which token is which does not depend on batch, order or padding. The
places of an image count as tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int, UInt64
from torch import Tensor

from ulterior.errors import InputError
from ulterior.features.feature import Tokens, Values
from ulterior.serialise import saved

__all__ = ["Ablation", "Kind", "Over", "Replacement", "ReplacementFitter", "Span", "Table", "ablation_of"]

Kind = Literal["zero", "mean", "resample", "pcs"]
Over = Literal["tokens", "position"]

# Positions that have a mean of their own, and the trusted tokens that it takes.
POSITIONS, LEAST = 256, 10
# Trusted tokens that are drawn to stand in, and to find principal directions with.
DRAWN, SPANNING = 64, 1024


@saved
@dataclass(frozen=True)
class Ablation:
    """How a site is ablated; see the module.

    Attributes:
        kind: ``zero``, ``mean``, ``resample`` or ``pcs``.
        over: Whether all trusted tokens are alike, or those with the same number.
        components: Directions of ``pcs``.
        seed: Of what is drawn.
    """

    kind: Kind = "zero"
    over: Over = "tokens"
    components: int = 10
    seed: int = 0


def ablation_of(given: Kind | Ablation) -> Ablation:
    """The ablation that is meant.

    Raises:
        InputError: an unknown name, ``pcs`` by position, or no component.
    """
    found = given if isinstance(given, Ablation) else Ablation(given)
    if found.kind not in ("zero", "mean", "resample", "pcs") or found.over not in ("tokens", "position"):
        raise InputError(
            f"no ablation '{found.kind}' over '{found.over}'; give 'zero', 'mean', 'resample' or 'pcs', over"
            " 'tokens' or 'position'"
        )
    if found.kind == "pcs" and (found.over != "tokens" or found.components < 1):
        raise InputError(
            f"'pcs' takes one or more components over 'tokens', not {found.components} over '{found.over}'"
        )
    return found


@runtime_checkable
class Replacement(Protocol):
    """How far an activation lies from what takes its place; frozen and ``saved``."""

    def difference(self, x: Float[Tensor, "n s d"], number: Int[Tensor, "_ s"]) -> Float[Tensor, "n s d"]:
        """``a - a_ablated`` for activations of the tokens with these numbers."""
        ...


@saved
@dataclass(frozen=True, eq=False)
class Table:
    """One vector for each token number; after the last, ``again`` from the first, or else the last for all others."""

    vectors: Float[Tensor, "m d"]
    again: bool

    def difference(self, x: Float[Tensor, "n s d"], number: Int[Tensor, "_ s"]) -> Float[Tensor, "n s d"]:
        m = len(self.vectors)
        row = number % m if self.again else number.clamp(max=m - 1)
        return x - self.vectors.to(x)[row]


@saved
@dataclass(frozen=True, eq=False)
class Span:
    """The trusted mean, and orthonormal directions along which an activation is moved to it."""

    mean: Float[Tensor, "d"]
    directions: Float[Tensor, "d k"]

    def difference(self, x: Float[Tensor, "n s d"], number: Int[Tensor, "_ s"]) -> Float[Tensor, "n s d"]:
        directions = self.directions.to(x)
        return (x - self.mean.to(x)) @ directions @ directions.T


class ReplacementFitter:
    """Gathers, site by site, what an ablation puts in an activation's place."""

    def __init__(self, ablation: Ablation) -> None:
        self._ablation = ablation
        self._sites: dict[str, _Means | _Draw | _Example] = {}

    def update(self, rows: Int[np.ndarray, " n"], values: Mapping[str, Values]) -> None:
        """Take in the tokens of some examples (see ``SiteTokens``), with the examples' numbers."""
        for site, tokens in values.items():
            assert isinstance(tokens, Tokens)
            gatherer = self._sites.setdefault(site, self._start(tokens.values.shape[1]))
            owner = tokens.owner.numpy()
            number = np.arange(len(owner)) - np.searchsorted(owner, owner)
            gatherer.update(tokens.values, np.asarray(rows)[owner], number)

    def finish(self) -> dict[str, Replacement]:
        """What takes the activation's place, by site; no site for ``zero``."""
        return {site: gatherer.finish() for site, gatherer in self._sites.items()}

    def _start(self, d: int) -> _Means | _Draw | _Example:
        how = self._ablation
        if how.kind == "mean":
            return _Means(d, POSITIONS if how.over == "position" else 0)
        if how.kind == "resample" and how.over == "position":
            return _Example(how.seed)
        if how.kind == "resample":
            return _Draw(d, DRAWN, how.seed, lambda x: Table(x, again=True))
        return _Draw(d, SPANNING, how.seed, lambda x: _span(x, how.components))


class _Means:
    """The mean of each of the first positions, and of all tokens."""

    def __init__(self, d: int, positions: int) -> None:
        self._totals = torch.zeros(positions + 1, d, dtype=torch.float64)
        self._counts = torch.zeros(positions + 1, dtype=torch.float64)

    def update(self, x: Tensor, rows: np.ndarray, number: np.ndarray) -> None:
        place = torch.from_numpy(number).clamp(max=len(self._counts) - 1)
        self._totals.index_add_(0, place, x.double())
        self._counts += torch.bincount(place, minlength=len(self._counts))

    def finish(self) -> Table:
        overall = self._totals.sum(0) / self._counts.sum()
        known = (self._counts[:-1] >= LEAST)[:, None]
        own = torch.where(known, self._totals[:-1] / self._counts[:-1, None].clamp(min=1), overall)
        filled = int(known.nonzero()[-1, 0]) + 1 if bool(known.any()) else 0
        return Table(torch.cat([own[:filled], overall[None]]).float(), again=False)


class _Draw:
    """A uniform sample of tokens: those with the smallest hashes, so that neither batch nor order has a say in it."""

    def __init__(self, d: int, size: int, seed: int, then: Callable[[Tensor], Replacement]) -> None:
        self._size, self._seed, self._then = size, seed, then
        self._keys, self._kept = np.zeros(0, np.uint64), torch.zeros(0, d)

    def update(self, x: Tensor, rows: np.ndarray, number: np.ndarray) -> None:
        keys = np.concatenate([self._keys, _hash(self._seed, rows, number)])
        order = np.argsort(keys, kind="stable")[: self._size]
        self._keys, self._kept = keys[order], torch.cat([self._kept, x])[torch.from_numpy(order)]

    def finish(self) -> Replacement:
        return self._then(self._kept)


class _Example:
    """All tokens of one example: that with the smallest hash, which is the same at all sites."""

    def __init__(self, seed: int) -> None:
        self._seed, self._key, self._kept = seed, np.array([np.iinfo(np.uint64).max]), torch.zeros(0, 0)

    def update(self, x: Tensor, rows: np.ndarray, number: np.ndarray) -> None:
        keys = _hash(self._seed, rows, np.zeros_like(number))
        if keys.min() < self._key[0]:
            self._key, self._kept = keys.min(keepdims=True), x[torch.from_numpy(keys == keys.min())]

    def finish(self) -> Table:
        return Table(self._kept.clone(), again=True)


def _span(x: Float[Tensor, "n d"], components: int) -> Span:
    """The mean and the leading principal directions of some rows; only directions in which they differ."""
    x = x.double()
    mean = x.mean(0)
    centred = x - mean
    wide = len(x) < x.shape[1]
    values, vectors = torch.linalg.eigh(centred @ centred.T if wide else centred.T @ centred)
    # Of eigenvalues, sums of squares, the rounding of float32 rows is about 1e-14 of the rows' own size.
    kept = (values > 1e-12 * x.square().sum()).nonzero()[:, 0].flip(0)[:components]
    directions = vectors[:, kept]
    if wide:
        directions = centred.T @ directions / values[kept].sqrt()
    return Span(mean.float(), directions.float().contiguous())


def _hash(seed: int, rows: Int[np.ndarray, "n"], number: Int[np.ndarray, "n"]) -> UInt64[np.ndarray, "n"]:
    """A well-mixed number for each token of each row (SplitMix64, Steele, Lea and Flood 2014)."""
    x = np.full(len(rows), seed, np.uint64)
    for part in (rows, number):
        x = (x ^ part.astype(np.uint64)) + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x = x ^ (x >> np.uint64(31))
    return x
