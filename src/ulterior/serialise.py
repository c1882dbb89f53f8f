"""Frozen values to JSON and tensors, and back, bit for bit. Nothing is ever unpickled.

A fitted detector is a tree of frozen dataclasses whose leaves are numbers, strings and tensors. ``pack`` cuts
it into a JSON value and a flat dictionary of tensors (what safetensors can hold); ``unpack`` grows the same
tree again. Only classes that were registered with ``saved`` can come back, so a file can name data, never
code.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from ulterior.errors import InputError

T = TypeVar("T")

_classes: dict[str, type] = {}
_KIND = "#"


def saved(cls: type[T]) -> type[T]:
    """Register a frozen dataclass under its own name, so that it can be packed and unpacked.

    Raises:
        TypeError: the class is not a frozen dataclass, or another class holds the name.
    """
    if not dataclasses.is_dataclass(cls) or not cls.__dataclass_params__.frozen:  # pyright: ignore
        raise TypeError(f"{cls.__name__} is not a frozen dataclass")
    known = _classes.setdefault(cls.__name__, cls)
    if (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
        raise TypeError(f"the name {cls.__name__} is taken by {known.__module__}.{known.__qualname__}")
    _classes[cls.__name__] = cls
    return cls


def pack(value: Any) -> tuple[Any, dict[str, Tensor]]:
    """Cut a value into (a JSON value, its tensors by name).

    Understands None, booleans, integers, floats (infinite and NaN too), strings, tuples, dictionaries with
    string keys, tensors, numeric numpy arrays and ``saved`` dataclasses. A tensor that stands in several
    places is stored once, and is one tensor again after ``unpack``.

    Raises:
        TypeError: a value of any other kind, named by its place in the tree.
    """
    tensors: dict[str, Tensor] = {}
    names: dict[tuple, str] = {}

    def store(key: tuple, tensor: Tensor, path: str) -> str:
        if key not in names:
            names[key] = path
            # A tensor of its own: safetensors refuses two that share memory.
            tensors[path] = tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        return names[key]

    def walk(node: Any, path: str) -> Any:
        if node is None or isinstance(node, bool | int | str):
            return node
        if isinstance(node, float):
            return float(node) if math.isfinite(node) else {_KIND: "float", "value": repr(float(node))}
        if isinstance(node, Tensor):
            key = (
                (node.data_ptr(), node.dtype, tuple(node.shape), tuple(node.stride()))
                if node.numel()
                else (path,)
            )
            return {_KIND: "tensor", "name": store(key, node, path)}
        if isinstance(node, np.ndarray) and node.dtype.kind in "biuf":
            tensor = torch.from_numpy(np.array(node))
            return {_KIND: "array", "name": store(("array", id(node)), tensor, path)}
        if isinstance(node, tuple):
            return {_KIND: "tuple", "items": [walk(item, f"{path}.{i}") for i, item in enumerate(node)]}
        if isinstance(node, Mapping) and all(isinstance(key, str) for key in node):
            return {_KIND: "dict", "items": {key: walk(item, f"{path}.{key}") for key, item in node.items()}}
        if _classes.get(type(node).__name__) is type(node):
            own = [field.name for field in dataclasses.fields(type(node))]  # pyright: ignore
            fields = {name: walk(getattr(node, name), f"{path}.{name}") for name in own}
            return {_KIND: type(node).__name__, "fields": fields}
        raise TypeError(f"{path}: a {type(node).__name__} cannot be saved")

    return walk(value, "value"), tensors


def unpack(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    """Grow the value again that ``pack`` cut into ``(value, tensors)``.

    Raises:
        InputError: a class that is not registered, a tensor that is missing, or fields that do not fit.
    """
    if not isinstance(value, Mapping):
        return value
    kind = value.get(_KIND)
    if kind == "float":
        return float(value["value"])
    if kind in ("tensor", "array"):
        name = value["name"]
        if name not in tensors:
            raise InputError(f"the saved file lacks the tensor {name!r}: it is incomplete")
        return tensors[name] if kind == "tensor" else tensors[name].numpy()
    if kind == "tuple":
        return tuple(unpack(item, tensors) for item in value["items"])
    if kind == "dict":
        return {key: unpack(item, tensors) for key, item in value["items"].items()}
    cls = _classes.get(kind) if isinstance(kind, str) else None
    if cls is None:
        raise InputError(
            f"the saved file holds a {kind!r}, which this version of ulterior does not know; if it is a class of"
            " your own, import its module before you load the file"
        )
    fields = {key: unpack(item, tensors) for key, item in value["fields"].items()}
    expected = {field.name for field in dataclasses.fields(cls)}
    if set(fields) != expected:
        wrong = sorted(expected ^ set(fields))
        raise InputError(
            f"the saved {kind} does not fit this version of ulterior: differs in {', '.join(wrong)}"
        )
    return cls(**fields)
