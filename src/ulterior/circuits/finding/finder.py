"""The one signature of everything that finds a circuit."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from ulterior.circuits.graph import Units
from ulterior.circuits.mask import Mask, Scores
from ulterior.circuits.metrics import Metric
from ulterior.circuits.pairs import Pairs
from ulterior.subject import Subject

__all__ = ["Finder"]


@runtime_checkable
class Finder(Protocol):
    """Finds what carries a behaviour. A frozen dataclass, whose fields are the method's own options.

    Attributes:
        name: As the command and tables call it.
    """

    @property
    def name(self) -> str: ...

    def __call__(self, subject: Subject, pairs: Pairs, units: Units, metric: Metric) -> Scores | Mask:
        """Scores or a mask over the units, from these pairs alone.

        Scores have the sign of what *keeping* a unit does to the metric, against its ablation: positive if the
        behaviour is stronger for it.

        Raises:
            InputError: a grain that the method does not know, or a model that has no circuits.
        """
        ...
