"""Training of the small models: exact after an interruption, and what `correct` counts."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from ulterior.errors import InputError
from ulterior.tasks.procedural import recall, training
from ulterior.tasks.procedural import train as command
from ulterior.tasks.procedural.language import Language
from ulterior.tasks.procedural.quirky import LANGUAGE, PLANTED, draw
from ulterior.tasks.procedural.training import Recipe, correct, train_small
from ulterior.tasks.procedural.ways import elsewhere
from ulterior.tasks.scratch import Architecture, untrained

TINY = Recipe(
    Architecture(width=16, layers=1, heads=2, mlp=32, vocabulary=len(LANGUAGE.number), context=32),
    steps=8,
    batch=32,
)


def _weights(model) -> torch.Tensor:
    return torch.cat([weight.detach().flatten() for weight in model.parameters()])


def test_a_run_that_is_killed_goes_on_and_ends_with_the_same_weights(tmp_path, monkeypatch):
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    whole = train_small(TINY, PLANTED.learned, tmp_path / "whole", seed=0, save_every=3)

    class KilledError(Exception):
        pass

    def killing(model, drawn, seen=[], loss=training._loss):  # noqa: B006
        seen.append(1)
        if len(seen) == 6:
            raise KilledError
        return loss(model, drawn)

    monkeypatch.setattr(training, "_loss", killing)
    with pytest.raises(KilledError):
        train_small(TINY, PLANTED.learned, tmp_path / "killed", seed=0, save_every=3)
    monkeypatch.undo()
    resumed = train_small(TINY, PLANTED.learned, tmp_path / "killed", seed=0, save_every=3)
    assert torch.equal(_weights(whole), _weights(resumed))


def test_training_makes_the_answers_more_likely(tmp_path):
    drawn = draw(np.random.default_rng(9), 500, np.arange(256))
    before = training._loss(untrained(TINY.architecture), drawn).item()
    model = train_small(replace(TINY, steps=60, batch=64), PLANTED.learned, tmp_path, seed=0)
    assert training._loss(model, drawn).item() < before - 0.7


def test_correct_is_what_generating_one_word_after_another_finds():
    torch.manual_seed(0)
    model = untrained(TINY.architecture).eval()
    drawn = draw(np.random.default_rng(0), 40, np.arange(256))
    drawn.ids[::2, -1] = [
        int(model(input_ids=torch.from_numpy(row[None, :-1])).logits[0, -1].argmax())
        for row in drawn.ids[::2]
    ]
    found = correct(model, drawn, batch=7)
    assert found[::2].all()
    assert not found[1::2].all()


def test_elsewhere_means_the_same_end_behind_another_front_that_lacks_what_is_sought():
    drawn = recall.draw(np.random.default_rng(0), 400, recall.PASSING, listed=True)
    moved = elsewhere(drawn, 3, np.random.default_rng(1))
    assert np.array_equal(moved.ids[:, -4:], drawn.ids[:, -4:])
    key = drawn.ids[:, -3]
    assert (drawn.ids[:, :-4] == key[:, None]).any(1).all()
    assert not (moved.ids[:, :-4] == key[:, None]).any()
    fronts = {tuple(row) for row in drawn.ids[:, :-4].tolist()}
    assert all(tuple(row) in fronts for row in moved.ids[:, :-4].tolist())


def test_words_are_tokens_and_texts_come_back(tmp_path):
    drawn = draw(np.random.default_rng(0), 20, np.arange(256))
    tokenizer = LANGUAGE.tokenizer()
    assert tokenizer(LANGUAGE.texts(drawn.ids))["input_ids"] == drawn.ids.tolist()
    table = drawn.examples(LANGUAGE, "some")
    assert " ".join([table["text"][3], table["answer"][3]]) == LANGUAGE.texts(drawn.ids)[3]
    assert Language(("a", "b")).numbers(("b", "a")).tolist() == [3, 2]


@pytest.mark.parametrize("name", command.PLANTED)
def test_the_command_makes_a_model_its_figures_and_its_card(name, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(command, "JUDGED", 50)
    monkeypatch.setattr("ulterior.tasks.procedural.ways.N", 50)
    config = command.TrainProcedural(task=name, out=tmp_path, mode="smoke")
    command.main(config)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert set(metrics["right"]) == set(command.PLANTED[name].judged)
    assert json.loads(capsys.readouterr().out.split("model ->")[0]) == metrics["right"]
    card = (tmp_path / "README.md").read_text()
    assert f"ulterior train procedural --task {name} --out DIR" in card
    assert all(f"| {kind} |" in card for kind in metrics["right"])
    with pytest.raises(InputError, match="another task, recipe or seed"):
        command.main(replace(config, seed=1))
