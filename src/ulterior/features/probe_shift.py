"""Whether what a site does to the output already shows halfway, as it does on trusted examples.

A *probe* is a linear regression of the output on the activation at an intermediate site, learned from trusted examples
(``Probe``). The effect of a site that lies before it is an attribution (``ulterior.features.attributions``), taken once
on the probe and once on the output; the shift is the first minus the second. On trusted examples the probe stands in
for the output, and most of what a site does to the one it does to the other; what takes another way round the probe's
site, or is undone after it, shows as a shift.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ulterior.capture import Captured
from ulterior.errors import InputError
from ulterior.features.ablations import Ablation, Kind, Replacement, ReplacementFitter, ablation_of
from ulterior.features.activations import Places
from ulterior.features.attributions import masses
from ulterior.features.feature import Feature, Run, Values, side_by_side, unprepared
from ulterior.features.gradients import Output
from ulterior.features.outputs import outputs
from ulterior.features.tokenwise import SiteTokens
from ulterior.serialise import saved
from ulterior.sites import parse_site, split_patterns
from ulterior.subject import Batch, Subject

__all__ = ["PreparedProbeShift", "Probe", "ProbeShift", "probe_shift", "ridge"]

# Penalties that are tried, in units of the mean squared singular value of the centred activations.
_PENALTIES = tuple(10.0**power for power in range(-6, 4))


def probe_shift(
    sites: str | Sequence[str] = "mlp.*,head.*.*",
    of: str = "behaviour",
    *,
    probe: str | None = None,
    at: str | int = "last",
    ablation: Kind | Ablation = "mean",
) -> ProbeShift:
    """Read, for each site before the probe, its attribution to the probe minus its attribution to the output.

    One key, ``probe_shift`` ``[n, sites * k]``, site by site; it costs a backward pass more for each column than
    attributions do. Of canonical sites, those that the probe cannot see are left out.

    Args:
        sites: Names or globs.
        of: The readout, ``[n]`` or ``[n, k]``, that the probe learns to predict.
        probe: The site that the probe reads; the stream after the block in the middle if not given.
        at: The position at which it reads.
        ablation: What takes the activation's place; see ``attributions``.
    """
    return ProbeShift(split_patterns(sites), of, probe, at, ablation_of(ablation))


@saved
@dataclass(frozen=True)
class ProbeShift:
    """See ``probe_shift``; the probe is not learned yet."""

    patterns: tuple[str, ...]
    of: str
    probe: str | None
    at: str | int
    ablation: Ablation

    @property
    def runs_model(self) -> bool:
        return True

    @property
    def gradient_of(self) -> tuple[str, ...]:
        # The probe has as many columns as the readout that it learns, and so costs as much again.
        return (self.of, self.of)

    def sites(self, subject: Subject) -> tuple[str, ...]:
        return (*self.before_probe(subject), self.probe_site(subject))

    @property
    def before(self) -> tuple[Feature, ...]:
        return (outputs(self.of), _Before(self))

    def begin(self, subject: Subject) -> ProbeShiftPreparation:
        return ProbeShiftPreparation(self, self.probe_site(subject), self.before_probe(subject))

    def read(self, run: Run) -> dict[str, Values]:
        raise unprepared(self)

    def probe_site(self, subject: Subject) -> str:
        """The one site that the probe reads."""
        if self.probe is None:
            blocks = subject.select("resid.*")
            return blocks[(len(blocks) - 1) // 2]
        found = subject.select(self.probe)
        if len(found) != 1:
            raise InputError(f"a probe reads one site, and '{self.probe}' selects {len(found)}")
        return found[0]

    def before_probe(self, subject: Subject) -> tuple[str, ...]:
        """The sites whose effects are read: of canonical ones, those that come before the probe's."""
        chosen, probe = subject.select(self.patterns), self.probe_site(subject)
        available = subject.sites()
        if parse_site(probe) is None or probe not in available:
            return tuple(site for site in chosen if site != probe)
        earlier = available[: available.index(probe)]
        found = tuple(site for site in chosen if site in earlier)
        if not found:
            raise InputError(
                f"none of the sites {', '.join(self.patterns)} comes before the probe at '{probe}'"
            )
        return found


@dataclass(frozen=True)
class _Before:
    """What a probe shift must see of trusted examples beside the output."""

    feature: ProbeShift
    runs_model: bool = True

    def sites(self, subject: Subject) -> tuple[str, ...]:
        return self.feature.sites(subject)

    def read(self, run: Run) -> dict[str, Values]:
        subject, feature = run.subject, self.feature
        found: dict[str, Values] = {
            "probe": _vectors(run.captured, run.batch, feature.probe_site(subject), feature.at)
        }
        if feature.ablation.kind != "zero":
            found |= SiteTokens(feature.before_probe(subject)).read(run)
        return found


class ProbeShiftPreparation:
    """Learns the probe, and what takes the place of the activations."""

    def __init__(self, feature: ProbeShift, probe: str, sites: tuple[str, ...]) -> None:
        self._feature, self._probe, self._sites = feature, probe, sites
        self._fitter = ReplacementFitter(feature.ablation)
        self._rows: list[np.ndarray] = []
        self._x: list[Tensor] = []
        self._y: list[Tensor] = []

    def update(self, rows: Int[np.ndarray, " n"], reading: Mapping[Feature, Mapping[str, Values]]) -> None:
        output, seen = self._feature.before
        values = dict(reading[seen])
        x, y = values.pop("probe"), reading[output]["outputs"]
        assert isinstance(x, Tensor)
        assert isinstance(y, Tensor)
        self._rows.append(np.asarray(rows))
        self._x.append(x)
        self._y.append(y)
        self._fitter.update(rows, values)

    def finish(self) -> PreparedProbeShift:
        # In the order of the sample, so that batches have no say even in the last digit.
        order = torch.from_numpy(np.argsort(np.concatenate(self._rows)))
        weight, bias, explained = ridge(torch.cat(self._x)[order], torch.cat(self._y)[order])
        probe = Probe(self._probe, self._feature.at, weight, bias, explained)
        return PreparedProbeShift(self._sites, self._feature.of, probe, self._fitter.finish())


@saved
@dataclass(frozen=True, eq=False)
class Probe:
    """A linear function of the activation at a site and position, which predicts an output; differentiable.

    Attributes:
        site: What it reads.
        at: Where; of several tokens, all side by side.
        weight: ``[d, k]`` float64.
        bias: ``[k]``.
        explained: Share ``[k]`` of the output's trusted variance that it explains of examples left out; below 0 where
            it is no better than the mean.
    """

    site: str
    at: str | int
    weight: Float[Tensor, "d k"]
    bias: Float[Tensor, "k"]
    explained: Float[Tensor, "k"]

    def columns(self, captured: Captured, batch: Batch) -> Float[Tensor, "n k"]:
        x = _vectors(captured, batch, self.site, self.at)
        return x @ self.weight.to(x) + self.bias.to(x)


@saved
@dataclass(frozen=True, eq=False)
class PreparedProbeShift:
    """The shift of the chosen sites between a learned probe and the output."""

    effects: tuple[str, ...]
    of: str
    probe: Probe
    replacements: Mapping[str, Replacement]

    @property
    def runs_model(self) -> bool:
        return True

    @property
    def gradient_of(self) -> tuple[Output, ...]:
        return (self.of, self.probe)

    def sites(self, subject: Subject) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.effects, self.probe.site)))

    def read(self, run: Run) -> dict[str, Values]:
        shifts: dict[str, Tensor] = {}
        for site in self.effects:
            replacement = self.replacements.get(site)
            halfway, final = (
                masses(run, of, site, "product", replacement).sum(2) for of in (self.probe, self.of)
            )
            shifts[site] = (halfway - final).T
        return {"probe_shift": side_by_side(shifts, "probe shift")}


def ridge(
    x: Float[Tensor, "n d"], y: Float[Tensor, "n k"]
) -> tuple[Float[Tensor, "d k"], Float[Tensor, "k"], Float[Tensor, "k"]]:
    """Linear regression with the L2 penalty under which each example is best predicted by the others.

    The errors of examples left out have a closed form, ``residual / (1 - leverage)``, from one decomposition.

    Returns:
        Weights, bias, and the share of the variance of y that is explained of examples left out; float64.

    Raises:
        InputError: fewer than three examples.
    """
    n = len(x)
    if n < 3:
        raise InputError(f"a probe needs 3 or more trusted examples to learn from, got {n}")
    x, y = x.double(), y.double()
    centre, level = x.mean(0), y.mean(0)
    left, sizes, right = torch.linalg.svd(x - centre, full_matrices=False)
    along, unit = left.T @ (y - level), sizes.square().mean().clamp(min=torch.finfo(torch.float64).tiny)
    total = (y - level).square().sum(0) * (n / (n - 1)) ** 2  # the mean of the others as the prediction
    best, kept = torch.full_like(total, torch.inf), torch.zeros_like(along)
    for penalty in _PENALTIES:
        shrunk = sizes.square() / (sizes.square() + penalty * unit)
        leverage = 1 / n + left.square() @ shrunk
        error = ((y - level - left @ (shrunk[:, None] * along)) / (1 - leverage)[:, None]).square().sum(0)
        better = error < best
        best = torch.where(better, error, best)
        kept = torch.where(better, (sizes / (sizes.square() + penalty * unit))[:, None] * along, kept)
    weight = right.T @ kept
    explained = 1 - best / total.clamp(min=torch.finfo(torch.float64).tiny)
    return weight, level - centre @ weight, explained


def _vectors(captured: Captured, batch: Batch, site: str, at: str | int) -> Float[Tensor, "n d"]:
    found = list(Places(captured, batch, at).read(site).values())
    if not all(isinstance(value, Tensor) for value in found):
        raise InputError(f"a probe reads one vector an example, and position '{at}' gives every token")
    return torch.cat([value for value in found if isinstance(value, Tensor)], 1)
