"""How well the network behind a detector measures, and where the bench says so."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.families import CONFIGS, tokenizer
from tests.measurement.readings import MARKER, rows
from tests.subjects import counted_subject
from ulterior.bench.measured import measurement_aurocs
from ulterior.measurement.data import TamperingData
from ulterior.measurement.evaluate import evaluate_predictor
from ulterior.measurement.folder import Description
from ulterior.measurement.predictor import MeasurementPredictor
from ulterior.measurement.subject import predictor_subject
from ulterior.measurement.two_heads import TwoHeaded, two_headed_subject


def predictor(n_sensors: int | None = 3):
    from transformers import LlamaForCausalLM

    torch.manual_seed(0)
    made = MeasurementPredictor(LlamaForCausalLM(CONFIGS["llama"]()), n_sensors).eval()
    with torch.no_grad():  # heads of all sensors alike would hide a mix-up of their columns
        made.sensor_heads.weight.mul_(20)
    return made, tokenizer(pad_token="<pad>"), Description(MARKER, n_sensors)


@pytest.mark.parametrize("various", [False, True])
def test_the_figures_are_those_of_the_evaluation_of_predictors(various):
    loaded = predictor(None if various else 3)
    examples = rows(70, 5, various=various)
    expected = evaluate_predictor(loaded, TamperingData("made", examples, examples, examples, MARKER))
    found = measurement_aurocs(predictor_subject(*loaded, name="tiny"), examples)
    assert list(found) == ["sensor_auroc", "all_auroc"]
    for name, estimate in found.items():
        assert estimate["value"] is not None
        np.testing.assert_allclose(
            [estimate[part] for part in ("value", "low", "high", "n")],
            [expected[name][part] for part in ("value", "low", "high", "n")],
            rtol=1e-3,
        )


def test_of_two_heads_the_first_is_judged():
    loaded = predictor()
    examples = rows(50, 6)
    plain = predictor_subject(*loaded, name="tiny")
    torch.manual_seed(1)
    two = two_headed_subject(TwoHeaded(loaded[0]), *loaded[1:], name="two")
    assert measurement_aurocs(two, examples) == measurement_aurocs(plain, examples)


def test_a_subject_that_measures_nothing_has_no_such_figures():
    assert measurement_aurocs(counted_subject(), rows(20, 7)) == {}
    loaded = predictor()
    renamed = replace(predictor_subject(*loaded, name="tiny"), readouts={"behaviour": lambda o, b: o[1]})
    assert measurement_aurocs(renamed, rows(20, 7))
