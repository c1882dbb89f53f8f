"""A reweighted subject: its own weights stay, whatever happens in the middle of a pass."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import torch

from tests.families import tiny, tokenizer
from tests.reweighted.gated import gated, readouts, rows, state, untouched
from ulterior.errors import InputError
from ulterior.examples import Examples
from ulterior.reweighted.coordinates import coordinates
from ulterior.reweighted.subject import Seen, reweighted, see
from ulterior.subject import Subject


def moved(subject: Subject, by: float) -> dict[str, torch.Tensor]:
    space = coordinates(subject.model, "all")
    return space.weights([torch.full_like(u, by) for u in space.own()])


def difference(own: Seen, other: Seen) -> torch.Tensor:
    a, b = (one.output if isinstance(one.output, torch.Tensor) else one.output.logits for one in (own, other))
    return (b - a).flatten(1).square().mean(1)[:, None]


def beside(subject: Subject, *by: float):
    return reweighted(
        subject, [moved(subject, one) for one in by], difference, {"moved": lambda found: found[:, :, 0]}
    )


def test_each_of_the_weights_is_run_as_if_the_model_had_them_and_its_own_output_is_as_before():
    subject, examples = gated(), rows(20, 0)
    both = beside(subject, 0.0, 0.3)
    found = readouts(both, examples, "moved", "behaviour", "logits")
    own = readouts(subject, examples, "behaviour", "logits")
    assert torch.equal(found["behaviour"], own["behaviour"])
    assert torch.equal(found["moved"][:, 0], torch.zeros(20))
    copied = gated()
    with torch.no_grad():
        for name, tensor in moved(subject, 0.3).items():
            copied.model.get_parameter(name).copy_(tensor)
    expected = (readouts(copied, examples, "logits")["logits"] - own["logits"]).square().mean(1)
    torch.testing.assert_close(found["moved"][:, 1], expected)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_the_models_weights_are_the_same_tensors_after_any_interruption(error):
    for at in (1, 2):
        subject = gated(fails_at=at, error=error)
        before = state(subject)
        batch = subject.collate(subject.encode(rows(4, 0)))
        with pytest.raises(error):
            beside(subject, 0.5).run(batch)
        assert untouched(before, subject)
        assert not any(tensor.requires_grad for tensor in subject.model.parameters())


def test_language_models_run_with_other_weights_tied_ones_too():
    model: Any = deepcopy(tiny("llama"))
    model.config.tie_word_embeddings = True
    model.tie_weights()
    subject = Subject.from_tokenizer(model, tokenizer(pad_token="<pad>"))
    before = state(subject)
    examples = Examples.of(text=["w1 w2 w3", "w4"])
    batch = subject.collate(subject.encode(examples))
    changed = {"model.embed_tokens.weight": torch.zeros_like(model.get_input_embeddings().weight)}
    assert see(subject, batch, changed).output.logits.abs().max() == 0
    assert untouched(before, subject)
    assert readouts(beside(subject, 0.0), examples, "moved")["moved"].abs().max() == 0


def test_sites_are_refused_and_weights_show_in_the_fingerprint():
    subject = gated()
    assert beside(subject, 0.1).fingerprint() != beside(subject, 0.2).fingerprint()
    assert beside(subject, 0.1).fingerprint() == beside(subject, 0.1).fingerprint()
    with pytest.raises(InputError, match="no one activation at a site"):
        beside(subject, 0.1).select("usual")
    with pytest.raises(InputError, match="give at least one"):
        beside(subject)
