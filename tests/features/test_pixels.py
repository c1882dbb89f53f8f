"""Pixels are handed on as they are, and the model does not run for them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ulterior.errors import InputError
from ulterior.examples import Examples
from ulterior.features.pixels import pixels
from ulterior.features.reading import read
from ulterior.serialise import pack, unpack
from ulterior.subject import Subject


class Never(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise AssertionError("the model was run")


def pixels_of(examples: Examples, column: str = "x") -> Tensor:
    ((_, reading),) = read(Subject.from_arrays(Never()), examples, [pixels(column)])
    return torch.as_tensor(reading[pixels(column)]["pixels"])


def test_arrays_come_out_flat_in_float32_and_the_model_does_not_run() -> None:
    x = np.random.default_rng(0).random((5, 2, 3)).astype(np.float32)
    np.testing.assert_array_equal(pixels_of(Examples.of(x=x.reshape(5, -1))), x.reshape(5, -1))
    np.testing.assert_array_equal(pixels_of(Examples.of(x=x)), x.reshape(5, -1))
    assert pixels_of(Examples.of(image=[0.5, 1.0]), "image").tolist() == [[0.5], [1.0]]


@pytest.mark.parametrize("x", [["a", "b"], [[1.0, 2.0], [1.0]], [[1.0], None]])
def test_what_is_no_array_is_named(x: list) -> None:
    with pytest.raises(InputError, match="column 'x' does not hold an array of numbers of one size"):
        pixels_of(Examples.of(x=x))


def test_it_is_a_value_that_hashes_and_is_saved() -> None:
    assert unpack(*pack(pixels("y"))) == pixels("y")
    assert len({pixels(), pixels(), pixels("y")}) == 2
