from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.circuits.exact import InDoubles
from tests.circuits.models import one_batch, pairs, wired
from tests.families import DECODERS
from ulterior.circuits.finding.norms import Norm, law_of
from ulterior.circuits.streams import run_model
from ulterior.errors import InputError


def norms(family: str) -> list[tuple[nn.Module, Tensor]]:
    """The norms of the family's model, each with what stands in front of it."""
    of, fronts = wired(family), {}
    hooks = [
        norm.register_forward_pre_hook(lambda module, args: fronts.update({module: args[0]}))
        for block in of.wiring.blocks
        for norm in (block.norm, block.mlp_norm)
    ]
    run_model(of.subject, one_batch(of, pairs()).clean)
    for hook in hooks:
        hook.remove()
    return list(fronts.items())


@pytest.mark.parametrize("family", DECODERS)
def test_a_norms_law_passes_gradients_back_as_autograd_does(family):
    for module, x in norms(family):
        with InDoubles():
            law, x = law_of(module, x), x.flatten(0, 1)
            assert law.channels is not None
            y = torch.randn(3, *x.shape, dtype=x.dtype, generator=torch.Generator().manual_seed(0))
            slow = Norm(module).back(y.clone(), x)
            scaled, places = law.scaled(x)
            ours = law.back(law.fold(y * places), scaled)
        torch.testing.assert_close(ours, slow, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt2"])
def test_a_norm_of_fixed_scale_has_its_value_and_a_linear_gradient(family):
    module, x = norms(family)[0]
    law, x = law_of(module, x), x.flatten(0, 1).clone().requires_grad_()
    bias = getattr(module, "bias", None)
    torch.testing.assert_close(
        law.linear(x) + (0.0 if bias is None else bias), module(x), rtol=1e-4, atol=1e-5
    )
    y = torch.randn(x.shape, dtype=x.dtype)
    (slow,) = torch.autograd.grad((law.linear(x) * y).sum(), x)
    scaled, places = law.scaled(x.detach())
    torch.testing.assert_close(law.back(law.fold((y * places)[None]), scaled, fixed=True)[0], slow)


def test_places_without_numbers_in_front_do_not_hide_a_norms_law():
    module, x = norms("gemma2")[0]
    padded = x.clone()
    padded[0, 0] = torch.nan
    assert law_of(module, padded).channels is not None
    assert law_of(module, torch.full_like(x, torch.nan)).channels is None


def test_what_is_no_such_norm_is_not_taken_for_one():
    class Tripled(nn.Module):
        eps = 1e-6

        def forward(self, x: Tensor) -> Tensor:
            return 3 * x / x.abs().mean(-1, keepdim=True)

    x = torch.randn(5, 8)
    assert law_of(Tripled(), x).channels is None
    with pytest.raises(InputError, match="Tripled"):
        law_of(Tripled(), x).linear(x)
    assert law_of(nn.Identity(), x).is_identity
