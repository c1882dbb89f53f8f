"""What is packed comes back equal, shared once, and only as data."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save
from torch import Tensor

from ulterior.errors import InputError
from ulterior.serialise import pack, saved, unpack


@saved
@dataclass(frozen=True)
class Leaf:
    name: str
    value: float


@saved
@dataclass(frozen=True, eq=False)
class Tree:
    leaves: tuple[Leaf, ...]
    tensor: Tensor
    array: np.ndarray
    options: dict[str, Any]
    nothing: None = None


def through_disk(value: Any) -> Any:
    described, tensors = pack(value)
    return unpack(json.loads(json.dumps(described)), load(save(tensors)))


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
values = st.recursive(
    scalars | st.builds(Leaf, st.text(), st.floats()),
    lambda inner: st.lists(inner, max_size=4).map(tuple) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def same(a: Any, b: Any) -> bool:
    """Equal, with NaN equal to itself, and of one type all the way down."""
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return a == b or (math.isnan(a) and math.isnan(b))
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, Leaf):
        return same(a.name, b.name) and same(a.value, b.value)
    return a == b


@settings(deadline=None)
@given(values)
def test_any_tree_of_plain_values_comes_back_equal(value):
    assert same(through_disk(value), value)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.int64, torch.bool])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3)])
def test_tensors_come_back_to_the_bit_with_their_dtype(dtype, shape):
    tensor = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    again = through_disk(tensor)
    assert again.dtype == dtype
    assert torch.equal(again, tensor)


def test_a_saved_dataclass_comes_back_whole():
    tree = Tree((Leaf("a", 1.5), Leaf("b", math.inf)), torch.randn(3, 2), np.arange(3.0), {"k": (1, None)})
    again = through_disk(tree)
    assert isinstance(again, Tree)
    assert again.leaves == tree.leaves
    assert torch.equal(again.tensor, tree.tensor)
    np.testing.assert_array_equal(again.array, tree.array)
    assert again.options == tree.options


def test_a_tensor_in_several_places_is_stored_once_and_shared_again():
    tensor = torch.randn(4, 4)
    described, tensors = pack({"a": tensor, "b": (tensor,)})
    assert len(tensors) == 1
    again = unpack(described, tensors)
    assert again["a"] is again["b"][0]


def test_views_of_one_memory_are_told_apart():
    whole = torch.arange(6.0).reshape(2, 3)
    again = through_disk((whole, whole.T, whole[0], whole[:, 0]))
    for found, expected in zip(again, (whole, whole.T, whole[0], whole[:, 0]), strict=True):
        assert torch.equal(found, expected)


def test_what_cannot_be_saved_is_named_by_its_place():
    with pytest.raises(TypeError, match=r"value\.a\.1: a set cannot be saved"):
        pack({"a": (1, {2})})


def test_a_class_of_the_same_name_that_is_not_registered_is_refused():
    @dataclass(frozen=True)
    class Leaf:
        name: str

    with pytest.raises(TypeError, match="a Leaf cannot be saved"):
        pack(Leaf("a"))


def test_only_frozen_dataclasses_with_a_name_of_their_own_are_registered():
    with pytest.raises(TypeError, match="not a frozen dataclass"):

        @saved
        @dataclass
        class Loose:
            name: str

    with pytest.raises(TypeError, match="the name Leaf is taken"):

        @saved
        @dataclass(frozen=True)
        class Leaf:
            name: str


def test_a_file_can_name_no_class_that_is_not_registered():
    with pytest.raises(InputError, match="'Popen'"):
        unpack({"#": "Popen", "fields": {"args": "rm"}}, {})


def test_a_missing_tensor_and_fields_that_do_not_fit_are_named():
    described, tensors = pack(Tree((), torch.ones(2), np.ones(2), {}))
    with pytest.raises(InputError, match=r"lacks the tensor 'value\.tensor'"):
        unpack(described, {name: t for name, t in tensors.items() if name != "value.tensor"})
    del described["fields"]["options"]
    with pytest.raises(InputError, match="differs in options"):
        unpack(described, tensors)
