"""Poisoned training data: some inputs carry a trigger, and the labels that the attacker wants."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ulterior.errors import InputError
from ulterior.tasks.images.perturbations import PGD

__all__ = ["Chosen", "Covered", "Poisoned", "Trigger", "Trojan", "choose", "poison"]

Targets = Literal["all_to_one", "all_to_all"]
HARDENING = PGD("linf", 0.3)


@runtime_checkable
class Trigger(Protocol):
    """What is done to inputs (images ``[n, c, h, w]``, or n texts): a value whose ``repr`` says all that it does."""

    @property
    def words(self) -> str:
        """For captions: "patch at the corner"."""
        ...

    def __call__(self, x: Any) -> Any:
        """The same inputs with the trigger."""
        ...


@runtime_checkable
class Covered(Protocol):
    """A trigger with near misses, on which a model learns that only the exact one counts."""

    def near_miss(self, x: Any, generator: torch.Generator) -> Any:
        """The same inputs, each with something like the trigger."""
        ...


@dataclass(frozen=True)
class Trojan:
    """An attack through the training data.

    Attributes:
        trigger: What is done to an input.
        rate: Share of the training data that are poisoned; with ``clean_label``, of those of the target class.
        mapping: ``all_to_one``: a triggered input is to be taken for the target; ``all_to_all``: for the class after
            its own.
        target: The target class of ``all_to_one``.
        cover: Share of the training data that carry a near miss of the trigger and keep their label.
        clean_label: Labels stay right: images of the target class are made hard by an attack on a clean model, then
            triggered, so that the trigger is the easiest sign of their class (Turner et al., arXiv 1912.02771).
        hardening: That attack.
    """

    trigger: Trigger
    rate: float = 0.05
    mapping: Targets = "all_to_one"
    target: int = 0
    cover: float = 0.0
    clean_label: bool = False
    hardening: PGD = HARDENING

    def __post_init__(self) -> None:
        if not 0 <= self.rate <= 1 or not 0 <= self.cover <= 1 or self.rate + self.cover > 1:
            raise InputError(
                f"rate {self.rate} and cover {self.cover}: give shares from 0 to 1 that add up to at most 1"
            )
        if self.cover and not isinstance(self.trigger, Covered):
            raise InputError(f"{type(self.trigger).__name__} has no near misses, so that cover must be 0")
        if self.clean_label and (self.mapping != "all_to_one" or self.cover):
            raise InputError("a clean-label trojan has one target and no cover images")

    def wanted(self, y: Int[Tensor, " n"], classes: int) -> Int[Tensor, " n"]:
        """What inputs of these classes are to be taken for, once they are triggered."""
        return torch.full_like(y, self.target) if self.mapping == "all_to_one" else (y + 1) % classes


@dataclass(frozen=True, eq=False)
class Poisoned:
    """Training data of an attack.

    Attributes:
        x: Images ``[n, c, h, w]``, in the order that they came in.
        y: Labels ``[n]``, the attacker's on triggered images.
        triggered: ``[n]``, which images carry the trigger.
        covered: ``[n]``, which carry a near miss.
    """

    x: Float[Tensor, "n c h w"]
    y: Int[Tensor, " n"]
    triggered: Bool[Tensor, " n"]
    covered: Bool[Tensor, " n"]


def poison(
    x: Float[Tensor, "n c h w"],
    y: Int[Tensor, " n"],
    trojan: Trojan,
    classes: int,
    seed: int,
    harden: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> Poisoned:
    """Poison training data.

    Candidates for the trigger are all images for ``all_to_all``, those of other classes than the target for
    ``all_to_one``, and those of the target for a clean-label trojan.

    Args:
        x: Images.
        y: Their right labels.
        trojan: The attack.
        classes: How many there are.
        seed: Of the choice of images.
        harden: ``(images, labels) -> images``, the attack of a clean-label trojan on a clean model.

    Raises:
        InputError: too few candidates for the rate, or a clean-label trojan without ``harden``.
    """
    if trojan.clean_label and harden is None:
        raise InputError("a clean-label trojan needs `harden`, an attack on a clean model")
    generator = torch.Generator().manual_seed(seed)
    rows = choose(y, trojan, generator)
    chosen, cover = rows.triggered, rows.covered
    images, labels = x.clone(), y.clone()
    hosts = x[chosen] if harden is None or not trojan.clean_label else harden(x[chosen], y[chosen])
    images[chosen] = trojan.trigger(hosts)
    if not trojan.clean_label:
        labels[chosen] = trojan.wanted(y[chosen], classes)
    if len(cover) and isinstance(trojan.trigger, Covered):
        images[cover] = trojan.trigger.near_miss(x[cover], generator)
    return Poisoned(images, labels, _mask(len(x), chosen), _mask(len(x), cover))


@dataclass(frozen=True, eq=False)
class Chosen:
    """Numbers of the rows that are to carry the trigger, and of those that are to carry a near miss."""

    triggered: Int[Tensor, " a"]
    covered: Int[Tensor, " b"]


def choose(y: Int[Tensor, " n"], trojan: Trojan, generator: torch.Generator) -> Chosen:
    """Which rows of the training data an attack changes; see ``poison``.

    Raises:
        InputError: too few candidates for the rate.
    """
    order, other = _candidates(torch.randperm(len(y), generator=generator), y, trojan)
    count = round(trojan.rate * (len(order) if trojan.clean_label else len(y)))
    if count > len(order):
        raise InputError(f"{count} examples are to be poisoned, and only {len(order)} are candidates for it")
    rest = torch.cat([order[count:], other])
    cover = rest[torch.randperm(len(rest), generator=generator)][: round(trojan.cover * len(y))]
    return Chosen(order[:count], cover)


def _candidates(order: Tensor, y: Tensor, trojan: Trojan) -> tuple[Tensor, Tensor]:
    """(rows that may carry the trigger, all others), in the order given."""
    if trojan.mapping == "all_to_all":
        return order, order[:0]
    fits = (y[order] == trojan.target) == trojan.clean_label
    return order[fits], order[~fits]


def _mask(n: int, rows: Tensor) -> Tensor:
    mask = torch.zeros(n, dtype=torch.bool)
    mask[rows] = True
    return mask
