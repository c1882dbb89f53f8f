"""Which weights are moved, and in what units."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import Generator, nn

from tests.families import tiny
from ulterior.errors import InputError
from ulterior.reweighted.coordinates import chosen_names, coordinates


def small() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))


def test_the_origin_is_the_models_own_weights_to_the_bit_in_its_own_dtype():
    for model in (small(), deepcopy(tiny("llama")).to(torch.bfloat16)):
        space = coordinates(model, "all")
        for name, tensor in space.weights(space.own()).items():
            assert torch.equal(tensor, model.get_parameter(name))
            assert tensor.dtype == model.get_parameter(name).dtype


def test_one_unit_is_the_size_of_each_tensor_and_a_tensor_of_zeros_has_one_too():
    model = small()
    with torch.no_grad():
        model.get_parameter("0.bias").zero_()
        model.get_parameter("2.weight").mul_(100)
    space = coordinates(model, "all")
    moved = space.weights([torch.ones_like(u) for u in space.own()])
    for name, tensor in moved.items():
        own = model.get_parameter(name).detach()
        size = max(float(own.square().mean().sqrt()), 1e-2)
        torch.testing.assert_close(tensor - own, torch.full_like(own, size), rtol=1e-4, atol=1e-5)


def test_fresh_weights_have_the_spread_of_the_old_ones_and_nothing_else_of_them():
    model = nn.Sequential(nn.Linear(200, 100), nn.LayerNorm(100))
    space = coordinates(model, "all")
    fresh = space.weights(space.fresh(Generator().manual_seed(0)))
    old, new = model.get_parameter("0.weight"), fresh["0.weight"]
    assert new.std().item() == pytest.approx(old.std().item(), rel=0.05)
    assert torch.corrcoef(torch.stack([old.flatten(), new.flatten()]))[0, 1].abs() < 0.03
    torch.testing.assert_close(fresh["1.weight"], torch.ones(100))
    again = space.weights(space.fresh(Generator().manual_seed(0)))
    assert all(torch.equal(fresh[name], again[name]) for name in fresh)


def test_parts_are_all_the_last_blocks_or_globs_of_names():
    model = small()
    assert chosen_names(model, "last:2") == ("2.weight", "2.bias", "4.weight", "4.bias")
    assert chosen_names(model, "*.bias") == ("0.bias", "2.bias", "4.bias")
    assert len(chosen_names(model, "last:9")) == len(chosen_names(model, "all")) == 6
    llama = tiny("llama")
    last = chosen_names(llama, "last:1")
    assert not any("embed_tokens" in name or "layers.0" in name for name in last)
    assert {name.split(".")[1] for name in last if name.startswith("model")} == {"layers", "norm"}
    assert chosen_names(model.requires_grad_(False), "all") == chosen_names(small(), "all")


def test_a_large_model_is_changed_in_its_last_part_unless_asked_otherwise(monkeypatch):
    assert len(chosen_names(small())) == 6
    monkeypatch.setattr("ulterior.reweighted.coordinates.SMALL", 10)
    assert chosen_names(small()) == ("4.weight", "4.bias")
    assert len(chosen_names(small(), "all")) == 6


def test_parts_that_are_not_there_and_models_without_weights_are_named():
    with pytest.raises(InputError, match=r"no parameter of this model is called nothing\*"):
        chosen_names(small(), "nothing*")
    with pytest.raises(InputError, match="say last:2"):
        chosen_names(small(), "last:two")
    frozen = nn.Sequential(nn.ReLU())
    with pytest.raises(InputError, match="no weights that could be moved"):
        coordinates(frozen)
    with pytest.raises(InputError, match="no weights that could be moved"):
        coordinates(nn.Linear(2, 2, device="meta"))
