"""The whole training, in its smoke mode."""

from __future__ import annotations

import json

import pytest

from ulterior.errors import InputError
from ulterior.measurement.folder import load_predictor
from ulterior.tasks.tampering.diamonds.train import TrainDiamonds, main


def test_smoke_mode_trains_saves_measures_writes_a_card_and_runs_again_from_what_is_there(tmp_path, capsys):
    config = TrainDiamonds(tmp_path / "out", mode="smoke", predictors=2)
    main(config)
    metrics = json.loads((tmp_path / "out/metrics.json").read_text())
    assert list(metrics["predictors"]) == ["0", "1"]
    assert set(metrics["base"]["splits"]) == {"validation_easy"}
    assert set(metrics["predictors"]["1"]["splits"]) == {"validation_both"}
    card = (tmp_path / "out/README.md").read_text()
    assert f"{metrics['headline']['sensor_auroc']['value']:.3f}" in card
    assert "ulterior train diamonds" in card
    files = ("model.safetensors", "seeds/0/adapter_model.safetensors", "metrics.json")
    before = {name: (tmp_path / "out" / name).read_bytes() for name in files}
    main(config)
    assert {name: (tmp_path / "out" / name).read_bytes() for name in files} == before
    assert "measurement predictors ->" in capsys.readouterr().out
    with pytest.raises(InputError, match="another recipe or seed"):
        main(TrainDiamonds(tmp_path / "out", mode="smoke", seed=1))
    (tmp_path / "out").rename(tmp_path / "moved")  # adapters find their base by where they stand
    first, second = (load_predictor(tmp_path / f"moved/seeds/{seed}")[0] for seed in (0, 1))
    assert not first.training
    name = "lm.model.layers.0.mlp.up_proj.weight"
    assert not first.state_dict()[name].equal(second.state_dict()[name])
