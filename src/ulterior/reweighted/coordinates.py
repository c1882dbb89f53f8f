"""Some of a model's weights as coordinates around where they stand, each tensor in units of its own size.

With one number, a share of that size, steps and spreads then suit the tensors of any model. The model itself is never
written to: other weights are handed to one forward pass at a time (``ulterior.reweighted.subject``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch
from torch import Generator, Tensor, nn

from ulterior.architectures import find_anatomy
from ulterior.errors import InputError
from ulterior.sites import split_patterns

__all__ = ["Coordinates", "Weights", "chosen_names", "coordinates"]

Weights = dict[str, Tensor]
"""Tensors that stand in for parameters, by name."""

# A model with more numbers than this is changed in its last block alone, unless something else is asked for.
SMALL = 4_000_000
# A tensor of zeros (a fresh bias) has this size.
_SMALLEST = 1e-2


@dataclass(frozen=True, eq=False)
class Coordinates:
    """The point u stands for the weights ``centre + size * u``, tensor by tensor.

    Attributes:
        names: Of the parameters.
        centre: What they are, float32.
        size: The root mean square of each tensor's entries, at least .01.
        dtypes: In which the model holds them.
    """

    names: tuple[str, ...]
    centre: tuple[Tensor, ...]
    size: tuple[float, ...]
    dtypes: tuple[torch.dtype, ...]

    @property
    def numbers(self) -> int:
        """How many there are."""
        return sum(tensor.numel() for tensor in self.centre)

    def own(self) -> list[Tensor]:
        """The point at which the weights are the model's own."""
        return [torch.zeros_like(tensor) for tensor in self.centre]

    def fresh(self, generator: Generator) -> list[Tensor]:
        """A point without anything learned: entries are normal, with the mean and spread that the tensor's have.

        It needs no knowledge of how a model is initialised. Scales of norms stay near one; of what was learned, the
        size of each tensor is all that is left.
        """
        points = []
        for tensor, size in zip(self.centre, self.size, strict=True):
            spread = tensor.std() if tensor.numel() > 1 else torch.zeros(())
            noise = torch.randn(tensor.shape, generator=generator).to(tensor.device)
            points.append((tensor.mean() + spread * noise - tensor) / size)
        return points

    def weights(self, point: Sequence[Tensor]) -> Weights:
        """What stands in for the parameters at a point; differentiable in it, and exactly their own at ``own()``."""
        return {
            name: (centre + size * u).to(dtype)
            for name, centre, size, dtype, u in zip(
                self.names, self.centre, self.size, self.dtypes, point, strict=True
            )
        }


def coordinates(model: nn.Module, part: str = "auto") -> Coordinates:
    """Coordinates of a part of the model's weights.

    Args:
        model: Any module; whether its parameters are frozen does not matter.
        part: See ``chosen_names``.

    Raises:
        InputError: no such part, or weights that cannot be moved a little (integers, offloaded).
    """
    parameters = dict(model.named_parameters())
    names = chosen_names(model, part)
    centre = tuple(parameters[name].detach().float().clone() for name in names)
    size = tuple(max(float(tensor.square().mean().sqrt()), _SMALLEST) for tensor in centre)
    return Coordinates(names, centre, size, tuple(parameters[name].dtype for name in names))


def chosen_names(model: nn.Module, part: str = "auto") -> tuple[str, ...]:
    """The parameters of a part, in the model's order.

    Args:
        model: Any module. A tensor that stands in two places (tied embeddings) counts as the first of them.
        part: ``all``; ``last:k``, the last k blocks of a transformer and what follows them, or the last k modules with
            weights of their own of anything else; ``auto``, all of a model with at most four million numbers and
            ``last:1`` of a larger one; or globs of parameters' names.

    Raises:
        InputError: a part that is not there, or that holds no floating-point weights.
    """
    movable = {
        name: tensor
        for name, tensor in model.named_parameters()
        if tensor.is_floating_point() and not tensor.is_meta and tensor.numel()
    }
    if not movable:
        raise InputError(
            "this model has no weights that could be moved a little: they are integers, offloaded, or none at all"
        )
    if part == "auto":
        part = "all" if sum(tensor.numel() for tensor in movable.values()) <= SMALL else "last:1"
    if part == "all":
        return tuple(movable)
    if part.startswith("last:"):
        return _last(model, tuple(movable), part)
    patterns = split_patterns(part)
    found = tuple(name for name in movable if any(fnmatchcase(name, one) for one in patterns))
    if not found:
        raise InputError(
            f"no parameter of this model is called {', '.join(patterns)}; it has {', '.join(list(movable)[:5])}, ..."
        )
    return found


def _last(model: nn.Module, movable: Sequence[str], part: str) -> tuple[str, ...]:
    count = part.removeprefix("last:")
    if not count.isdigit() or int(count) < 1:
        raise InputError(f"'{part}' names no part of a model; say last:2 for the last two blocks")
    anatomy = find_anatomy(model)
    paths = {id(module): path for path, module in model.named_modules()}
    if anatomy is None:
        groups = list(dict.fromkeys(name.rpartition(".")[0] for name in movable))
        kept = set(groups[-int(count) :])
        return tuple(name for name in movable if name.rpartition(".")[0] in kept)
    first = paths[id(anatomy.blocks[max(0, len(anatomy.blocks) - int(count))])]
    start = next((i for i, name in enumerate(movable) if name.startswith(f"{first}.")), None)
    if start is None:
        raise InputError(f"the blocks that '{part}' names hold no weights that could be moved")
    return tuple(movable[start:])
