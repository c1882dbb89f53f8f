"""The pixel baseline is the probabilistic PCA distance, and sees both what is inside and outside the components."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.scores.planted import fit, gaussian_rows
from ulterior.errors import InputError
from ulterior.metrics import auroc
from ulterior.scores.pixels import PixelSurface
from ulterior.serialise import pack, unpack

SCALES = np.array([5.0, 4.0, 3.0] + [0.5] * 9)


def test_it_equals_the_slow_formula_with_a_full_covariance(tmp_path) -> None:
    x, _ = gaussian_rows(400, SCALES, 0)
    fitted = fit(PixelSurface(0.9), {"reference": x}, tmp_path)
    rows = x.numpy()
    values, vectors = np.linalg.eigh(np.cov(rows.T, bias=True))
    k = int((np.cumsum(values[::-1]) / values.sum() < 0.9).sum()) + 1
    noise = values[:-k].mean()
    C = vectors[:, -k:] * (values[-k:] - noise) @ vectors[:, -k:].T + noise * np.eye(12)
    centred = rows - rows.mean(0)
    expected = np.einsum("ni,ij,nj->n", centred, np.linalg.inv(C), centred) / 12
    np.testing.assert_allclose(fitted(x), expected, rtol=1e-9)
    assert k == 3


@pytest.mark.parametrize("direction", [0, 11], ids=["inside", "outside"])
def test_a_shift_is_found_along_the_components_and_outside_them(tmp_path, direction: int) -> None:
    x, rotation = gaussian_rows(600, SCALES, 0)
    fitted = fit(PixelSurface(), {"reference": x}, tmp_path)
    fresh, _ = gaussian_rows(200, SCALES, 1)
    moved = fresh + 6 * SCALES[direction] * rotation[:, direction]
    labels = np.repeat([0, 1], 200)
    assert auroc(fitted(torch.cat([fresh, moved])).numpy(), labels).value > 0.95  # pyright: ignore
    again, _ = gaussian_rows(200, SCALES, 2)
    assert abs(auroc(fitted(torch.cat([fresh, again])).numpy(), labels).value - 0.5) < 0.08  # pyright: ignore


def test_a_pixel_that_is_always_black_counts_no_more_than_any_noise(tmp_path) -> None:
    x, _ = gaussian_rows(400, SCALES, 0)
    x[:, 0] = 0
    fitted = fit(PixelSurface(), {"reference": x}, tmp_path)
    barely = x[:1].clone()
    barely[0, 0] = 0.05
    assert float(fitted(barely) - fitted(x[:1])) < 0.1
    assert fitted(x).isfinite().all()


def test_adding_a_constant_and_another_scale_change_nothing(tmp_path) -> None:
    x, _ = gaussian_rows(300, SCALES, 0)
    here, there = (fit(PixelSurface(), {"reference": rows}, tmp_path) for rows in (x, 3 * x + 7))
    torch.testing.assert_close(there(3 * x + 7), here(x), rtol=1e-9, atol=1e-9)


def test_a_row_scores_alike_alone_and_after_it_was_saved(tmp_path) -> None:
    x, _ = gaussian_rows(300, SCALES, 0)
    fitted = fit(PixelSurface(), {"reference": x}, tmp_path)
    torch.testing.assert_close(fitted(x[5:6]), fitted(x)[5:6], rtol=1e-9, atol=1e-12)
    assert torch.equal(unpack(*pack(fitted))(x), fitted(x))
    assert unpack(*pack(PixelSurface(0.5))) == PixelSurface(0.5)


def test_images_that_are_all_alike_are_no_error(tmp_path) -> None:
    fitted = fit(PixelSurface(), {"reference": torch.full((20, 4), 0.5)}, tmp_path)
    assert fitted(torch.full((2, 4), 0.5)).tolist() == [0, 0]
    assert fitted(torch.rand(3, 4)).isfinite().all()


def test_a_share_that_is_none_and_a_single_pixel_are_refused(tmp_path) -> None:
    x, _ = gaussian_rows(30, SCALES, 0)
    with pytest.raises(InputError, match=r"explained=1\.5"):
        fit(PixelSurface(1.5), {"reference": x}, tmp_path)
    with pytest.raises(InputError, match="at least two numbers"):
        fit(PixelSurface(), {"reference": x[:, :1].contiguous()}, tmp_path)
