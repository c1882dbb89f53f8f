"""Activations as rows of tokens, whatever a site holds: sequences, the places of an image, or one vector."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ulterior.features.feature import Run, Tokens, Values
from ulterior.subject import Batch, Subject

__all__ = ["SiteTokens", "numbers", "tokenwise"]


def tokenwise(value: Tensor, batch: Batch) -> Float[Tensor, "n s d"]:
    """``[n, s, d]`` with zeros at padding; float32 at least, since products of half-precision numbers underflow.

    Sites without tokens have one; the places of an image stand for tokens.
    """
    value = value if value.dtype == torch.float64 else value.float()
    if value.ndim <= 2:
        return value.reshape(len(value), 1, -1)
    if value.ndim > 3:
        return value.flatten(2).transpose(1, 2)
    mask = _mask(batch, value)
    return value if mask is None else value.masked_fill(~mask[:, :, None], 0)


def numbers(value: Float[Tensor, "n s d"], batch: Batch) -> Int[Tensor, "_ s"]:
    """Which token of its example each one is, from 0; whatever the padding."""
    step = torch.arange(value.shape[1], device=value.device)[None]
    mask = _mask(batch, value)
    return step if mask is None else (step - mask.int().argmax(1, keepdim=True)).clamp(min=0)


@dataclass(frozen=True)
class SiteTokens:
    """Every token's activation at some sites, keyed by site; of a head, its share of what enters the projection."""

    patterns: tuple[str, ...]
    runs_model: bool = True

    def sites(self, subject: Subject) -> tuple[str, ...]:
        return subject.select(self.patterns)

    def read(self, run: Run) -> dict[str, Values]:
        found: dict[str, Values] = {}
        for site in self.sites(run.subject):
            value = tokenwise(run.captured.stored(site)[..., run.captured.block(site)], run.batch)
            mask = _mask(run.batch, value)
            if mask is None:
                mask = torch.ones(value.shape[:2], dtype=torch.bool, device=value.device)
            owner, place = mask.nonzero(as_tuple=True)
            found[site] = Tokens(value[owner, place].float(), owner)
        return found


def _mask(batch: Batch, value: Tensor) -> Bool[Tensor, "n s"] | None:
    """The batch's mask where the value has the batch's tokens."""
    mask = batch.mask
    return None if mask is None or mask.shape != value.shape[:2] else mask.to(value.device)
