from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.families import CONFIGS, DECODERS, tiny
from ulterior.architectures import available_sites, find_anatomy, module_paths, projection_weight
from ulterior.sites import canonical_sites


@pytest.mark.parametrize("family", CONFIGS)
def test_every_family_is_known_with_any_head(family: str) -> None:
    heads = ("causal", "states") if family in DECODERS else ("classes", "states")
    for head in heads:
        assert available_sites(tiny(family, head)) == canonical_sites(2, 4)


@pytest.mark.parametrize("family", CONFIGS)
def test_the_projection_matrix_maps_heads_to_the_width(family: str) -> None:
    anatomy = find_anatomy(tiny(family))
    assert anatomy is not None
    for projection in anatomy.projections:
        weight = projection_weight(projection)
        assert weight is not None
        assert weight.shape[1] == 32
        z = torch.randn(5, weight.shape[0])
        bias = projection.bias if getattr(projection, "bias", None) is not None else 0.0
        torch.testing.assert_close(z @ weight + bias, projection(z))


@pytest.mark.parametrize(("family", "context"), [("llama", 64), ("gpt2", 64), ("bert", 64), ("roberta", 62)])
def test_the_context_leaves_room_for_positions_that_start_after_padding(family: str, context: int) -> None:
    anatomy = find_anatomy(tiny(family))
    assert anatomy is not None
    assert anatomy.context == context


def test_anything_else_has_its_module_paths() -> None:
    model = nn.Sequential(nn.Linear(1, 1), nn.Sequential(nn.ReLU(), nn.Linear(1, 1)))
    assert find_anatomy(model) is None
    assert available_sites(model) == module_paths(model) == ("0", "1", "1.0", "1.1")


def test_a_configuration_of_a_known_family_without_its_blocks_is_no_transformer() -> None:
    model = nn.Linear(2, 2)
    model.config = tiny("llama").config
    assert find_anatomy(model) is None


def test_offloaded_and_integer_weights_are_no_matrix_to_read() -> None:
    assert projection_weight(nn.Linear(2, 2, device="meta")) is None
    assert projection_weight(nn.Embedding(2, 2)) is None
    assert projection_weight(nn.ReLU()) is None
