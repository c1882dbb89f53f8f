"""The probe is ridge regression at its best penalty, and the shift is the difference of two attributions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from tests.features.planted_paths import SEPARATE, SHARED, paths_subject, paths_texts
from tests.features.test_reading import gathered
from tests.test_serialise import through_disk
from ulterior.errors import InputError
from ulterior.examples import Examples, concat
from ulterior.features.attributions import attributions
from ulterior.features.preparing import prepare
from ulterior.features.probe_shift import PreparedProbeShift, probe_shift, ridge
from ulterior.features.reading import begin
from ulterior.subject import Subject


def prepared(subject: Subject, trusted: Examples, feature) -> PreparedProbeShift:
    ready, refused = prepare([feature], subject, trusted)
    assert not refused
    assert isinstance(ready[feature], PreparedProbeShift)
    return ready[feature]  # pyright: ignore


def test_ridge_takes_the_penalty_under_which_left_out_examples_are_best_predicted() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(12, 4, generator=generator) + 5
    y = x @ torch.randn(4, 2, generator=generator) + 3 * torch.randn(12, 2, generator=generator)
    weight, bias, explained = ridge(x, y)
    unit = float(torch.linalg.svdvals((x - x.mean(0)).double()).square().mean())

    def solve(x, y, penalty):
        centred = (x - x.mean(0)).double()
        w = torch.linalg.solve(
            centred.T @ centred + penalty * unit * torch.eye(4), centred.T @ (y - y.mean(0)).double()
        )
        return w, y.double().mean(0) - x.double().mean(0) @ w

    for column in range(2):
        errors = []
        for power in range(-6, 4):
            error = 0.0
            for out in range(12):
                rest = np.delete(np.arange(12), out)
                w, b = solve(x[rest], y[rest, column : column + 1], 10.0**power)
                error += float((x[out].double() @ w + b - y[out, column]).square())
            errors.append(error)
        best = int(np.argmin(errors))
        w, b = solve(x, y[:, column : column + 1], 10.0 ** (best - 6))
        torch.testing.assert_close(weight[:, column], w[:, 0], rtol=1e-6, atol=1e-8)
        torch.testing.assert_close(bias[column], b[0], rtol=1e-6, atol=1e-8)
        means = sum(
            float((y[np.delete(np.arange(12), out), column].mean() - y[out, column]).square())
            for out in range(12)
        )
        np.testing.assert_allclose(float(explained[column]), 1 - errors[best] / means, rtol=1e-4, atol=1e-4)


def test_ridge_finds_a_linear_law_also_with_more_columns_than_rows_and_needs_three_rows() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(200, 3, generator=generator)
    weight, bias, explained = ridge(x, x @ torch.tensor([[1.0], [0.0], [-2.0]]) + 4)
    torch.testing.assert_close(weight[:, 0], torch.tensor([1.0, 0.0, -2.0]).double(), rtol=1e-4, atol=1e-4)
    assert float(bias) == pytest.approx(4, abs=1e-4)
    assert float(explained) > 0.999
    wide = torch.randn(20, 50, generator=generator)
    assert all(part.isfinite().all() for part in ridge(wide, torch.randn(20, 1, generator=generator)))
    with pytest.raises(InputError, match="3 or more trusted examples"):
        ridge(x[:2], x[:2, :1])


class Halfway(nn.Module):
    """The output is the first coordinate; from 5 upwards the second one adds to it, behind the back of ``early``."""

    def __init__(self) -> None:
        super().__init__()
        self.input, self.early = nn.Identity(), nn.Linear(2, 1, bias=False)
        self.early.weight.data = torch.tensor([[2.0, 0.0]])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.input(x)
        return self.early(x) * 3 + 7 * x[:, 1:] * (x[:, 1:] > 5)


def halfway(n: int, seed: int) -> torch.Tensor:
    return torch.randn(n, 2, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("ablation", ["zero", "mean"])
def test_it_is_zero_where_the_probe_stands_for_the_output_and_not_where_another_way_is_taken(
    ablation,
) -> None:
    subject, trusted = Subject.from_arrays(Halfway()), halfway(60, 0)
    feature = prepared(
        subject,
        Examples.of(x=trusted.numpy()),
        probe_shift("input", of="logits", probe="early", ablation=ablation),
    )
    assert float(feature.probe.explained) > 0.999
    torch.testing.assert_close(feature.probe.weight, torch.tensor([[3.0]]).double(), rtol=1e-4, atol=1e-4)
    test = halfway(10, 1)
    test[5:, 1] = 6.0
    found = gathered(subject, Examples.of(x=test.numpy()), [feature])["probe_shift"][:, 0]
    taken = 6.0 - (float(trusted[:, 1].mean()) if ablation == "mean" else 0)
    np.testing.assert_allclose(found[:5], 0, atol=1e-2)
    np.testing.assert_allclose(found[5:], -7 * taken, rtol=1e-2)


def test_the_shift_is_the_attribution_to_the_probe_minus_that_to_the_output() -> None:
    subject = paths_subject()
    trusted = concat([paths_texts(SHARED, 20), paths_texts(SEPARATE, 20, seed=1)])
    examples = paths_texts(SHARED, 6, seed=2)
    asked = probe_shift("mlp.*,head.*.*", of="sensors", probe="resid.2", at="sensors")
    feature = prepared(subject, trusted, asked)
    # What stands after the probe is left out.
    sites = tuple(site for site in subject.select("mlp.*,head.*.*") if site.split(".")[1] != "3")
    assert feature.effects == sites
    found = gathered(subject, examples, [feature])["probe_shift"]
    readouts = {**subject.readouts, "probe": None}
    kept = {}
    hook = subject.model.get_submodule("layers.2").register_forward_hook(
        lambda module, args, output: kept.update(stream=output)
    )

    def as_readout(output, batch):
        both = kept["stream"][torch.arange(len(output))[:, None], batch.positions["sensors"]].flatten(1)
        return both @ feature.probe.weight.float() + feature.probe.bias.float()

    readouts["probe"] = as_readout
    object.__setattr__(subject, "readouts", readouts)
    try:
        each = []
        for of in ("probe", "sensors"):
            one = attributions(sites, of=of, ablation="mean")
            each.append(
                gathered(subject, examples, [prepare([one], subject, trusted)[0][one]])["attributions"]
            )
    finally:
        hook.remove()
    np.testing.assert_allclose(found, each[0] - each[1], rtol=1e-4, atol=1e-4)
    for budget in (1, 1000):
        again = gathered(subject, examples, [through_disk(feature)], batch_tokens=budget)["probe_shift"]
        np.testing.assert_allclose(again, found, rtol=1e-4, atol=1e-5)


def test_what_cannot_be_a_probe_is_one_clear_line() -> None:
    subject, trusted = paths_subject(), paths_texts(SHARED, 12)

    def why(feature) -> str:
        return prepare([feature], subject, trusted)[1][feature]

    assert "selects 4" in why(probe_shift(of="sensors", probe="resid.*"))
    assert "comes before the probe at 'resid.0'" in why(probe_shift("mlp.1", of="sensors", probe="resid.0"))
    assert "gives every token" in why(probe_shift(of="sensors", at="all"))
    assert "no readout 'nothing'" in why(probe_shift(of="nothing"))
    _, refused = begin(subject, trusted, [probe_shift(of="sensors")])
    assert "needs statistics of trusted examples" in next(iter(refused.values()))


def test_the_probe_reads_the_middle_of_the_stream_unless_told_otherwise() -> None:
    subject = paths_subject()
    assert probe_shift(of="sensors").probe_site(subject) == "resid.1"
