from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from ulterior.readouts import (
    answer_readouts,
    class_lead,
    class_logits,
    confidence,
    last_logits,
    pooled_norm,
    token_lead,
)
from ulterior.subject import Batch

LOGITS = torch.randn(3, 5, 7, generator=torch.Generator().manual_seed(0))
LAST = torch.tensor([[4], [2], [0]])
BATCH = Batch({}, None, {"last": LAST})
OUTPUT = SimpleNamespace(logits=LOGITS)
AT_LAST = torch.stack([LOGITS[0, 4], LOGITS[1, 2], LOGITS[2, 0]])


def test_last_logits_are_those_after_each_examples_own_last_token() -> None:
    assert torch.equal(last_logits(OUTPUT, BATCH), AT_LAST)
    only = SimpleNamespace(logits=AT_LAST[:, None])
    assert torch.equal(last_logits(only, BATCH), AT_LAST)


def test_confidence_is_the_log_probability_of_the_likeliest_token() -> None:
    expected = AT_LAST.double().softmax(1).amax(1).log()
    torch.testing.assert_close(confidence(OUTPUT, BATCH).double(), expected)


def test_answers_behave_by_the_difference_of_their_logits() -> None:
    readouts = answer_readouts(2, 6)
    assert torch.equal(readouts["answers"](OUTPUT, BATCH), AT_LAST[:, [2, 6]])
    assert torch.equal(readouts["behaviour"](OUTPUT, BATCH), AT_LAST[:, 2] - AT_LAST[:, 6])


@pytest.mark.parametrize("wrap", [lambda logits: logits, lambda logits: SimpleNamespace(logits=logits)])
def test_a_class_leads_by_the_log_ratio_of_its_probability_to_the_seconds(wrap) -> None:
    logits = AT_LAST.clone()
    logits[0] = 0.0  # a tie between all classes
    second, first = logits.double().softmax(1).sort(1).values[:, -2:].unbind(1)
    found = class_lead(wrap(logits), BATCH)
    torch.testing.assert_close(found.double(), (first / second).log(), rtol=1e-5, atol=1e-6)
    assert found[0] == 0


def test_a_token_leads_as_a_class_would() -> None:
    assert torch.equal(token_lead(OUTPUT, BATCH), class_lead(AT_LAST, BATCH))


def test_a_single_number_is_its_own_lead() -> None:
    for output in (AT_LAST[:, 0], AT_LAST[:, :1]):
        assert torch.equal(class_lead(output, BATCH), AT_LAST[:, 0])
        assert class_logits(output, BATCH).shape == (3, 1)


def test_pooled_norm_sees_tokens_and_not_padding() -> None:
    states = torch.randn(2, 4, 3)
    mask = torch.tensor([[True, True, False, False], [True, True, True, True]])
    output = SimpleNamespace(last_hidden_state=states)
    expected = torch.stack([states[0, :2].mean(0).norm(), states[1].mean(0).norm()])
    torch.testing.assert_close(pooled_norm(output, Batch({}, mask)), expected)
    torch.testing.assert_close(pooled_norm(output, Batch({})), states.mean(1).norm(dim=1))
