"""How strongly each output depends on each place in the model: the length of its gradient there, on a log scale.

No statistics of examples go into it. A gradient's length says how much *could* be changed at a site, whatever stands
there; attributions say how much does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ulterior.features.attributions import EVERYWHERE
from ulterior.features.feature import Run, Values, side_by_side
from ulterior.features.tokenwise import tokenwise
from ulterior.serialise import saved
from ulterior.sites import split_patterns
from ulterior.subject import Subject

__all__ = ["GradientNorms", "gradient_norms", "log_length"]

# Where an output does not depend on a site at all, its log length is that of this number.
_SHORTEST = 1e-20


def gradient_norms(sites: str | Sequence[str] = EVERYWHERE, of: str = "behaviour") -> GradientNorms:
    """Read the natural log of ``|dS_j/da|``, over all tokens and coordinates of a site together.

    One key, ``gradient_norms`` ``[n, sites * k]``, site by site. Of a head, the gradient is that of its columns of what
    enters the attention's output projection: at the output itself, all heads of a layer have the same one.

    Args:
        sites: Names or globs.
        of: The readout, ``[n]`` or ``[n, k]``; each of its k columns costs one backward pass, shared as elsewhere.
    """
    return GradientNorms(split_patterns(sites), of)


@saved
@dataclass(frozen=True)
class GradientNorms:
    """See ``gradient_norms``."""

    patterns: tuple[str, ...]
    of: str

    @property
    def runs_model(self) -> bool:
        return True

    @property
    def gradient_of(self) -> tuple[str, ...]:
        return (self.of,)

    def sites(self, subject: Subject) -> tuple[str, ...]:
        return subject.select(self.patterns)

    def read(self, run: Run) -> dict[str, Values]:
        assert run.gradients is not None
        columns = range(run.gradients.width(self.of))
        found: dict[str, Tensor] = {}
        for site in self.sites(run.subject):
            gradients = [run.gradients.pair(self.of, column, site)[1] for column in columns]
            found[site] = torch.stack(
                [log_length(tokenwise(one, run.batch).flatten(1)) for one in gradients], 1
            )
        return {"gradient_norms": side_by_side(found, "gradient")}


def log_length(x: Float[Tensor, "*rows d"]) -> Float[Tensor, "*rows"]:
    """The natural log of each row's Euclidean length; a row of zeros has that of a length of 1e-20."""
    return x.norm(dim=-1).clamp(min=_SHORTEST).log()
