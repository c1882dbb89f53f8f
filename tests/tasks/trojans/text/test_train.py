"""The trojans that ship are made by the command, and are those of the tasks."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tasks.texts.stand_ins import packaged_bert
from ulterior.cli import main
from ulterior.tasks.classifiers import kept
from ulterior.tasks.classifiers.training import Training
from ulterior.tasks.texts import classifier
from ulterior.tasks.texts.encoders import Pretrained
from ulterior.tasks.trojans.poison import Trojan
from ulterior.tasks.trojans.text import train
from ulterior.tasks.trojans.text.recipe import TextRecipe, lesson, trojaned_network
from ulterior.tasks.trojans.text.triggers import Word


@pytest.fixture
def recipe(tmp_path: Path, review_table: Path, monkeypatch: pytest.MonkeyPatch) -> TextRecipe:
    monkeypatch.setenv("ULTERIOR_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("ulterior.tasks.texts.reviews.packaged", lambda: review_table)
    monkeypatch.syspath_prepend(tmp_path / "site")
    bert = packaged_bert(tmp_path / "site", ["a warm film", "a dull film"])
    recipe = TextRecipe(Trojan(Word(), 0.1), Pretrained(bert, adapted=1, rank=2), Training(steps=2, batch=8))
    monkeypatch.setattr(train, "SHIPPED", {"tiny": recipe})
    return recipe


def test_the_command_makes_what_a_task_then_finds(
    recipe: TextRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "shipped"
    assert main(["train", "trojans", "--out", str(out), "--seeds", "2"]) == 0
    assert {path.name for path in out.iterdir()} == {
        "index.json",
        "tiny-0.safetensors",
        "tiny-1.safetensors",
    }
    assert main(["train", "trojans", "--out", str(out), "--seeds", "2"]) == 0
    assert capsys.readouterr().out.count("(was there)") == 2
    learned = trojaned_network(recipe, 1)
    monkeypatch.setattr(kept, "SHIPPED", out)
    monkeypatch.setattr(classifier, "train_classifier", None)
    monkeypatch.setenv("ULTERIOR_HOME", str(tmp_path / "another home"))
    texts = ["a warm film", "a cf dull film"]
    assert trojaned_network(recipe, 1).logits(texts).equal(learned.logits(texts))


@pytest.mark.usefixtures("real_reviews")
def test_the_trojans_that_ship_are_those_of_the_tasks() -> None:
    assert len(kept._index(kept.SHIPPED)) == 3 * len(train.SHIPPED)
    for task, recipe in train.SHIPPED.items():
        taught = lesson(recipe, 0)
        path = kept._shipped(taught.encoder, taught.description)
        assert path is not None
        assert path == kept.SHIPPED / f"{task}-0.safetensors"
        assert path.is_file()
