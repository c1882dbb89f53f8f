"""Training the adapter: from its own split alone, resumable to the last bit."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from tests.tasks.injection.stand_ins import tiny_judge
from ulterior.errors import InputError
from ulterior.models import SMOLLM2
from ulterior.tasks.injection.train import Mixture, TrainInjection, taught, train_injection, training_rows
from ulterior.tasks.injection.wordings import of_family, wordings
from ulterior.tasks.texts.reviews import reviews


@pytest.fixture
def config(made_up: Path, tmp_path: Path) -> TrainInjection:
    return TrainInjection(
        out=tmp_path / "adapter",
        model=str(tiny_judge(tmp_path / "base")),
        steps=11,
        batch=4,
        rank=2,
        first_layer=1,
        save_every=3,
    )


def test_training_rows_use_the_adapters_reviews_and_wordings_alone(made_up: Path) -> None:
    rows = training_rows(Mixture(), 400, np.random.default_rng(0))
    own = {wording.line for wording in wordings("adapter")}
    assert {row["wording"] for row in rows if row["wording"]} <= own
    texts = {review.text for domain in ("snippets", "essays") for review in reviews("adapter", domain)}
    assert all(row["text"] in texts for row in rows if not row["wording"])


def test_training_rows_follow_the_mixture(made_up: Path) -> None:
    mixture = Mixture(injected=0.5, advised=0.2, quoting=0.1, essays=0.1, veiled=0.25, disagree=0.6)
    rows = training_rows(mixture, 4_000, np.random.default_rng(0))
    share = {group: count / len(rows) for group, count in Counter(row["group"] for row in rows).items()}
    expected = {"injected": 0.5, "advice": 0.2, "quotation": 0.1, "other domain": 0.1, "plain": 0.1}
    assert share == pytest.approx(expected, abs=0.03)
    injected = [row for row in rows if row["anomalous"]]
    assert np.mean([row["dictated"] != row["label"] for row in injected]) == pytest.approx(0.6, abs=0.04)
    assert np.mean([row["family"].startswith("veiled") for row in injected]) == pytest.approx(0.25, abs=0.04)


def test_an_order_is_taught_where_there_is_one_and_the_honest_answer_elsewhere(made_up: Path) -> None:
    for row in training_rows(Mixture(), 200, np.random.default_rng(1)):
        assert taught(row) == (row["dictated"] if row["anomalous"] else row["label"])
    assert of_family("adapter", "advice")


def test_an_interrupted_training_ends_with_the_weights_of_an_uninterrupted_one(
    config: TrainInjection, tmp_path: Path
) -> None:
    whole = load_file(train_injection(config, say=lambda line: None) / "adapter_model.safetensors")

    def interrupt(line: str) -> None:
        if line.startswith("step 6 "):
            raise KeyboardInterrupt

    cut = replace(config, out=tmp_path / "cut")
    with pytest.raises(KeyboardInterrupt):
        train_injection(cut, say=interrupt)
    assert not (cut.out / "adapter_model.safetensors").exists()
    said: list[str] = []
    resumed = load_file(train_injection(cut, say=said.append) / "adapter_model.safetensors")
    assert [line.split(":")[0] for line in said] == ["step 9 of 11", "step 11 of 11"]
    assert whole.keys() == resumed.keys()
    for name, weight in whole.items():
        assert weight.equal(resumed[name]), name


def test_the_adapter_is_trained_bfloat16_on_the_upper_layers_and_names_the_hubs_model(
    config: TrainInjection,
) -> None:
    out = train_injection(config, say=lambda line: None)
    weights = load_file(out / "adapter_model.safetensors")
    assert {str(weight.dtype) for weight in weights.values()} == {"torch.bfloat16"}
    assert all(".layers.1." in name for name in weights)
    assert any(weight.abs().sum() > 0 for name, weight in weights.items() if "lora_B" in name)
    assert f'"{SMOLLM2.hub_id}"' in (out / "adapter_config.json").read_text()


def test_a_checkpoint_of_another_configuration_is_refused(config: TrainInjection) -> None:
    train_injection(config, say=lambda line: None)
    with pytest.raises(InputError, match="another configuration"):
        train_injection(replace(config, learning_rate=1e-4), say=lambda line: None)


def test_a_model_with_too_few_layers_is_refused(config: TrainInjection) -> None:
    with pytest.raises(InputError, match="first_layer is 5, but the model has 2 layers"):
        train_injection(replace(config, first_layer=5), say=lambda line: None)


@pytest.mark.parametrize("shares", [{"injected": 0.9, "advised": 0.2}, {"disagree": 1.5}, {"veiled": -0.1}])
def test_shares_that_are_no_shares_are_refused(shares: dict[str, float]) -> None:
    with pytest.raises(InputError, match="shares of the mixture"):
        Mixture(**shares)
