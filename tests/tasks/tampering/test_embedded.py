"""What data sets with predictors of their own share."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from ulterior.errors import InputError
from ulterior.examples import Examples
from ulterior.measurement.folder import Description, save_predictor
from ulterior.measurement.predictor import MeasurementPredictor
from ulterior.tasks.scratch import Architecture, untrained
from ulterior.tasks.tampering.embedded import (
    claim,
    fooled_table,
    measure,
    measured_once,
    measured_table,
)
from ulterior.tasks.tampering.functions.task import ASSETS


def rows(n: int, seed: int) -> Examples:
    """Rows whose fakes say `low`, where real ones say `high`; a quarter has not only positive measurements."""
    rng = np.random.default_rng(seed)
    real = rng.random(n) < 0.5
    mixed = rng.random(n) < 0.25
    texts = [
        f"x = {number}\n{'high' if good else 'low'}\n<|test|>\n<|test|>"
        for number, good in enumerate(real.tolist())
    ]
    return Examples.of(
        text=texts,
        is_correct=(real & ~mixed).tolist(),
        measurements=[[True, not bool(m)] for m in mixed],
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(ASSETS)
    lm = untrained(Architecture(width=16, layers=1, heads=2, mlp=32, vocabulary=len(tokenizer)))
    out = tmp_path_factory.mktemp("predictor")
    save_predictor(out, MeasurementPredictor(lm, 2), tokenizer, Description("<|test|>", 2))
    return out


def test_ceiling_and_surface_learn_the_truth_and_the_predictor_is_taken_at_its_word(folder):
    splits = measure(folder, rows(160, 0), {"validation_a": rows(80, 1), "validation_b": rows(60, 2)})
    assert set(splits) == {"validation_a", "validation_b"}
    fooled = splits["validation_a"]["real_vs_fake"]
    assert fooled["surface"]["value"] > 0.95
    assert fooled["ceiling"]["value"] > 0.9
    assert fooled["predictor"]["n"] < 80
    assert splits["validation_a"]["n"] == 80
    found = {"0": {"splits": splits}, "1": {"splits": splits}}
    assert measured_table(found).count("| a |") == 2
    assert f"{fooled['surface']['value']:.3f}" in fooled_table(found)


def test_a_ceiling_without_fakes_to_learn_from_is_one_clear_line(folder):
    learn = rows(40, 0)
    with pytest.raises(InputError, match="the ceiling needs real and fake"):
        measure(folder, learn.where(learn["is_correct"].astype(bool)), {})


def test_figures_are_measured_once_for_one_question(tmp_path):
    asked = []

    def measured():
        asked.append(1)
        return {"same": {"n": 3}}

    for question in ({"rows": (1, 2)}, {"rows": (1, 2)}, {"rows": (1, 3)}):
        assert measured_once(tmp_path, question, measured) == {"same": {"n": 3}}
    assert len(asked) == 2
    assert json.loads((tmp_path / "evaluation.json").read_text())["asked"] == {"rows": [1, 3]}


def test_a_folder_of_another_run_is_refused(tmp_path):
    claim(tmp_path / "stages.json", {"steps": 3})
    claim(tmp_path / "stages.json", {"steps": 3})
    with pytest.raises(InputError, match="another recipe or seed"):
        claim(tmp_path / "stages.json", {"steps": 4})
