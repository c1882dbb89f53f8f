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


def test_readouts_stand_side_by_side_in_the_order_asked_for() -> None:
    model = nn.Sequential(nn.Linear(3, 4))
    subject = Subject.from_arrays(model)
    examples = Examples.of(x=np.random.default_rng(0).normal(size=(6, 3)))
    feature = outputs("logits", "behaviour")
    ((_, reading),) = read(subject, examples, [feature])
    values = reading[feature]["outputs"]
    assert isinstance(values, torch.Tensor)
    assert values.shape == (6, 5)
    with torch.no_grad():
        torch.testing.assert_close(values[:, :4], model(torch.tensor(examples["x"], dtype=torch.float32)))


def test_a_readout_that_the_subject_lacks_is_named_with_those_it_has() -> None:
    subject = Subject.from_arrays(nn.Sequential(nn.Linear(3, 4)))
    with pytest.raises(InputError, match="no readout 'sensors'; it has: behaviour, logits"):
        list(read(subject, Examples.of(x=np.ones((2, 3))), [outputs("behaviour", "sensors")]))


def test_the_behaviour_is_read_when_nothing_is_named() -> None:
    assert outputs() == outputs("behaviour")
