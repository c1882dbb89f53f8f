from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.subjects import counted_subject, points
from tests.supervise.planted import DETECTORS, FEATURE, SETTINGS, WITH_CEILING, planted_pool, tables
from ulterior.detectors.catalogue import confidence, mahalanobis, surface
from ulterior.detectors.features import ablated_attribution
from ulterior.errors import InputError
from ulterior.features.activations import activations
from ulterior.features.reading import read
from ulterior.features.text import text
from ulterior.panel import fit_panel, split_trusted
from ulterior.supervise.pool import fill_pool
from ulterior.supervise.store import read_value, write_value


def test_everything_is_read_with_one_forward_an_example():
    subject, (trusted, untrusted, test) = counted_subject(), tables()
    fill_pool(
        subject,
        trusted,
        untrusted,
        test,
        detectors=WITH_CEILING,
        start="mahalanobis",
        probe=FEATURE,
        settings=SETTINGS,
    )
    assert subject.model.rows == len(trusted) + len(untrusted) + len(test)


def test_scores_are_those_of_a_panel_that_was_fitted_the_usual_way():
    trusted, untrusted, test = tables()
    pool, _, _ = planted_pool(detectors=WITH_CEILING)
    panel = fit_panel(WITH_CEILING, counted_subject(), trusted, untrusted, settings=SETTINGS)
    for seen, examples in ((pool.suspects, untrusted), (pool.test, test)):
        expected = panel.score(counted_subject(), examples)
        for name in ("mahalanobis", "confidence", "ceiling"):
            np.testing.assert_allclose(seen.scores[name], expected[name].fused, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(
        pool.site_p, panel.score(counted_subject(), untrusted)["mahalanobis"].site_p, rtol=1e-4
    )


def test_what_must_know_trusted_examples_first_may_rank_and_what_cannot_be_read_is_said():
    trusted, untrusted, _ = tables()
    attributed = ablated_attribution("mean", "first")
    broken = replace(mahalanobis(activations("nowhere")), name="broken")
    pool, _, _ = planted_pool(detectors=(attributed, broken, confidence()), start=attributed.name)
    panel = fit_panel([attributed], counted_subject(), trusted, settings=SETTINGS)
    expected = panel.score(counted_subject(), untrusted)[attributed.name].fused
    np.testing.assert_allclose(pool.suspects.scores[attributed.name], expected, rtol=1e-4, atol=1e-4)
    assert "nowhere" in pool.skipped["broken"]
    with pytest.raises(InputError, match=r"'broken', which ranks first, cannot be fitted: .*nowhere"):
        planted_pool(detectors=(broken, confidence()), start="broken")


def test_the_probe_reads_its_keys_side_by_side_and_rows_keep_their_numbers():
    pool, _, _ = planted_pool()
    _, untrusted, test = tables()
    for seen, examples in ((pool.suspects, untrusted), (pool.test, test)):
        assert seen.rows.tolist() == list(range(len(examples)))
        expected = np.zeros_like(seen.x)
        for numbers, reading in read(counted_subject(), examples, [FEATURE]):
            expected[numbers] = torch.cat([reading[FEATURE][key] for key in pool.keys], 1).numpy()
        np.testing.assert_allclose(seen.x, expected, rtol=1e-5, atol=1e-6)


def test_held_out_trusted_rows_are_not_among_those_that_are_learned_from():
    pool, _, _ = planted_pool()
    fit_rows, held_rows = split_trusted(tables()[0], None, SETTINGS)
    assert pool.usual.rows.tolist() == fit_rows.tolist()
    assert pool.held.rows.tolist() == held_rows.tolist()


def test_only_rows_in_the_condition_are_suspects_and_usual():
    pool, _, _ = planted_pool(condition=lambda examples: examples["row"] % 2 == 0)
    trusted, untrusted, _ = tables()
    assert (untrusted["row"][pool.suspects.rows] % 2 == 0).all()
    assert (trusted["row"][np.concatenate([pool.usual.rows, pool.held.rows])] % 2 == 0).all()
    assert len(pool.suspects) == (untrusted["row"] % 2 == 0).sum()


def test_no_more_suspects_are_kept_than_the_bound():
    pool, _, _ = planted_pool(bound=50)
    assert len(pool.suspects) == 50
    assert len(pool.usual) == 50
    assert len(pool.test) == 220


def test_a_pool_comes_back_from_its_file_bit_for_bit_and_a_damaged_file_is_no_pool(tmp_path):
    pool, _, _ = planted_pool()
    path = tmp_path / "deep" / "pool.safetensors"
    write_value(pool, path)
    again = read_value(path)
    assert again.keys == pool.keys
    assert again.fingerprint == pool.fingerprint
    for name in ("usual", "held", "suspects", "test"):
        ours, theirs = getattr(pool, name), getattr(again, name)
        np.testing.assert_array_equal(ours.x, theirs.x)
        for detector in ours.scores:
            np.testing.assert_array_equal(ours.scores[detector], theirs.scores[detector])
    assert [file.name for file in path.parent.iterdir()] == ["pool.safetensors"]
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert read_value(path) is None
    assert read_value(tmp_path / "nothing") is None


def test_a_folder_that_cannot_be_written_is_an_input_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"):
        write_value(1, tmp_path / "file" / "pool.safetensors")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"start": "nobody"}, "nobody"),
        ({"probe": text()}, "one vector an example"),
        ({"detectors": (surface(),), "start": "mahalanobis"}, "mahalanobis"),
        ({"condition": lambda examples: examples["row"] < -1}, "too few"),
        ({"detectors": (mahalanobis(activations("nowhere")),)}, "nowhere"),
    ],
)
def test_what_cannot_be_used_is_an_input_error(changes, message):
    with pytest.raises(InputError, match=message):
        planted_pool(**changes)


def test_untrusted_examples_outside_the_condition_alone_leave_nothing_to_label():
    trusted, untrusted, _ = tables()
    with pytest.raises(InputError, match="none of the 300 untrusted"):
        fill_pool(
            counted_subject(),
            trusted,
            untrusted.with_columns(row=np.full(300, -1)),
            detectors=DETECTORS,
            start="mahalanobis",
            probe=FEATURE,
            condition=lambda examples: examples["row"] >= 0,
        )


def test_without_test_examples_there_is_a_pool_without_them():
    pool = fill_pool(
        counted_subject(),
        points(100, 0),
        points(30, 1),
        detectors=DETECTORS,
        start="mahalanobis",
        probe=FEATURE,
    )
    assert pool.test is None
    assert len(pool.suspects) == 30
