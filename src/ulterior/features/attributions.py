"""How much each place in the model contributes to each output: gradient times what an ablation takes away.

The attribution of output j at a site a and a token p is ``(a[p] - a_ablated[p]) . dS_j/da[p]``: to first order, how
far S_j would fall were the activation replaced there (published as its negative, how far S_j would move). ``a_ablated``
is 0 unless another ablation is asked for (``ulterior.features.ablations``). Where the model is linear from the site on,
it is no approximation.

Attributions at sites that lie in parallel (the heads and the feed-forward layer of a block) add up; those in sequence
(the residual stream after one block, then after the next) count the same path again. Where only a norm stands between a
site and an output, the product with the whole activation is zero, however much depends on the site: a norm does not see
its input's length. There, and wherever contributions of either sign would cancel, the ``magnitude``
``|a[p] - a_ablated[p]| |dS_j/da[p]|`` says how much could be passed on at most.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ulterior.features.ablations import Ablation, Kind, Replacement, ReplacementFitter, ablation_of
from ulterior.features.feature import Feature, Run, Values, side_by_side, unprepared
from ulterior.features.gradients import Output
from ulterior.features.tokenwise import SiteTokens, numbers, tokenwise
from ulterior.serialise import saved
from ulterior.sites import split_patterns
from ulterior.subject import Subject

__all__ = [
    "EVERYWHERE",
    "AblatedAttributions",
    "Attributions",
    "Measure",
    "PreparedAttributions",
    "attributions",
    "masses",
]

Measure = Literal["product", "magnitude"]
Kept = Literal["totals", "coordinates"]

EVERYWHERE = "embed,resid.*,attn.*,mlp.*,head.*.*"


def attributions(
    sites: str | Sequence[str] = EVERYWHERE,
    of: str = "sensors",
    *,
    kept: Kept = "totals",
    measure: Measure = "product",
    ablation: Kind | Ablation = "zero",
) -> Attributions | AblatedAttributions:
    """Read attributions of each column of a readout, summed over an example's tokens.

    Args:
        sites: Names or globs. A head costs no more than its share of its layer: see ``Gradients.pair``.
        of: The readout, ``[n]`` or ``[n, k]``. Each of its k columns costs one backward pass a batch, which all
            features share that ask for the same readout.
        kept: ``totals``: one number a site and column, under the one key ``attributions`` ``[n, sites * k]``, site by
            site. ``coordinates``: the products ``(a - a_ablated) * dS_j/da`` of the site's single coordinates, under a
            key for each site and column, ``resid.2@sensors.0`` ``[n, d]``.
        measure: ``product``, or (of totals) ``magnitude``, the length of the difference times that of the gradient.
        ablation: What takes the activation's place: ``zero``; or ``mean``, ``resample``, ``pcs`` (an ``Ablation`` says
            more), which are learned from a sample of trusted examples first (see ``prepare``; a panel does so). Of a
            head, they are those of its columns of what enters the projection.
    """
    how, patterns = ablation_of(ablation), split_patterns(sites)
    if how.kind == "zero":
        return Attributions(patterns, of, kept, measure)
    return AblatedAttributions(patterns, of, kept, measure, how)


@saved
@dataclass(frozen=True)
class Attributions:
    """See ``attributions``."""

    patterns: tuple[str, ...]
    of: str
    kept: Kept
    measure: Measure

    @property
    def runs_model(self) -> bool:
        return True

    @property
    def gradient_of(self) -> tuple[str, ...]:
        return (self.of,)

    def sites(self, subject: Subject) -> tuple[str, ...]:
        return subject.select(self.patterns)

    def read(self, run: Run) -> dict[str, Values]:
        sites = dict.fromkeys(self.sites(run.subject))
        return _read(run, sites, self.of, self.kept, self.measure)


@saved
@dataclass(frozen=True)
class AblatedAttributions:
    """See ``attributions``; what must be known of trusted examples is not known yet."""

    patterns: tuple[str, ...]
    of: str
    kept: Kept
    measure: Measure
    ablation: Ablation

    @property
    def runs_model(self) -> bool:
        return True

    @property
    def gradient_of(self) -> tuple[str, ...]:
        return (self.of,)

    def sites(self, subject: Subject) -> tuple[str, ...]:
        return subject.select(self.patterns)

    @property
    def before(self) -> tuple[Feature, ...]:
        return (SiteTokens(self.patterns),)

    def begin(self, subject: Subject) -> AttributionPreparation:
        return AttributionPreparation(self)

    def read(self, run: Run) -> dict[str, Values]:
        raise unprepared(self)


class AttributionPreparation:
    """Learns what takes the place of the activations."""

    def __init__(self, feature: AblatedAttributions) -> None:
        self._feature, self._fitter = feature, ReplacementFitter(feature.ablation)

    def update(self, rows: Int[np.ndarray, " n"], reading: Mapping[Feature, Mapping[str, Values]]) -> None:
        self._fitter.update(rows, reading[self._feature.before[0]])

    def finish(self) -> PreparedAttributions:
        one = self._feature
        return PreparedAttributions(self._fitter.finish(), one.of, one.kept, one.measure)


@saved
@dataclass(frozen=True, eq=False)
class PreparedAttributions:
    """Attributions at the sites of which it is known what takes the activation's place."""

    replacements: Mapping[str, Replacement]
    of: str
    kept: Kept
    measure: Measure

    @property
    def runs_model(self) -> bool:
        return True

    @property
    def gradient_of(self) -> tuple[str, ...]:
        return (self.of,)

    def sites(self, subject: Subject) -> tuple[str, ...]:
        return tuple(self.replacements)

    def read(self, run: Run) -> dict[str, Values]:
        return _read(run, self.replacements, self.of, self.kept, self.measure)


def masses(
    run: Run, of: Output, site: str, measure: Measure, replacement: Replacement | None = None
) -> Float[Tensor, "k n s"]:
    """The attribution of each column of an output at a site, token by token; 0 at padding.

    Sites without tokens have one; the places of an image stand for tokens. Without a replacement, 0 takes the
    activation's place.
    """
    difference, gradients = _parts(run, of, site, replacement)
    if measure == "product":
        return torch.stack([(difference * gradient).sum(-1) for gradient in gradients])
    length = difference.norm(dim=-1)
    return torch.stack([length * gradient.norm(dim=-1) for gradient in gradients])


def _read(
    run: Run, sites: Mapping[str, Replacement | None], of: str, kept: Kept, measure: Measure
) -> dict[str, Values]:
    if kept == "totals":
        totals = {site: masses(run, of, site, measure, known).sum(2).T for site, known in sites.items()}
        return {"attributions": side_by_side(totals, "attribution")}
    values: dict[str, Values] = {}
    for site, known in sites.items():
        difference, gradients = _parts(run, of, site, known)
        for column, gradient in enumerate(gradients):
            values[f"{site}@{of}.{column}"] = (difference * gradient).sum(1).float()
    return values


def _parts(
    run: Run, of: Output, site: str, replacement: Replacement | None
) -> tuple[Float[Tensor, "n s d"], list[Float[Tensor, "n s d"]]]:
    """(what the ablation takes away, the gradient of each column), the latter with zeros at padding."""
    assert run.gradients is not None, "a feature that names gradient_of is given gradients"
    pairs = [run.gradients.pair(of, column, site) for column in range(run.gradients.width(of))]
    difference = tokenwise(pairs[0][0], run.batch)
    if replacement is not None:
        difference = replacement.difference(difference, numbers(difference, run.batch))
    return difference, [tokenwise(gradient, run.batch) for _, gradient in pairs]
