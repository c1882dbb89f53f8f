"""Attributions under an ablation are what a loop over examples and tokens gives; exact where the model is linear."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.families import texts
from tests.features.planted_paths import SEPARATE, SHARED, paths_subject, paths_texts
from tests.features.test_attributions import subject_of
from tests.features.test_reading import gathered
from tests.test_serialise import through_disk
from ulterior.capture import capture, patch
from ulterior.examples import Examples, concat
from ulterior.features.ablations import Ablation, Kind
from ulterior.features.attributions import PreparedAttributions, attributions
from ulterior.features.preparing import prepare
from ulterior.subject import Subject

KINDS: tuple[Kind, ...] = ("mean", "resample", "pcs")
ABLATIONS = [
    Ablation("mean"),
    Ablation("mean", over="position"),
    Ablation("resample"),
    Ablation("resample", over="position"),
    Ablation("pcs", components=2),
]


def prepared(subject: Subject, trusted: Examples, feature, **how) -> PreparedAttributions:
    ready, refused = prepare([feature], subject, trusted, **how)
    assert not refused
    assert isinstance(ready[feature], PreparedAttributions)
    return ready[feature]  # pyright: ignore


def both_routes(n: int, seed: int) -> Examples:
    return concat([paths_texts(SHARED, n, seed=seed), paths_texts(SEPARATE, n, seed=seed + 50)])


def test_zero_is_the_attribution_as_it_was() -> None:
    assert attributions("mlp.*", of="sensors", ablation="zero") == attributions("mlp.*", of="sensors")
    assert attributions("mlp.*", ablation=Ablation("zero")) == attributions("mlp.*")


@pytest.mark.parametrize("ablation", ABLATIONS, ids=lambda one: f"{one.kind}-{one.over}")
def test_in_a_linear_model_the_attribution_is_the_change_of_the_output_under_the_patch(ablation) -> None:
    subject, trusted, examples = paths_subject(), both_routes(20, 0), both_routes(5, 1)
    sites = ("embed", "resid.1", "attn.2", "mlp.1", "mlp.2")
    feature = prepared(subject, trusted, attributions(sites, ablation=ablation))
    assert set(feature.replacements) == set(sites)
    found = gathered(subject, examples, [feature])["attributions"].reshape(10, len(sites), 2)
    assert np.abs(found).max() > 0.1
    for row in range(10):
        batch = subject.collate(subject.encode(examples.take([row])))
        number = torch.arange(len(batch.inputs["input_ids"][0]))[None]
        usual = subject.run(batch)
        for place, (site, replacement) in enumerate(feature.replacements.items()):
            with patch(subject.model, {site: lambda x, by=replacement, at=number: x - by.difference(x, at)}):
                ablated = subject.run(batch)
            np.testing.assert_allclose(
                found[row, place], (usual - ablated)[0].detach(), rtol=1e-3, atol=1e-4, err_msg=site
            )


def test_a_heads_mean_ablation_is_that_of_its_share_of_the_output() -> None:
    subject, trusted, examples = paths_subject(), both_routes(20, 0), both_routes(4, 1)
    feature = prepared(subject, trusted, attributions("head.2.*", ablation="mean"))
    found = gathered(subject, examples, [feature])["attributions"].reshape(8, 2, 2)
    shares: dict[str, list] = {"head.2.0": [], "head.2.1": []}
    for row in range(len(trusted)):
        with torch.no_grad(), capture(subject.model, list(shares)) as captured:
            subject.run(subject.collate(subject.encode(trusted.take([row]))))
        for site, seen in shares.items():
            seen.extend(captured[site][0])
    for row in range(8):
        batch = subject.collate(subject.encode(examples.take([row])))
        usual = subject.run(batch)
        for head, (site, seen) in enumerate(shares.items()):
            mean = torch.stack(seen).mean(0)
            with patch(subject.model, {site: lambda x, mean=mean: mean.expand_as(x)}):
                ablated = subject.run(batch)
            np.testing.assert_allclose(found[row, head], (usual - ablated)[0].detach(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_attributions_equal_a_loop_over_examples_columns_and_tokens(kind) -> None:
    subject, trusted = subject_of("gpt2"), Examples.of(text=texts(*[3, 8, 5, 9, 4, 6], seed=1))
    examples, sites = Examples.of(text=texts(4, 7)), ("resid.0", "mlp.1")
    how = {"of": "sensors", "ablation": Ablation(kind, components=2)}
    totals = prepared(subject, trusted, attributions(sites, **how))
    lengths = prepared(subject, trusted, attributions(sites, **how, measure="magnitude"))
    single = prepared(subject, trusted, attributions(sites, **how, kept="coordinates"))
    found = gathered(subject, examples, [totals])["attributions"].reshape(2, 2, 3)
    magnitudes = gathered(subject, examples, [lengths])["attributions"].reshape(2, 2, 3)
    coordinates = gathered(subject, examples, [single])
    for row in range(2):
        batch = subject.collate(subject.encode(examples.take([row])))
        for place, site in enumerate(sites):
            kept = {}

            def keep(x, kept=kept):
                kept["at"] = x.detach().requires_grad_()
                return kept["at"]

            for column in range(3):
                with torch.enable_grad(), patch(subject.model, {site: keep}):
                    value = subject.readouts["sensors"](subject.model(**batch.inputs), batch)[0, column]
                (gradient,) = torch.autograd.grad(value, [kept["at"]])
                total, length, products = 0.0, 0.0, torch.zeros(32, dtype=torch.float64)
                for token in range(gradient.shape[1]):
                    activation = kept["at"].detach()[:, token : token + 1]
                    apart = totals.replacements[site].difference(activation, torch.tensor([[token]]))[0, 0]
                    products += apart * gradient[0, token]
                    total += float(apart @ gradient[0, token])
                    length += float(apart.norm() * gradient[0, token].norm())
                np.testing.assert_allclose(found[row, place, column], total, rtol=1e-4, atol=1e-6)
                np.testing.assert_allclose(magnitudes[row, place, column], length, rtol=1e-4, atol=1e-6)
                np.testing.assert_allclose(
                    coordinates[f"{site}@sensors.{column}"][row], products, rtol=1e-4, atol=1e-6
                )


@pytest.mark.parametrize("ablation", ABLATIONS, ids=lambda one: f"{one.kind}-{one.over}")
def test_they_depend_on_neither_batch_nor_order_nor_padding_nor_the_disk(ablation) -> None:
    trusted, examples = (
        Examples.of(text=texts(*[3, 8, 5, 9, 4, 6] * 3, seed=1)),
        Examples.of(text=texts(4, 9, 6)),
    )
    feature = attributions("embed,mlp.0,head.1.*", of="sensors", ablation=ablation)
    left, right = subject_of("llama", padding="left"), subject_of("llama")
    alone = prepared(right, trusted, feature, batch_tokens=1)
    whole = prepared(left, trusted, feature, batch_tokens=1000)
    reference = gathered(right, examples, [alone], batch_tokens=1)["attributions"]
    for subject, ready in (left, whole), (right, through_disk(whole)):
        found = gathered(subject, examples, [ready], batch_tokens=1000)["attributions"]
        np.testing.assert_allclose(found, reference, rtol=1e-4, atol=1e-6)
    order = np.array([2, 0, 1])
    found = gathered(right, examples.take(order), [whole])["attributions"]
    np.testing.assert_allclose(found, reference[order], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", ["mean", "resample"])
def test_parallel_sites_add_up(kind: Kind) -> None:
    subject, trusted, examples = paths_subject(), both_routes(20, 0), both_routes(4, 1)
    heads = prepared(subject, trusted, attributions("head.2.*", ablation=kind))
    attention = prepared(subject, trusted, attributions("attn.2", ablation=kind))
    apart = gathered(subject, examples, [heads])["attributions"].reshape(8, 2, 2).sum(1)
    np.testing.assert_allclose(
        apart, gathered(subject, examples, [attention])["attributions"], rtol=1e-4, atol=1e-5
    )
