from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.families import tiny, tokenizer
from ulterior.errors import InputError
from ulterior.examples import Examples
from ulterior.subject import Batch, Encoded, RowError, Subject, arguments_of, device_of


def subject() -> Subject:
    return Subject.from_tokenizer(tiny("llama"), tokenizer())


def test_globs_select_canonical_sites_first_and_module_paths_where_none_fits() -> None:
    assert subject().select("resid.*") == ("resid.0", "resid.1")
    assert subject().select("*.q_proj") == (
        "model.layers.0.self_attn.q_proj",
        "model.layers.1.self_attn.q_proj",
    )
    assert subject().select("resid.1,lm_head") == ("resid.1", "lm_head")
    with pytest.raises(InputError, match=r"nearest is 'resid\.1'"):
        subject().select("resid.11")


def test_a_run_carries_a_graph_only_if_asked() -> None:
    one = subject()
    batch = one.collate(one.encode(Examples.of(text=["w1 w2"])))
    assert one.run(batch).logits.is_inference()
    with torch.no_grad():
        assert one.run(batch, grad=True).logits.requires_grad


def test_a_subject_of_parts_is_in_evaluation_mode_and_has_a_behaviour() -> None:
    one = subject()
    model = nn.Sequential(nn.Dropout()).train()
    made = Subject.of(model, encode=one.encode, collate=one.collate, readouts=one.readouts)
    assert made.name == "Sequential"
    assert not model.training
    with pytest.raises(InputError, match="need a 'behaviour'; given: other"):
        Subject.of(
            model, encode=one.encode, collate=one.collate, readouts={"other": one.readouts["behaviour"]}
        )


def test_a_batch_knows_its_number_of_examples() -> None:
    one = subject()
    assert len(one.collate(one.encode(Examples.of(text=["w1 w2", "w3", "w4"])))) == 3
    assert len(Batch({})) == 0


def test_a_shifted_row_error_names_the_row_of_the_whole_table() -> None:
    assert str(RowError(3, "is odd").shifted(100)) == "row 103 (counted from 0): is odd"


def test_sequences_cost_their_tokens() -> None:
    assert Encoded({"input_ids": torch.zeros(9)}, 9).cost == 9
    assert Encoded({"input_ids": torch.zeros(1)}, 1).cost == 1


def test_inputs_go_to_the_first_device_that_is_one() -> None:
    model = nn.Sequential(nn.Linear(1, 1, device="meta"), nn.Linear(1, 1))
    assert device_of(model) == torch.device("cpu")
    assert device_of(nn.ReLU()) == torch.device("cpu")
    assert device_of(tiny("bert")) == torch.device("cpu")


def test_arguments_are_those_that_forward_declares() -> None:
    assert arguments_of(nn.Linear(1, 1)) == ("input",)
    assert {"input_ids", "position_ids", "logits_to_keep"} <= set(arguments_of(tiny("gpt2")))
