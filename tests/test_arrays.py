from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from ulterior.errors import InputError
from ulterior.examples import Examples
from ulterior.features.outputs import outputs
from ulterior.features.reading import read
from ulterior.subject import Subject


def output_of(subject: Subject, examples: Examples) -> torch.Tensor:
    ((_, reading),) = read(subject, examples, [outputs("logits")])
    values = reading[outputs("logits")]["outputs"]
    assert isinstance(values, torch.Tensor)
    return values


def test_vectors_flat_images_and_nested_images_reach_the_model_in_shape() -> None:
    pixels = np.random.default_rng(0).normal(size=(5, 1, 3, 4)).astype(np.float32)
    model = nn.Sequential(nn.Conv2d(1, 2, 2), nn.Flatten(), nn.Linear(12, 3))
    with torch.no_grad():
        expected = model(torch.tensor(pixels))
    flat = Examples.of(image=pixels.reshape(5, -1))
    torch.testing.assert_close(
        output_of(Subject.from_arrays(model, column="image", shape=(1, 3, 4)), flat), expected
    )
    nested = Examples.of(image=pixels.tolist())
    torch.testing.assert_close(output_of(Subject.from_arrays(model, column="image"), nested), expected)


def test_numbers_take_the_models_dtype() -> None:
    model = nn.Linear(1, 1).double()
    found = output_of(Subject.from_arrays(model, shape=(1,)), Examples.of(x=[1, 2]))
    assert found.shape == (2, 1)
    assert (
        Subject.from_arrays(nn.Flatten()).encode(Examples.of(x=[[1, 2]]))[0].inputs["input"].dtype
        == torch.float32
    )


def test_inputs_without_a_sequence_count_by_their_numbers() -> None:
    subject = Subject.from_arrays(nn.Flatten(), shape=(3, 32, 32))
    assert [one.cost for one in subject.encode(Examples.of(x=np.zeros((2, 3072))))] == [4, 4]
    assert subject.encode(Examples.of(x=np.zeros((2, 3072))))[0].length == 1


@pytest.mark.parametrize(
    ("values", "shape", "expected"),
    [
        ([[1.0, 2.0], [1.0]], None, r"row 1 .*expected an array of numbers of shape \(2,\) like row 0"),
        ([[1.0], None], None, r"row 1 .*'x' holds None"),
        (["a", "b"], None, r"row 0 .*'x' holds 'a'"),
        ([[1.0, 2.0]], (3,), r"shape \(2,\), not of \(3,\)"),
    ],
)
def test_what_is_no_array_is_one_clear_line(values, shape, expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        output_of(Subject.from_arrays(nn.Flatten(), shape=shape), Examples.of(x=values))


def test_a_model_that_names_no_argument_is_refused() -> None:
    class Anything(nn.Module):
        def forward(self, *args):
            return args

    with pytest.raises(InputError, match=r"Anything\.forward names no argument"):
        Subject.from_arrays(Anything())
