"""Activations at chosen sites and positions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ulterior.capture import Captured
from ulterior.errors import InputError
from ulterior.features.feature import Run, Tokens, Values
from ulterior.serialise import saved
from ulterior.sites import split_patterns
from ulterior.subject import Batch, Subject


def activations(sites: str | Sequence[str] = "resid.*", at: str | int = "last") -> Activations:
    """Read activations at sites (names or globs) and a position.

    Args:
        sites: ``"resid.*"``, ``"resid.3, head.3.*"``, a module path, or a sequence of those.
        at: ``last``; ``mean`` over the example's tokens; ``all`` tokens; a number (0 is the first token, -1 the
            last); or a named position of the subject, such as ``sensors``.

    Keys are ``site@position``; where a named position holds several tokens each has its own:
    ``resid.3@sensors.0``, ``resid.3@sensors.1``.

    Outputs of other modules have no tokens to choose from when they are ``[n, d]`` (taken as they are) or images
    ``[n, c, h, w]`` (the mean over space, ``[n, c]``; each place is a token for ``all``; ``flat`` takes all numbers).
    """
    return Activations(split_patterns(sites), at)


@saved
@dataclass(frozen=True)
class Activations:
    """See ``activations``."""

    patterns: tuple[str, ...]
    at: str | int = "last"

    @property
    def runs_model(self) -> bool:
        return True

    def sites(self, subject: Subject) -> tuple[str, ...]:
        return subject.select(self.patterns)

    def read(self, run: Run) -> dict[str, Values]:
        places = Places(run.captured, run.batch, self.at)
        values: dict[str, Values] = {}
        for site in self.sites(run.subject):
            values.update(places.read(site))
        return values


class Places:
    """A position, worked out once a batch and read at many sites; where there is a graph, the values are in it."""

    def __init__(self, captured: Captured, batch: Batch, at: str | int) -> None:
        self.captured = captured
        self.batch = batch
        self.at = at
        self._index: Int[Tensor, "n k"] | None = None

    def read(self, site: str) -> dict[str, Values]:
        """The values of a site by key, as ``Activations`` gives them."""
        key = f"{site}@{self.at}"
        mask, at = self.batch.mask, self.at
        if mask is not None and at not in ("mean", "all", "flat"):
            stored = self.captured.stored(site)
            if stored.ndim == 3 and stored.shape[:2] == mask.shape:
                return self._named(key, self.captured.at(site, self.index))
        value = self.captured[site]
        if len(value) != len(self.batch):
            raise InputError(
                f"site '{site}' has shape {tuple(value.shape)} for {len(self.batch)} examples;"
                " its first axis must count the examples"
            )
        if value.ndim <= 2 or at == "flat":
            return {key: _own(value.reshape(len(value), -1))}
        return {key: self._pooled(site, value)}

    @property
    def index(self) -> Int[Tensor, "n k"]:
        """The chosen positions in the padded sequence."""
        if self._index is None:
            self._index = _index(self.batch, self.at)
        return self._index

    def _named(self, key: str, value: Float[Tensor, "n k d"]) -> dict[str, Values]:
        value = value.float()
        if value.shape[1] == 1:
            return {key: value[:, 0]}
        return {f"{key}.{number}": one.contiguous() for number, one in enumerate(value.unbind(1))}

    def _pooled(self, site: str, value: Tensor) -> Values:
        if value.ndim > 3:
            value = value.flatten(2).transpose(1, 2)  # an image's places in the role of tokens
            pooled, mask = self.at != "all", None
        else:
            pooled, mask = self.at == "mean", self.batch.mask
        if mask is None or mask.shape != value.shape[:2]:
            mask = torch.ones(value.shape[:2], dtype=torch.bool, device=value.device)
        mask = mask.to(value.device)
        if self.at == "all":
            owner, place = mask.nonzero(as_tuple=True)
            return Tokens(value[owner, place].float(), owner)
        if pooled:
            weights = mask.float() / mask.sum(1, keepdim=True)
            return torch.bmm(weights[:, None, :], value.float())[:, 0]
        if self.at in ("last", -1):
            return _own(value[:, -1])
        if isinstance(self.at, int) and -value.shape[1] <= self.at < value.shape[1]:
            return _own(value[:, self.at])
        raise InputError(f"site '{site}' of shape {tuple(value.shape)} has no position '{self.at}'")


def _own(value: Tensor) -> Tensor:
    """A float32 copy: a view would keep the whole batch's activation alive."""
    return value.to(torch.float32, copy=True)


def _index(batch: Batch, at: str | int) -> Int[Tensor, "n k"]:
    mask, positions = batch.mask, batch.positions
    if isinstance(at, str):
        if at not in positions:
            known = ", ".join(["mean", "all", *positions])
            raise InputError(f"this subject has no position '{at}'; it has: {known}, or a number")
        return positions[at]
    if mask is None:
        raise InputError(f"position {at} was asked for, but this subject's inputs are no sequences")
    lengths = mask.sum(1)
    needed = at + 1 if at >= 0 else -at
    if bool((lengths < needed).any()):
        raise InputError(
            f"position {at} was asked for, but the shortest example has {int(lengths.min())} tokens"
        )
    start = mask.int().argmax(1)
    return (start + (at if at >= 0 else lengths + at))[:, None]
