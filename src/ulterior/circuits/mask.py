"""Values over the units of a graph: scores of any size, and masks between 0 and 1; set operations, files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ulterior.circuits.graph import Graph, Units
from ulterior.errors import InputError
from ulterior.files import writable_folder, write_whole

__all__ = ["Mask", "Scores", "full_mask", "load_mask", "mask_of", "random_mask"]

VALUES, DESCRIPTION = "mask.safetensors", "mask.json"


@dataclass(frozen=True, eq=False)
class _Values:
    """Numbers over units; 0 where there is no unit.

    Attributes:
        graph: The model's.
        units: Their grain.
        values: ``units.shape(graph)``, float32 on the CPU.
        name: What made them.
    """

    graph: Graph
    units: Units
    values: Float[Tensor, "*shape"]
    name: str = "mask"

    def __post_init__(self) -> None:
        if self.values.shape != self.units.shape(self.graph):
            raise InputError(
                f"{self.name}: values of shape {tuple(self.values.shape)}, the model's {self.units.grain} have"
                f" {self.units.shape(self.graph)}"
            )
        if not bool(self.values.isfinite().all()):
            raise InputError(f"{self.name}: some values are NaN or infinite")

    @property
    def flat(self) -> Float[Tensor, "k"]:
        """The values of the units alone, in the order of their names."""
        return self.values[self.units.exists(self.graph)]

    @property
    def names(self) -> tuple[str, ...]:
        """The units' names, in the order of ``flat``."""
        return self.units.names(self.graph)

    def as_dict(self) -> dict[str, float]:
        """Value by name of the unit."""
        return dict(zip(self.names, self.flat.tolist(), strict=True))


@dataclass(frozen=True, eq=False)
class Scores(_Values):
    """How much each unit matters: larger in size, more so. The sign is that of the effect on the metric."""

    name: str = "scores"

    def top(self, k: int, *, signed: bool = False) -> Mask:
        """The ``k`` units with the largest scores, by size unless ``signed``; of equal ones the earlier.

        Raises:
            InputError: fewer than no units, or more than there are.
        """
        exists = self.units.exists(self.graph)
        count = int(exists.sum())
        if not 0 <= k <= count:
            raise InputError(f"the top {k} of {count} {self.units.grain}; ask for 0 to {count}")
        flat = self.flat if signed else self.flat.abs()
        order = torch.sort(flat, descending=True, stable=True).indices[:k]
        chosen = torch.zeros(count)
        chosen[order] = 1.0
        values = torch.zeros(self.values.shape)
        values[exists] = chosen
        return Mask(self.graph, self.units, values, self.name)

    def above(self, threshold: float) -> Mask:
        """The units whose scores are at least so large in size."""
        kept = (self.values.abs() >= threshold) & self.units.exists(self.graph)
        return Mask(self.graph, self.units, kept.float(), self.name)

    def nested(self, sizes: Iterable[int]) -> tuple[Mask, ...]:
        """The masks of several sizes, each inside the next larger one."""
        return tuple(self.top(size) for size in sizes)


@dataclass(frozen=True, eq=False)
class Mask(_Values):
    """How much of each unit is kept: 1 all of it, 0 nothing."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if bool((self.values < 0).any()) or bool((self.values > 1).any()):
            raise InputError(f"{self.name}: a mask's values lie between 0 and 1")

    def __len__(self) -> int:
        """How many units are on at all."""
        return int((self.flat > 0).sum())

    @property
    def size(self) -> float:
        """The share of the units that is kept, each counted by its value."""
        return float(self.flat.mean())

    @property
    def kept(self) -> tuple[str, ...]:
        """Names of the units that are on at all."""
        return tuple(name for name, value in zip(self.names, self.flat.tolist(), strict=True) if value > 0)

    @property
    def is_binary(self) -> bool:
        """Whether every unit is on or off."""
        return bool(((self.flat == 0) | (self.flat == 1)).all())

    def __invert__(self) -> Mask:
        """The complement."""
        exists = self.units.exists(self.graph)
        return replace(self, values=(1 - self.values) * exists, name=f"not {self.name}")

    def __and__(self, other: Mask) -> Mask:
        """What both keep."""
        return self._with(other, torch.minimum, "and")

    def __or__(self, other: Mask) -> Mask:
        """What either keeps."""
        return self._with(other, torch.maximum, "or")

    def __sub__(self, other: Mask) -> Mask:
        """What this one keeps and the other does not."""
        return self._with(other, lambda mine, theirs: torch.minimum(mine, 1 - theirs), "without")

    def without(self, names: Iterable[str]) -> Mask:
        """The mask with these units off."""
        return self - mask_of(self.graph, self.units, names)

    def above(self, threshold: float) -> Mask:
        """On where more than the threshold is kept, off elsewhere."""
        return replace(self, values=(self.values > threshold).float())

    def overlap(self, other: Mask) -> float:
        """Jaccard index of the units that are on: shared over all; 1 if both are empty."""
        self._check(other)
        mine, theirs = self.flat > 0, other.flat > 0
        union = int((mine | theirs).sum())
        return int((mine & theirs).sum()) / union if union else 1.0

    def edges(self) -> Mask:
        """The edges that a mask of nodes implies: a node that is off is off for everything that reads it.

        Raises:
            InputError: a mask of neurons.
        """
        if self.units.grain == "edges":
            return self
        if self.units.grain == "neurons":
            raise InputError(
                "a mask of neurons implies no mask of edges, which end at whole feed-forward layers"
            )
        values = self.values[..., None] * self.graph.valid
        return Mask(self.graph, replace(self.units, grain="edges"), values, self.name)

    def nodes(self) -> Mask:
        """The nodes that have an edge in a mask of edges, each with the value of its strongest."""
        if self.units.grain != "edges":
            return self
        return Mask(self.graph, replace(self.units, grain="nodes"), self.values.amax(-1), self.name)

    def save(self, folder: str | Path) -> None:
        """Write ``mask.safetensors`` and ``mask.json``, which names graph, units and what made the mask."""
        folder = writable_folder(Path(folder))
        partial = folder / f"{VALUES}.partial"
        save_file({"values": self.values.contiguous()}, partial)
        partial.replace(folder / VALUES)
        described = {
            "format": 1,
            "name": self.name,
            "graph": asdict(self.graph),
            "units": asdict(self.units),
            "kept": len(self),
            "of": self.units.count(self.graph),
        }
        write_whole(folder / DESCRIPTION, json.dumps(described, indent=2) + "\n")

    def _with(self, other: Mask, of: Callable[[Tensor, Tensor], Tensor], how: str) -> Mask:
        self._check(other)
        return replace(self, values=of(self.values, other.values), name=f"{self.name} {how} {other.name}")

    def _check(self, other: Mask) -> None:
        if (self.graph, self.units) != (other.graph, other.units):
            raise InputError(
                f"'{self.name}' is over {self.units} of {self.graph}, '{other.name}' over {other.units} of"
                f" {other.graph}: masks of one model and one grain can be combined"
            )


def full_mask(graph: Graph, units: Units, value: float = 1.0) -> Mask:
    """Every unit kept to the same degree."""
    return Mask(graph, units, units.exists(graph) * value, "everything" if value == 1 else "mask")


def mask_of(graph: Graph, units: Units, names: Iterable[str], name: str = "mask") -> Mask:
    """The units with these names on, the others off.

    Raises:
        InputError: a name that is no unit of the graph.
    """
    wanted = set(names)
    every = units.names(graph)
    unknown = wanted.difference(every)
    if unknown:
        example = f"{every[0]}, {every[-1]}" if every else "none"
        raise InputError(
            f"no {units.grain} named '{min(unknown)}' in this model; it has, for example: {example}"
        )
    values = torch.zeros(units.shape(graph))
    values[units.exists(graph)] = torch.tensor([float(one in wanted) for one in every])
    return Mask(graph, units, values, name)


def random_mask(graph: Graph, units: Units, k: int, seed: int = 0) -> Mask:
    """So many units, drawn evenly without replacement."""
    values = torch.zeros(units.shape(graph))
    exists = units.exists(graph)
    drawn = torch.randn(int(exists.sum()), generator=torch.Generator().manual_seed(seed))
    values[exists] = drawn
    chosen = Scores(graph, units, values).top(k, signed=True)
    return replace(chosen, name="random")


def load_mask(folder: str | Path) -> Mask:
    """Read what ``Mask.save`` wrote.

    Raises:
        InputError: no mask there, or a broken one.
    """
    folder = Path(folder)
    try:
        described = json.loads((folder / DESCRIPTION).read_text())
        values = load_file(folder / VALUES)["values"]
        graph, units = Graph(**described["graph"]), Units(**described["units"])
        name = described["name"]
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise InputError(
            f"'{folder}' holds no mask that can be read ({DESCRIPTION} and {VALUES}): {type(error).__name__} {error}"
        ) from error
    return Mask(graph, units, values, name)
