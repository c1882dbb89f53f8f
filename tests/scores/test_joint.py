"""Scores of all sites together: what holds for each of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.scores.planted import finished
from ulterior.errors import InputError
from ulterior.scores.abstraction import LocallyConsistentAbstraction
from ulterior.scores.evolution import TED
from ulterior.scores.score import Joint, JointFitted
from ulterior.serialise import pack, unpack

KEYS = ("resid.0@last", "resid.1@last", "resid.2@last", "resid.3@last")
WIDTH, N = 8, 400


def paths(n: int, seed: int) -> dict[str, Tensor]:
    """Rows that pass through four sites: each turns and bends what the one before it holds, and adds a little noise."""
    rng, fixed = np.random.default_rng(seed), np.random.default_rng(99)
    x, found = rng.normal(size=(n, WIDTH)), {}
    for key in KEYS:
        turn = np.linalg.qr(fixed.normal(size=(WIDTH, WIDTH)))[0]
        x = np.tanh(x @ turn) * 1.5 + 0.1 * rng.normal(size=(n, WIDTH))
        found[key] = torch.from_numpy(x * 3 + 5).float()
    return found


def rerouted(n: int, seed: int) -> dict[str, Tensor]:
    """The same, but from the third site on, each row goes on with what another one holds: usual at every site."""
    found = paths(n, seed)
    return {key: x if key < KEYS[2] else x.roll(1, 0) for key, x in found.items()}


def fit(score: Any, rows: dict[str, Tensor], scratch: Path, batch: int = 50, **labels: Any) -> Any:
    """A joint score fitted to trusted rows at every key."""
    given = {key: finished(score.needs, {"reference": x}, scratch, batch) for key, x in rows.items()}
    return score.fit_all(given, lambda group, name, numbers: np.asarray(labels[name])[numbers])


SCORES = {
    "TED": TED(),
    "TED, bounded": TED(bound=120),
    "abstraction": LocallyConsistentAbstraction(4),
    "abstraction, bounded": LocallyConsistentAbstraction(4, bound=150),
}
_fitted: dict[str, Any] = {}


@pytest.fixture(params=SCORES)
def fitted(request, tmp_path) -> Any:
    """Every joint score, fitted to trusted rows: frozen, and so the same one for every test."""
    if request.param not in _fitted:
        _fitted[request.param] = fit(SCORES[request.param], paths(N, 0), tmp_path)
    return _fitted[request.param]


def test_a_row_scores_the_same_alone_as_in_any_batch_and_order(fitted):
    x = paths(20, 1)
    together = fitted(x)
    alone = torch.cat([fitted({key: rows[i : i + 1] for key, rows in x.items()}) for i in range(20)])
    torch.testing.assert_close(alone, together, rtol=1e-9, atol=1e-12)
    order = torch.from_numpy(np.random.default_rng(0).permutation(20))
    shuffled = fitted({key: rows[order] for key, rows in x.items()})
    torch.testing.assert_close(shuffled, together[order], rtol=1e-9, atol=1e-12)


def test_rows_that_are_usual_at_every_site_but_change_places_between_two_are_found(fitted):
    usual, planted = fitted(paths(200, 1)), fitted(rerouted(200, 1))
    assert (planted[:, None] > usual).double().mean() > 0.93


def test_fresh_trusted_rows_score_like_one_another(fitted):
    one, other = fitted(paths(200, 1)), fitted(paths(200, 2))
    assert abs(float((one[:, None] > other).double().mean()) - 0.5) < 0.1


def test_scores_are_one_finite_float64_a_row_and_none_for_no_rows(fitted):
    score = fitted(paths(10, 1))
    assert score.shape == (10,)
    assert score.dtype == torch.float64
    assert score.isfinite().all()
    assert fitted({key: x[:0] for key, x in paths(3, 1).items()}).shape == (0,)


def test_moving_and_stretching_a_site_changes_nothing_of_the_order(fitted, tmp_path, request):
    name = request.node.callspec.params["fitted"]
    moved = fit(
        SCORES[name], {key: 10 * x - 7 if key == KEYS[1] else x for key, x in paths(N, 0).items()}, tmp_path
    )
    x = paths(50, 1)
    again = moved({key: 10 * rows - 7 if key == KEYS[1] else rows for key, rows in x.items()})
    torch.testing.assert_close(again, fitted(x), rtol=2e-2, atol=1e-3)


def test_the_batches_and_the_order_in_which_rows_arrive_do_not_matter(fitted, tmp_path, request):
    score, x = SCORES[request.node.callspec.params["fitted"]], paths(50, 1)
    again = fit(score, paths(N, 0), tmp_path, batch=17)
    assert torch.equal(again(x), fitted(x))


def test_a_saved_one_comes_back_from_the_disk_equal_to_the_bit(fitted, tmp_path):
    value, tensors = pack(fitted)
    save_file(tensors, tmp_path / "score.safetensors")
    again = unpack(json.loads(json.dumps(value)), load_file(tmp_path / "score.safetensors"))
    x = paths(20, 1)
    assert torch.equal(again(x), fitted(x))


def test_the_signatures_are_satisfied_and_an_unfitted_one_is_a_value(fitted, request):
    score = SCORES[request.node.callspec.params["fitted"]]
    assert isinstance(score, Joint)
    assert isinstance(fitted, JointFitted)
    assert fitted.reads == KEYS
    assert unpack(*pack(score)) == score
    assert len({score, unpack(*pack(score))}) == 1


@pytest.mark.parametrize("score", [TED(bound=70), LocallyConsistentAbstraction(bound=70)])
def test_the_sample_of_every_site_holds_the_same_rows_in_the_same_order(score, tmp_path):
    numbers = torch.arange(300.0)
    rows = {key: numbers[:, None].repeat(1, width) for key, width in zip(KEYS, (2, 3, 4, 5), strict=True)}
    batches = {KEYS[0]: 50, KEYS[1]: 7, KEYS[2]: 300, KEYS[3]: 1}
    (need,) = score.needs
    stored = [finished([need], {"reference": rows[key]}, tmp_path, batches[key])[need] for key in KEYS]
    for one in stored:
        np.testing.assert_array_equal(one.rows, stored[0].rows)
        np.testing.assert_array_equal(one.x[:, 0].numpy(), one.rows)
    assert len(stored[0]) == 70


@pytest.mark.parametrize("score", [TED(), LocallyConsistentAbstraction()])
def test_what_cannot_be_joined_is_refused_by_name(score, tmp_path):
    x = paths(30, 0)
    with pytest.raises(InputError, match=f"needs at least 2; it was given {KEYS[0]}"):
        fit(score, {KEYS[0]: x[KEYS[0]]}, tmp_path)
    with pytest.raises(InputError, match=f"'{KEYS[1]}' has 20 vectors and '{KEYS[0]}' 30, of other places"):
        fit(score, {KEYS[0]: x[KEYS[0]], KEYS[1]: x[KEYS[1]][:20]}, tmp_path)
    with pytest.raises(InputError, match=f"'{KEYS[1]}' holds texts"):
        fit(score, {KEYS[0]: x[KEYS[0]], KEYS[1]: ["a"] * 30}, tmp_path)
    with pytest.raises(InputError, match=r"at least [39] trusted"):
        fit(score, {key: rows[:2] for key, rows in x.items()}, tmp_path)
    with pytest.raises(InputError, match="group 'reference', and no such"):
        score.fit_all({KEYS[0]: {}, KEYS[1]: {}}, lambda group, name, rows: rows)
