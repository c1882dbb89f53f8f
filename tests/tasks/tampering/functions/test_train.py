"""The whole training, in its smoke mode."""

from __future__ import annotations

import json

import pytest

from ulterior.errors import InputError
from ulterior.measurement.folder import load_predictor
from ulterior.tasks.tampering.functions.train import TrainFunctions, main

FILES = ("model.safetensors", "tokenizer.json", "metrics.json", "README.md")
ADAPTER = "adapter_model.safetensors"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "out"
    main(TrainFunctions(out, mode="smoke", predictors=2))
    return out


def test_smoke_mode_trains_saves_measures_and_writes_a_card(run):
    metrics = json.loads((run / "metrics.json").read_text())
    assert list(metrics["predictors"]) == ["0", "1"]
    for found in metrics["predictors"].values():
        assert set(found["splits"]) == {"validation_same", "validation_held_out"}
    card = (run / "README.md").read_text()
    assert f"{metrics['headline']['sensor_auroc']['value']:.3f}" in card
    assert "ulterior train functions" in card


def test_a_finished_run_is_left_as_it_is_and_another_refused(run, capsys):
    files = [run / name for name in (*FILES, f"seeds/0/{ADAPTER}", f"seeds/1/{ADAPTER}")]
    before = [file.read_bytes() for file in files]
    main(TrainFunctions(run, mode="smoke", predictors=2))
    assert [file.read_bytes() for file in files] == before
    assert "measurement predictors ->" in capsys.readouterr().out
    with pytest.raises(InputError, match="another recipe or seed"):
        main(TrainFunctions(run, mode="smoke", seed=1))
    with pytest.raises(InputError, match="--predictors is 0"):
        main(TrainFunctions(run, mode="smoke", predictors=0))


@pytest.mark.slow
def test_the_same_command_gives_the_same_weights(run, tmp_path):
    main(TrainFunctions(tmp_path / "again", mode="smoke", predictors=1))
    for name in ("model.safetensors", "tokenizer.json", f"seeds/0/{ADAPTER}"):
        assert (tmp_path / "again" / name).read_bytes() == (run / name).read_bytes()


def test_adapters_differ_find_their_base_where_they_stand_and_take_its_tokenizer(run):
    moved = run.rename(run.parent / "moved")
    try:
        (first, words, _), (second, _, _) = (load_predictor(moved / f"seeds/{seed}") for seed in (0, 1))
        base, own, description = load_predictor(moved)
    finally:
        moved.rename(run)
    assert not first.training
    name = "lm.model.layers.0.mlp.up_proj.weight"
    assert not first.state_dict()[name].equal(second.state_dict()[name])
    assert words.get_vocab() == own.get_vocab()
    assert not (run / "seeds/0/tokenizer.json").exists()
    assert description.n_sensors == 3
    # Every test of the task begins with the one head of the base.
    assert base.sensor_heads.weight[0].equal(base.sensor_heads.weight[2])
