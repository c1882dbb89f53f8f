"""The panel of measurement tampering holds the published methods, and says of each what it is."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest

from ulterior.detectors.catalogue import tampering_panel
from ulterior.detectors.detector import Role
from ulterior.detectors.tampering import ace, contrast_panel, oracle, trusted_probe
from ulterior.features.activations import activations
from ulterior.report.model import SHOWN_AS
from ulterior.scores import DiverseHeads

COLUMNS = {"text": "text", "outcome": "is_correct", "measurements": "measurements", "truth": "anomalous"}


def test_the_panel_has_the_published_methods_once_each_with_their_roles():
    panel = tampering_panel(columns=COLUMNS)
    roles = {detector.name: detector.role for detector in panel}
    assert len(roles) == len(panel)
    methods = {
        "trusted_probe",
        "tampering_probe",
        "dirtiness_probe",
        "pace",
        "divdis",
        "ace",
        "dbat",
        "delta",
    }
    assert {roles[name] for name in methods | {"mean_difference", "lda", "simplicity", "speed"}} == {"method"}
    assert {roles[name] for name in ("random_probe", "shuffled_probe", "surface")} == {"control"}
    assert {roles[f"{name}_oracle"] for name in ("divdis", "ace", "dbat")} == {"oracle"}
    assert roles["ceiling"] == "ceiling"


def test_only_an_oracle_and_the_ceiling_read_the_truth():
    for detector in tampering_panel(columns={**COLUMNS, "truth": "the truth"}):
        reads = "'the truth'" in repr(detector)
        assert reads == (detector.role in ("ceiling", "oracle")), detector.name


def test_an_oracle_differs_from_its_method_in_the_choice_alone_so_that_they_share_a_training():
    heads = ace(activations("final"), "is_correct")
    score = oracle(heads, "anomalous").score
    assert isinstance(score, DiverseHeads)
    assert replace(score, choose="label_free") == heads.score
    with pytest.raises(TypeError, match="trusted_probe has no heads"):
        oracle(trusted_probe(activations("final"), "is_correct"), "anomalous")


def test_contrast_pairs_come_from_the_readout_of_that_name():
    panel = contrast_panel(COLUMNS)
    assert {detector.feature.sites.__self__.readouts for detector in panel} == {("pair",)}
    assert [detector.role for detector in panel].count("control") == 2


def test_every_role_has_a_way_to_be_shown():
    assert set(SHOWN_AS) == set(get_args(Role))
