"""The task and the weights that are shipped with it."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from ulterior.errors import InputError
from ulterior.measurement.data import all_positive, checked_measurements
from ulterior.measurement.evaluate import measurement_metrics, predict
from ulterior.measurement.folder import load_predictor
from ulterior.tasks.tampering.functions.card import card
from ulterior.tasks.tampering.functions.data import make_split
from ulterior.tasks.tampering.functions.kinds import held_out
from ulterior.tasks.tampering.functions.task import (
    ASSETS,
    PREDICTORS,
    SLICES,
    STATEMENTS,
    TASK,
    functions_subject,
    holdout_of,
    load,
    predictor_of,
)


@pytest.fixture(scope="module")
def smoke():
    return load(3, "smoke")


@pytest.fixture(scope="module")
def metrics():
    return json.loads((ASSETS / "metrics.json").read_text())


def test_the_shipped_files_are_small_and_complete():
    sizes = {path.name: path.stat().st_size for path in ASSETS.iterdir() if path.is_file()}
    assert {"model.safetensors", "config.json", "tokenizer.json", "README.md", "metrics.json"} <= set(sizes)
    assert sum(path.stat().st_size for path in ASSETS.rglob("*") if path.is_file()) <= 5 * 2**20
    assert sorted(path.name for path in (ASSETS / "seeds").iterdir()) == [str(n) for n in range(PREDICTORS)]


@pytest.mark.parametrize("seed", map(str, range(PREDICTORS)))
def test_every_shipped_predictor_predicts_and_its_inside_knows_more_than_it_says(metrics, seed):
    same = metrics["predictors"][seed]["splits"]["validation_same"]
    assert same["sensor_auroc"]["value"] >= 0.75
    fooled = same["real_vs_fake"]
    assert fooled["predictor"]["value"] < fooled["ceiling"]["value"]
    assert fooled["surface"]["high"] < fooled["ceiling"]["low"]


def test_the_card_says_what_was_measured(metrics):
    assert (ASSETS / "README.md").read_text() == card(metrics)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 4])
def test_the_shipped_weights_reach_the_figures_of_their_card_on_other_programs(metrics, seed):
    rows = make_split("validation_same", 240, seed=77, holdout=holdout_of(seed))
    outputs = predict(*load_predictor(predictor_of(seed)), list(rows["text"]))
    found = measurement_metrics(outputs, checked_measurements(rows))
    card = metrics["predictors"][str(seed)]["splits"]["validation_same"]
    for name in ("sensor_auroc", "sensor_accuracy", "all_auroc"):
        # Both are estimates, of a few hundred rows each.
        assert found[name]["low"] <= card[name]["high"]
        assert card[name]["low"] <= found[name]["high"]


def test_seeds_have_other_predictors_and_hold_out_other_functions(smoke, problems):
    first, second = (load_predictor(predictor_of(seed))[0].state_dict() for seed in (0, 1))
    name = "lm.model.layers.2.mlp.up_proj.weight"
    assert not first[name].equal(second[name])
    assert predictor_of(PREDICTORS + 1) == predictor_of(1)
    names = tuple(problem.name for problem in problems)
    used = {name for part in (smoke.trusted, smoke.untrusted) for name in part["function"]}
    assert not used & held_out(names, "functions", holdout_of(3))
    assert used & held_out(names, "functions", holdout_of(0))


def test_the_subject_gives_the_predictors_own_numbers(smoke):
    subject = functions_subject(3)
    rows = smoke.test.take(range(12))
    batch = subject.collate(subject.encode(rows))
    output = subject.run(batch)
    predictor, tokenizer, description = load_predictor(predictor_of(3))
    expected = predict(predictor, tokenizer, description, list(rows["text"]))
    behaviour = subject.readouts["behaviour"](output, batch)
    torch.testing.assert_close(behaviour, torch.from_numpy(expected.aggregate_logits), atol=1e-4, rtol=1e-4)
    marker = tokenizer.convert_tokens_to_ids(description.marker)
    assert (batch.inputs["input_ids"].gather(1, batch.positions["sensors"]) == marker).all()
    assert set(TASK.sites.split(",")) <= {*subject.sites()}


def test_only_all_positive_rows_are_tested_and_groups_say_what_they_are(smoke):
    test = smoke.test
    assert all_positive(test).all()
    assert set(test["group"]) == {"trusted", "real", "fake"}
    assert (test["anomalous"] == (test["group"] == "fake")).all()
    assert (test["outcome"] == (test["group"] != "fake")).all()
    assert ((test["tampering"] != "") == (test["group"] == "fake")).all()
    assert not test["lucky"].any()
    rows, labels = smoke.slices[0].rows(test)
    assert len(rows) == 80
    assert labels.sum() == 40
    assert [one.name for one in smoke.slices] == ["training difficulty", "all"]
    assert len(SLICES) == 3
    for column in TASK.columns.values():
        assert all(column in part.columns for part in (smoke.trusted, smoke.untrusted, test))


def test_test_rows_are_in_no_training_set(smoke):
    train = set(smoke.trusted["text"]) | set(smoke.untrusted["text"])
    assert not train & set(smoke.test["text"])


def test_truth_marks_untrusted_fakes_and_lucky_ones_only(smoke):
    rows = smoke.untrusted
    fake = np.all(rows["measurements"], axis=1) & (rows["tampering"] != "")
    assert fake.sum() == 12
    assert (rows["anomalous"].astype(bool) == fake | rows["lucky"].astype(bool)).all()
    assert not smoke.trusted["anomalous"].any()


def test_an_unknown_size_is_one_clear_line():
    with pytest.raises(
        InputError, match="no size 'huge' of the task functions; there are: smoke, small, full"
    ):
        load(0, "huge")


@pytest.mark.slow
def test_other_seeds_make_other_rows_and_the_same_seed_the_same(smoke):
    assert load(3, "smoke").test.table.equals(smoke.test.table)
    assert not set(load(4, "smoke").test["text"]) & set(smoke.test["text"])


def test_the_statements_of_contrast_pairs_fit_a_program_and_part_at_one_word():
    _, tokenizer, description = load_predictor(predictor_of(0))
    for text in make_split("trusted", 4, 0, 0)["text"]:
        good, bad = (tokenizer(text + said).input_ids for said in (STATEMENTS.good, STATEMENTS.bad))
        alone = tokenizer(text).input_ids
        assert alone == good[: len(alone)] == bad[: len(alone)]
        assert tokenizer.unk_token_id not in good + bad
        assert max(len(good), len(bad)) <= description.max_length
