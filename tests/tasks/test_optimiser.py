"""The optimiser of base models against the field's own, and against what it promises."""

from __future__ import annotations

import pytest
import torch

from ulterior.tasks.optimiser import Muon, orthogonal


@pytest.mark.parametrize("shape", [(3, 8, 8), (2, 6, 20), (2, 20, 6)])
def test_an_update_has_singular_values_about_one_and_the_same_singular_vectors(shape):
    torch.manual_seed(0)
    matrices = torch.randn(shape)
    found = orthogonal(matrices)
    values = torch.linalg.svdvals(found)
    assert 0.5 < values.min() <= values.max() < 1.35
    U, _, Vh = torch.linalg.svd(matrices, full_matrices=False)
    inside = U.mT @ found @ Vh.mT
    torch.testing.assert_close(inside, torch.diag_embed(inside.diagonal(dim1=1, dim2=2)), atol=1e-3, rtol=0)


def test_matrices_taken_together_are_each_treated_alone():
    torch.manual_seed(0)
    matrices = torch.randn(5, 7, 9)
    alone = torch.cat([orthogonal(one[None]) for one in matrices])
    torch.testing.assert_close(orthogonal(matrices), alone)


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch.optim.Muon came with torch 2.9")
def test_steps_equal_torchs_own_to_the_precision_of_its_bfloat16():
    torch.manual_seed(0)
    ours, theirs = (
        [torch.nn.Parameter(torch.ones(12, 20)), torch.nn.Parameter(torch.ones(16, 4))] for _ in "ab"
    )
    first = Muon(ours, lr=0.01, weight_decay=0.1)
    second = torch.optim.Muon(theirs, lr=0.01, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    for _ in range(4):
        for a, b in zip(ours, theirs, strict=True):
            a.grad = torch.randn_like(a)
            b.grad = a.grad.clone()
        first.step()
        second.step()
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, atol=2e-3, rtol=0)
        assert (a - b).norm() < 0.03 * (a - 1).norm()
