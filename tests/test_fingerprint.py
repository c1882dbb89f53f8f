from __future__ import annotations

import copy

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from tests.families import tiny
from ulterior.fingerprint import fingerprint


def test_the_same_after_a_reload(tmp_path) -> None:
    model = tiny("qwen3")
    save_file(
        {name: tensor.clone() for name, tensor in model.state_dict().items()}, tmp_path / "w.safetensors"
    )
    again = type(model)(model.config)
    assert fingerprint(again) != fingerprint(model)
    again.load_state_dict(load_file(tmp_path / "w.safetensors"))
    assert fingerprint(again) == fingerprint(model)


def test_any_single_number_that_changes_is_noticed() -> None:
    model = copy.deepcopy(tiny("gpt2"))
    before = fingerprint(model)
    for parameter in model.parameters():
        flat = parameter.data.view(-1)
        place = int(torch.randint(len(flat), ()))
        old = float(flat[place])
        flat[place] = torch.nextafter(flat[place], torch.tensor(10.0))
        assert fingerprint(model) != before
        flat[place] = old
    assert fingerprint(model) == before


def test_a_tiny_step_of_training_on_one_layer_is_noticed() -> None:
    model = copy.deepcopy(tiny("llama"))
    before = fingerprint(model)
    optimizer = torch.optim.SGD(model.model.layers[1].mlp.parameters(), lr=1e-5)
    model(torch.randint(4, 99, (2, 7)), labels=torch.randint(4, 99, (2, 7))).loss.backward()
    optimizer.step()
    assert fingerprint(model) != before


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64, torch.complex128])
def test_dtype_counts(dtype: torch.dtype) -> None:
    assert fingerprint(nn.Linear(3, 3, dtype=dtype)) != fingerprint(nn.Linear(3, 3, dtype=torch.float32))


def test_names_and_shapes_count_also_of_empty_and_scalar_and_offloaded_tensors() -> None:
    found = set()
    for shape in ((), (0,), (1,), (1, 1), (0, 3)):
        for name in ("a", "b"):
            module = nn.Module()
            module.register_buffer(name, torch.zeros(shape))
            found.add(fingerprint(module))
    assert len(found) == 10
    assert fingerprint(nn.Linear(3, 3, device="meta")) != fingerprint(nn.Linear(3, 4, device="meta"))


def test_memory_layout_does_not_count() -> None:
    one, other = nn.Linear(6, 4), nn.Linear(6, 4)
    other.load_state_dict(one.state_dict())
    other.weight.data = other.weight.data.T.contiguous().T
    assert not other.weight.is_contiguous()
    assert fingerprint(one) == fingerprint(other)
