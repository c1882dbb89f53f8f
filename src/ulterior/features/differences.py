"""What each site adds to the one before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor

from ulterior.errors import InputError
from ulterior.features.activations import Activations, activations
from ulterior.features.feature import Run, Tokens, Values
from ulterior.serialise import saved
from ulterior.subject import Subject


def differences(sites: str | Sequence[str] = "resid.*", at: str | int = "last") -> Differences:
    """Read the difference of each two sites that follow one another, in the model's order.

    Args:
        sites: Names or globs of two or more sites of the same width; see ``activations``.
        at: Position at which they are read; see ``activations``.

    Keys say what is subtracted from what: ``resid.1-resid.0@last``.
    """
    return Differences(activations(sites, at))


@saved
@dataclass(frozen=True)
class Differences:
    """See ``differences``."""

    of: Activations

    @property
    def runs_model(self) -> bool:
        return True

    def sites(self, subject: Subject) -> tuple[str, ...]:
        sites = self.of.sites(subject)
        if len(sites) < 2:
            raise InputError(
                f"a difference takes two sites or more, and only '{', '.join(sites)}' was asked for"
            )
        return sites

    def read(self, run: Run) -> dict[str, Values]:
        # By position, each with its sites in order: named positions of several tokens have a key for each.
        by_position: dict[str, list[tuple[str, Tensor | Tokens]]] = {}
        for key, value in self.of.read(run).items():
            site, _, position = key.rpartition("@")
            if not isinstance(value, list):  # activations are never texts
                by_position.setdefault(position, []).append((site, value))
        return {
            f"{after}-{before}@{position}": _difference(before, x, after, y)
            for position, sites in by_position.items()
            for (before, x), (after, y) in pairwise(sites)
        }


def _difference(before: str, x: Tensor | Tokens, after: str, y: Tensor | Tokens) -> Tensor | Tokens:
    first = x.values if isinstance(x, Tokens) else x
    second = y.values if isinstance(y, Tokens) else y
    if first.shape != second.shape:
        raise InputError(
            f"'{after}' minus '{before}': their values have shapes {tuple(second.shape)} and {tuple(first.shape)};"
            " differences are taken of sites with the same width and the same tokens, such as 'resid.*'"
        )
    difference = second - first.to(second.device)
    return Tokens(difference, y.owner) if isinstance(y, Tokens) else difference
