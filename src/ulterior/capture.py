"""Read and replace activations while a model runs, with plain forward hooks that are always removed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ulterior.architectures import Anatomy, find_anatomy, projection_weight
from ulterior.errors import InputError
from ulterior.sites import parse_site

Replacement = Tensor | Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Place:
    """Where a site lives: a module and which end of it.

    Attributes:
        module: The module that is hooked.
        end: ``input``, ``output``, or ``copy``: the output, kept apart from what goes on through the model because
            later code may change that in place.
        heads: ``(head, n_heads)`` if the site is one head's share of the module's output.
    """

    module: nn.Module
    end: str
    heads: tuple[int, int] | None = None

    @property
    def key(self) -> tuple[int, str]:
        """What is stored for this place: all heads of a layer share one stored tensor."""
        return id(self.module), "input" if self.heads else self.end


class Captured:
    """The activations of the last forward pass at the captured sites.

    Nothing is computed before it is asked for. A module that runs several times in one forward pass leaves
    its last output.
    """

    def __init__(self, places: Mapping[str, Place]) -> None:
        self._places = dict(places)
        self._stored: dict[tuple[int, str], Tensor] = {}

    @property
    def sites(self) -> tuple[str, ...]:
        """The captured sites, in the order in which they were asked for."""
        return tuple(self._places)

    def __getitem__(self, site: str) -> Tensor:
        """The activation at a site: ``[batch, seq, d]`` at canonical sites, whatever the module returns at others.

        Raises:
            InputError: the site was not captured, or its module has not run.
        """
        place = self._place(site)
        stored = self._stored[place.key]
        return _head_share(stored, place.module, place.heads) if place.heads else stored

    def at(self, site: str, index: Int[Tensor, "n k"]) -> Float[Tensor, "n k d"]:
        """The activation at some positions only: row i at positions ``index[i]``.

        Positions are selected before a head's matrix product, so a few of them cost little.
        """
        place = self._place(site)
        stored = self._stored[place.key]
        index = index.to(stored.device)
        chosen = stored[torch.arange(len(stored), device=stored.device)[:, None], index]
        return _head_share(chosen, place.module, place.heads) if place.heads else chosen

    def stored(self, site: str) -> Tensor:
        """What the hook kept: the site's activation, or for a head all heads side by side, ``[batch, seq, width]``."""
        return self._stored[self._place(site).key]

    def block(self, site: str) -> slice:
        """The columns of ``stored`` that are the site's own: a head's among all heads, everything elsewhere."""
        place = self._place(site)
        if place.heads is None:
            return slice(None)
        head, n_heads = place.heads
        width = self._stored[place.key].shape[-1] // n_heads
        return slice(head * width, (head + 1) * width)

    def detach(self) -> None:
        """Cut what is stored from the graph that it was computed in."""
        self._stored = {key: value.detach() for key, value in self._stored.items()}

    def _place(self, site: str) -> Place:
        if site not in self._places:
            raise InputError(f"site '{site}' was not captured; captured: {', '.join(self._places) or 'none'}")
        place = self._places[site]
        if place.key not in self._stored:
            raise InputError(
                f"site '{site}' did not run in the forward pass, so there is nothing to read at it"
            )
        return place

    def _keep(self, key: tuple[int, str], value: Tensor) -> None:
        self._stored[key] = value


@contextmanager
def capture(model: nn.Module, sites: Sequence[str]) -> Iterator[Captured]:
    """Capture activations at the sites in every forward pass inside the ``with`` block.

    Args:
        model: Any module; canonical names need a known transformer in it.
        sites: Canonical names or module paths (globs are resolved by ``match_sites``).

    Raises:
        InputError: the model has no such site, or heads cannot be told apart (quantised or offloaded weights).

    Example:
        >>> model = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
        >>> with capture(model, ["0"]) as captured:
        ...     out = model(torch.ones(4, 2))
        >>> captured["0"].shape
        torch.Size([4, 3])
    """
    places = _locate(model, sites)
    captured = Captured(places)
    with ExitStack() as stack:
        for key, place in {place.key: place for place in places.values()}.items():
            stack.callback(_add_reader(place, key, captured).remove)
        yield captured


@contextmanager
def patch(model: nn.Module, values: Mapping[str, Replacement]) -> Iterator[None]:
    """Replace activations in every forward pass inside the ``with`` block.

    A tensor replaces the activation as it is; a function is called with the activation and returns the new one.
    Replacing a head's share changes its layer's attention output by the difference. Sites are patched in the
    order given where several meet in one module.

    Raises:
        InputError: the model has no such site, or a replacement has another shape.
    """
    places = _locate(model, list(values))
    with ExitStack() as stack:
        for site, place in places.items():
            stack.callback(_add_writer(place, site, values[site]).remove)
        yield


def _locate(model: nn.Module, sites: Sequence[str]) -> dict[str, Place]:
    anatomy = find_anatomy(model)
    return {site: _place_of(site, model, anatomy) for site in sites}


def _place_of(name: str, model: nn.Module, anatomy: Anatomy | None) -> Place:
    site = parse_site(name) if anatomy else None
    if site is None or anatomy is None:
        try:
            return Place(model.get_submodule(name), "copy")
        except AttributeError:
            raise InputError(
                f"this model has no site '{name}': neither a canonical name nor a module path"
            ) from None
    if site.layer >= len(anatomy.blocks) or site.head >= anatomy.n_heads:
        size = f"{len(anatomy.blocks)} blocks of {anatomy.n_heads} heads"
        raise InputError(f"this model has no site '{name}': it has {size}, counted from 0")
    if site.kind == "head":
        projection = anatomy.projections[site.layer]
        if projection_weight(projection) is None:
            raise InputError(
                f"site '{name}' needs the weight of the attention's output projection, which is here"
                f" {type(projection).__name__}: quantised, offloaded, or under an adapter that is not merged"
            )
        return Place(projection, "output", (site.head, anatomy.n_heads))
    if site.kind == "embed":
        return Place(anatomy.blocks[0], "input")
    if site.kind == "final":
        return Place(anatomy.final, "output")
    parts = {"resid": anatomy.blocks, "attn": anatomy.projections, "mlp": anatomy.mlps}[site.kind]
    return Place(parts[site.layer], "output")


def _head_share(
    z: Float[Tensor, "*batch heads_width"], projection: nn.Module, heads: tuple[int, int]
) -> Float[Tensor, "*batch d"]:
    head, n_heads = heads
    weight = projection_weight(projection)
    if weight is None:
        raise InputError(
            "the attention's output projection was quantised or wrapped after its heads were captured"
        )
    width = weight.shape[0] // n_heads
    columns = slice(head * width, (head + 1) * width)
    return z[..., columns] @ weight[columns]


def _add_reader(place: Place, key: tuple[int, str], captured: Captured) -> Any:
    if key[1] == "input":

        def read_input(module: nn.Module, args: tuple, kwargs: dict) -> None:
            captured._keep(key, first_argument(args, kwargs))

        return place.module.register_forward_pre_hook(read_input, with_kwargs=True)

    def read_output(module: nn.Module, args: tuple, output: Any) -> Any:
        value = _first_tensor(output)
        if place.end == "copy" and value.requires_grad:
            # The copy goes on, so that what is kept has a gradient.
            captured._keep(key, value)
            return _with_first_tensor(output, value.clone())
        captured._keep(key, value.clone() if place.end == "copy" else value)
        return None

    return place.module.register_forward_hook(read_output)


def _add_writer(place: Place, site: str, new: Replacement) -> Any:
    if place.end == "input":

        def write_input(module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
            return with_first_argument(args, kwargs, _replace(first_argument(args, kwargs), new, site))

        return place.module.register_forward_pre_hook(write_input, with_kwargs=True)

    def write_output(module: nn.Module, args: tuple, kwargs: dict, output: Any) -> Any:
        old = _first_tensor(output)
        if place.heads is None:
            return _with_first_tensor(output, _replace(old, new, site))
        share = _head_share(first_argument(args, kwargs), module, place.heads)
        return _with_first_tensor(output, old + (_replace(share, new, site) - share))

    return place.module.register_forward_hook(write_output, with_kwargs=True)


def _replace(old: Tensor, new: Replacement, site: str) -> Tensor:
    value = new if isinstance(new, Tensor) else new(old)
    if value.shape != old.shape:
        raise InputError(
            f"the replacement at site '{site}' has shape {tuple(value.shape)}, the activation {tuple(old.shape)}"
        )
    return value.to(old)


def first_argument(args: tuple, kwargs: dict) -> Tensor:
    """What a hooked module takes as its activation, by position or by name."""
    return args[0] if args else next(value for value in kwargs.values() if isinstance(value, Tensor))


def with_first_argument(args: tuple, kwargs: dict, value: Tensor) -> tuple[tuple, dict]:
    """What a hooked module takes, with another activation in place of its own."""
    if args:
        return (value, *args[1:]), kwargs
    name = next(name for name, given in kwargs.items() if isinstance(given, Tensor))
    return args, {**kwargs, name: value}


def _first_tensor(output: Any) -> Tensor:
    return output if isinstance(output, Tensor) else _find_tensor(output)[1]


def _with_first_tensor(output: Any, value: Tensor) -> Any:
    if isinstance(output, Tensor):
        return value
    place, _ = _find_tensor(output)
    if isinstance(output, (tuple, list)):
        changed = [value if number == place else given for number, given in enumerate(output)]
        return type(output)(*changed) if hasattr(output, "_fields") else type(output)(changed)
    return dataclasses.replace(output, **{place: value}) if _is_record(output) else {**output, place: value}


def _find_tensor(output: Any) -> tuple[Any, Tensor]:
    """The first tensor of a structured output, and its key, field name or number."""
    if _is_record(output):
        items = [(field.name, getattr(output, field.name)) for field in dataclasses.fields(output)]
    elif isinstance(output, dict):
        items = list(output.items())
    else:
        items = list(enumerate(output)) if isinstance(output, (tuple, list)) else []
    for place, value in items:
        if isinstance(value, Tensor):
            return place, value
    raise InputError(
        f"a module's output of type {type(output).__name__} holds no tensor that could be a site"
    )


def _is_record(output: Any) -> bool:
    return dataclasses.is_dataclass(
        output
    )  # as the outputs of transformers are, though they are dictionaries too
