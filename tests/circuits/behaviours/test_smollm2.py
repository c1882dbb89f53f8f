"""A real model does the behaviours: where it has been prepared, SmolLM2-135M prefers the right answer."""

from __future__ import annotations

import pytest
import torch

from ulterior.circuits.behaviours.making import behaviour_pairs
from ulterior.circuits.metrics import logit_difference
from ulterior.circuits.pairs import text_pairs
from ulterior.circuits.streams import run_model
from ulterior.errors import InputError
from ulterior.models import resolve_model
from ulterior.subject import Subject

# The least share of 24 pairs whose logit difference is on the right side; an attractor misleads so small a model.
LEAST = {
    "indirect_object": 0.9,
    "greater_than": 0.9,
    "agreement": 0.9,
    "agreement_attractor": 0.6,
    "induction": 0.9,
}


@pytest.fixture(scope="module")
def subject() -> Subject:
    try:
        return Subject.from_pretrained(resolve_model())
    except InputError as error:
        pytest.skip(str(error))


@pytest.mark.slow
@pytest.mark.parametrize("name", LEAST)
def test_smollm2_prefers_the_right_answer_after_the_clean_text_and_the_other_after_the_corrupted(
    name, subject
):
    pairs = text_pairs(subject, behaviour_pairs(name, subject, 24, seed=1))
    clean, corrupted = (
        torch.cat(
            [logit_difference(run_model(subject, batch.clean), batch) for batch in side.batches(subject)]
        )
        for side in (pairs, pairs.flipped())
    )
    assert float((clean > 0).float().mean()) >= LEAST[name]
    if name != "greater_than":  # after a year that ends in 01, the answers of the clean text are right, too
        assert float((corrupted > 0).float().mean()) >= LEAST[name]
