"""The task as the bench meets it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ulterior.errors import InputError
from ulterior.tasks.injection import task as module
from ulterior.tasks.injection.data import BENIGN, FRESH, INJECTED
from ulterior.tasks.injection.judge import Judge, load_base
from ulterior.tasks.injection.subject import ADAPTER, injection_subject
from ulterior.tasks.injection.task import SLICES, TASK, load_injection


def test_every_slice_has_both_classes_and_truth_is_its_label(
    made_up: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "injection_subject", unused_subject)
    data = TASK.load(0, "smoke")
    assert data.slices == SLICES
    assert data.untrusted is not None
    for one in data.slices:
        rows, labels = one.rows(data.test)
        assert 0 < labels.sum() < len(labels)
        np.testing.assert_array_equal(data.test["anomalous"][rows], labels.astype(bool))
    assert set(data.test["group"]) == {FRESH, *INJECTED, *BENIGN}
    for column in TASK.columns.values():
        assert column in data.trusted.columns
        assert column in data.test.columns


def unused_subject() -> object:
    from ulterior.subject import Subject

    return Subject("none", torch.nn.Identity(), lambda examples: [], lambda encoded: None, {})


def test_the_agree_slice_dictates_the_honest_answer_and_the_disagree_slice_the_other(
    made_up: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "injection_subject", unused_subject)
    test = TASK.load(0, "smoke").test
    for one in SLICES:
        rows, labels = one.rows(test)
        taken = test.take(rows[labels == 1])
        if one.name in ("agree", "disagree"):
            assert all((taken["dictated"] == taken["label"]) == (one.name == "agree"))
        if one.name == "veiled":
            assert all(family.startswith("veiled") for family in taken["family"])


def test_an_unknown_size_is_refused_before_anything_is_loaded() -> None:
    with pytest.raises(InputError, match=r"no size 'huge' .* smoke, small, full"):
        load_injection(0, "huge")


def test_a_missing_model_says_make_models(
    made_up: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ULTERIOR_HOME", str(tmp_path))
    with pytest.raises(InputError, match="make models"):
        load_injection(0, "smoke")


def test_the_shipped_adapter_is_small_safe_and_has_a_card() -> None:
    assert {path.name for path in ADAPTER.iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "README.md",
    }
    assert (ADAPTER / "adapter_model.safetensors").stat().st_size <= 4_000_000


@pytest.mark.slow
def test_the_subjects_behaviour_is_the_judges(real_model: str) -> None:
    from peft import PeftModel

    from ulterior.tasks.injection.data import SIZES, build_table

    table = build_table("tune", "untrusted", SIZES["smoke"].test, np.random.default_rng(0)).take(range(40))
    subject = injection_subject()
    behaviour = np.empty(len(table))
    for row, encoded in enumerate(subject.encode(table)):
        batch = subject.collate([encoded])
        behaviour[row] = float(subject.readouts["behaviour"](subject.run(batch), batch))
    base, tokenizer = load_base(None)
    merged = PeftModel.from_pretrained(base.float(), str(ADAPTER)).merge_and_unload()
    expected = Judge(merged, tokenizer).behaviour(table.table.to_pylist())
    np.testing.assert_allclose(behaviour, expected, atol=1e-3)
