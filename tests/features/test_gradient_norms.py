"""Gradient norms are the lengths of what autograd gives one example at a time."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn

from tests.features.planted_paths import GROWTH, SEPARATE, SHARED, paths_subject, paths_texts
from tests.features.test_reading import gathered
from tests.test_serialise import through_disk
from ulterior.examples import Examples, concat
from ulterior.features.attributions import EVERYWHERE
from ulterior.features.gradient_norms import gradient_norms, log_length
from ulterior.subject import Subject


def test_they_equal_one_backward_an_example_and_an_output() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2))
    x = torch.randn(6, 3)
    found = gathered(
        Subject.from_arrays(model), Examples.of(x=x.numpy()), [gradient_norms("0, 1", of="logits")]
    )["gradient_norms"]
    for row in range(6):
        first = model[0](x[row]).detach().requires_grad_()
        second = model[1](first)
        for column in range(2):
            gradients = torch.autograd.grad(model[2](second)[column], [first, second], retain_graph=True)
            for site in range(2):
                expected = math.log(gradients[site].norm())
                np.testing.assert_allclose(found[row, 2 * site + column], expected, rtol=1e-5)


def test_they_depend_on_neither_batch_nor_order_and_heads_have_their_own() -> None:
    subject, feature = paths_subject(), gradient_norms(EVERYWHERE, of="sensors")
    examples = concat([paths_texts(SHARED, 6), paths_texts(SEPARATE, 6, seed=1)])
    alone = gathered(subject, examples, [feature], batch_tokens=1)["gradient_norms"]
    together = gathered(subject, examples, [feature], batch_tokens=1000)["gradient_norms"]
    np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-5)
    order = np.random.default_rng(0).permutation(12)
    shuffled = gathered(subject, examples.take(order), [through_disk(feature)])["gradient_norms"]
    np.testing.assert_allclose(shuffled, alone[order], rtol=1e-5, atol=1e-5)
    head = gathered(subject, examples, [gradient_norms("head.2.*", of="sensors")])["gradient_norms"]
    weight = subject.model.get_parameter("layers.2.self_attn.o_proj.weight").detach()
    attention = subject.model.get_parameter("heads.weight").detach() * GROWTH**2
    for sensor in range(2):
        each = [(attention[sensor] @ weight)[4 * number : 4 * number + 4].norm().log() for number in range(2)]
        np.testing.assert_allclose(head[:, sensor::2], np.tile(each, (12, 1)), rtol=1e-5)


def test_an_output_that_does_not_depend_on_a_site_has_the_shortest_gradient_there() -> None:
    shortest = log_length(torch.zeros(2, 3))
    assert shortest.isfinite().all()
    assert (shortest < log_length(torch.full((2, 3), 1e-15))).all()
    assert torch.equal(log_length(torch.tensor([[3.0, 4.0]])), torch.tensor([5.0]).log())
