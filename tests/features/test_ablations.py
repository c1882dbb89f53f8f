"""What takes an activation's place is what a loop over trusted tokens says, whatever the batches."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.test_serialise import through_disk
from ulterior.errors import InputError
from ulterior.features.ablations import (
    LEAST,
    POSITIONS,
    Ablation,
    ReplacementFitter,
    Span,
    Table,
    ablation_of,
)
from ulterior.features.feature import Tokens

D = 5


def examples(n: int = 30, seed: int = 0) -> list[torch.Tensor]:
    """Tokens ``[length, d]`` of ``n`` examples, with a large mean and unequal spreads."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, 9, (n,), generator=generator).tolist()
    spread = torch.tensor([9.0, 3.0, 1.0, 0.3, 0.1])
    return [7 + spread * torch.randn(length, D, generator=generator) for length in lengths]


def fitted(ablation: Ablation, rows: list[torch.Tensor], batches: list[np.ndarray]):
    fitter = ReplacementFitter(ablation)
    for batch in batches:
        owner = torch.repeat_interleave(torch.tensor([len(rows[row]) for row in batch]))
        fitter.update(batch, {"site": Tokens(torch.cat([rows[row] for row in batch]), owner)})
    return fitter.finish()["site"]


WHOLE = [np.arange(30)]


def test_the_mean_over_tokens_is_that_of_a_loop() -> None:
    rows = examples()
    total = sum(token.double() for row in rows for token in row)
    mean = total / sum(map(len, rows))
    found = fitted(Ablation("mean"), rows, WHOLE)
    x = torch.randn(2, 3, D)
    torch.testing.assert_close(
        found.difference(x, torch.arange(3)[None]), x - mean.float(), rtol=1e-6, atol=1e-6
    )


def test_the_mean_at_a_position_is_that_of_the_tokens_there_and_the_overall_one_where_few_are() -> None:
    rows = examples()
    found = fitted(Ablation("mean", over="position"), rows, WHOLE)
    overall = torch.cat(rows).double().mean(0)
    here = torch.zeros(1, 12, D)
    got = -found.difference(here, torch.arange(12)[None])[0]
    seen = []
    for place in range(12):
        there = [row[place] for row in rows if len(row) > place]
        seen.append(len(there))
        expected = torch.stack(there).double().mean(0) if len(there) >= LEAST else overall
        torch.testing.assert_close(got[place], expected.float(), rtol=1e-6, atol=1e-6)
    assert max(seen) >= LEAST > min(seen)
    assert POSITIONS > 12


def test_a_resampled_token_is_one_of_the_trusted_and_a_resampled_example_is_one_of_them_from_its_start() -> (
    None
):
    rows = examples()
    drawn = fitted(Ablation("resample"), rows, WHOLE)
    pool = torch.cat(rows)
    assert isinstance(drawn, Table)
    assert all((pool == vector).all(1).any() for vector in drawn.vectors)
    assert len(drawn.vectors.unique(dim=0)) == len(drawn.vectors) == 64
    whole = fitted(Ablation("resample", over="position"), rows, WHOLE)
    assert isinstance(whole, Table)
    length = len(whole.vectors)
    assert any(len(row) == length and torch.equal(row, whole.vectors) for row in rows)
    again = -whole.difference(torch.zeros(1, 2 * length, D), torch.arange(2 * length)[None])[0]
    assert torch.equal(again, torch.cat([whole.vectors, whole.vectors]))
    others = [fitted(Ablation("resample", seed=seed), rows, WHOLE).vectors for seed in (0, 1)]
    assert torch.equal(others[0], drawn.vectors)
    assert not torch.equal(others[1], drawn.vectors)


@pytest.mark.parametrize("few", [True, False])
def test_what_pcs_take_away_is_the_part_along_the_leading_singular_vectors(few: bool) -> None:
    rows = examples(1)[:1] if few else examples()
    rows = [rows[0][:4]] if few else rows  # fewer tokens than coordinates, or more
    found = fitted(Ablation("pcs", components=2), rows, [np.arange(len(rows))])
    pool = torch.cat(rows).double()
    _, _, right = np.linalg.svd((pool - pool.mean(0)).numpy())
    along = torch.from_numpy(right[:2].T @ right[:2]).float()
    x = 7 + torch.randn(3, 2, D)
    expected = (x - pool.mean(0).float()) @ along
    torch.testing.assert_close(found.difference(x, torch.arange(2)[None]), expected, rtol=1e-4, atol=1e-4)


def test_where_trusted_tokens_do_not_differ_pcs_take_nothing_away() -> None:
    rows = [torch.full((3, D), 2.5)] * 4
    found = fitted(Ablation("pcs"), rows, [np.arange(4)])
    assert isinstance(found, Span)
    assert found.directions.shape == (D, 0)
    assert (found.difference(torch.randn(2, 3, D), torch.arange(3)[None]) == 0).all()


@pytest.mark.parametrize(
    "ablation",
    [
        Ablation("mean"),
        Ablation("mean", over="position"),
        Ablation("resample"),
        Ablation("resample", over="position"),
        Ablation("pcs", components=3),
    ],
)
def test_neither_batches_nor_order_matter_and_the_disk_changes_no_bit(ablation: Ablation) -> None:
    rows = examples()
    order = np.random.default_rng(0).permutation(30)
    whole, pieces = fitted(ablation, rows, WHOLE), fitted(ablation, rows, np.split(order, 6))
    x, number = torch.randn(4, 6, D), torch.arange(6)[None]
    torch.testing.assert_close(
        pieces.difference(x, number), whole.difference(x, number), rtol=1e-5, atol=1e-5
    )
    assert torch.equal(through_disk(whole).difference(x, number), whole.difference(x, number))


def test_an_ablation_that_is_not_known_is_one_clear_line() -> None:
    with pytest.raises(InputError, match="'pcs' takes one or more components over 'tokens', not 0"):
        ablation_of(Ablation("pcs", components=0))
    with pytest.raises(InputError, match="not 10 over 'position'"):
        ablation_of(Ablation("pcs", over="position"))
    unknown = Ablation("mean")
    object.__setattr__(unknown, "kind", "median")  # past the checks of types, which users do not have
    with pytest.raises(InputError, match="no ablation 'median' over 'tokens'; give 'zero'"):
        ablation_of(unknown)
    assert ablation_of("mean") == Ablation("mean")
