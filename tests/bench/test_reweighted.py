"""Variants of other weights run on any task: arrays, texts, and what cannot be had is left out with the reason."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from tests.bench.test_bench import TOY, load
from tests.families import tiny, tokenizer
from ulterior.bench.cells import CellKey
from ulterior.bench.reweighted import FEW_DRAWS, FEW_STEPS, Sample, Teach, reweighted_variants
from ulterior.bench.running import run_cell
from ulterior.bench.table import tabulate
from ulterior.bench.text import bench_text
from ulterior.bench.variant import Variant, named_variants
from ulterior.bench.variants import task_variants
from ulterior.detectors.catalogue import confidence, surface_length
from ulterior.examples import Examples, concat
from ulterior.listing import all_detectors
from ulterior.panel import PanelSettings
from ulterior.subject import Subject
from ulterior.tasks.registry import MODULES, find_tasks
from ulterior.tasks.task import Slice, TaskData

NAMES = ("functional_attribution", "finetune_divergence", "distillation_divergence", "activation_matching")
PANEL = (confidence(), surface_length())
SETTINGS = PanelSettings()


def cell(data: TaskData, variants: tuple[Variant, ...]):
    key = CellKey("toy", "smoke", 0, tuple(map(repr, PANEL)), SETTINGS.held_out, tuple(map(repr, variants)))
    return run_cell(TOY, data, PANEL, key, SETTINGS, variants)


def test_all_of_them_run_beside_the_tasks_own_panel_and_say_what_they_cost():
    data = load(0, "smoke")
    found = cell(data, reweighted_variants("first, second", brief=True))
    assert not found.skipped
    assert set(found.scores) == {*NAMES, "confidence", "surface_length"}
    assert found.scores["activation_matching"].keys == ("residual.first", "residual.second")
    costs = {name: found.about["costs"][name] for name in NAMES}
    assert [costs[name]["scoring"]["forward"] for name in NAMES] == [1.0 + FEW_DRAWS.total, 2.0, 2.0, 2.0]
    # Of 80 trusted examples 24 calibrate, and are not learned from.
    fitted, n = 56, 56 + len(data.untrusted or ())
    assert costs["finetune_divergence"]["training"] == {
        "forward": (fitted + FEW_STEPS * fitted) / n + 2.0,
        "backward": FEW_STEPS * fitted / n,
    }
    assert costs["distillation_divergence"]["training"]["forward"] == 2 * FEW_STEPS * fitted / n + 2.0
    assert costs["functional_attribution"]["training"]["backward"] == FEW_DRAWS.steps * fitted / n
    # A reader of the printed table sees it, too, though nothing here measures.
    text = bench_text(tabulate([found], baseline="confidence", alpha=0.01), {"toy": [found]})
    line = next(line for line in text.splitlines() if line.startswith("network"))
    assert "passes, training" in line
    assert "sensor_auroc" not in line


def test_a_cell_is_the_same_whenever_it_is_made_and_leaves_the_subject_as_it_was():
    data = load(0, "smoke")
    before = {name: tensor.clone() for name, tensor in data.subject.model.state_dict().items()}
    variants = reweighted_variants("first", brief=True)
    first, second = cell(data, variants), cell(data, variants)
    for name in NAMES:
        np.testing.assert_array_equal(first.scores[name].fused, second.scores[name].fused)
    assert all(torch.equal(before[name], now) for name, now in data.subject.model.state_dict().items())


def test_language_models_are_taught_and_sampled_too():
    def texts(n: int, seed: int, group: str) -> Examples:
        rng = np.random.default_rng(seed)
        words = [" ".join(f"w{i}" for i in rng.integers(0, 40, rng.integers(3, 9))) for _ in range(n)]
        return Examples.of(text=words, group=[group] * n, anomalous=[group == "odd"] * n)

    data = TaskData(
        Subject.from_tokenizer(deepcopy(tiny("llama")), tokenizer(pad_token="<pad>")),
        trusted=texts(40, 0, "trusted"),
        untrusted=None,
        test=concat([texts(10, 1, "trusted"), texts(10, 2, "odd")]),
        slices=(Slice("odd", ("odd",), ("trusted",)),),
    )
    found = cell(data, reweighted_variants("resid.*", brief=True))
    assert not found.skipped
    assert found.scores["activation_matching"].keys == ("residual.resid.0", "residual.resid.1")
    assert all(np.isfinite(found.scores[name].fused).all() for name in NAMES)


def test_a_subject_without_probabilities_or_weights_leaves_only_these_out_with_the_reason():
    class Pooled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(6, 4)

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor]:
            return (self.first(x),)

    readouts = {"behaviour": lambda output, batch: output[0][:, 0]}
    variants = reweighted_variants("first", brief=True)
    found = cell(
        replace(load(0, "smoke"), subject=Subject.from_arrays(Pooled(), readouts=readouts)), variants
    )
    assert set(found.skipped) == set(NAMES) - {"activation_matching"}
    assert all("no logits" in why for why in found.skipped.values())
    assert {"confidence", "activation_matching"} <= set(found.scores)
    found = cell(replace(load(0, "smoke"), subject=Subject.from_arrays(nn.Identity())), variants)
    assert set(found.skipped) == set(NAMES)
    assert "confidence" in found.scores


def test_every_task_has_them_they_can_be_named_and_they_are_listed():
    for task in find_tasks(tuple(MODULES)):
        (one,) = named_variants(task_variants(task, "small"), ("functional_attribution",))
        assert isinstance(one.build, Sample)
        assert one.build.sampling.of == ("behaviour" if task.kind == "tampering" else None)
        assert " at 0x" not in repr(one)
        brief, usual = (
            named_variants(task_variants(task, size), ("distillation_divergence",))[0].build
            for size in ("smoke", "small")
        )
        assert isinstance(brief, Teach)
        assert isinstance(usual, Teach)
        assert brief.teaching.steps == FEW_STEPS < usual.teaching.steps
    assert set(NAMES) <= {detector.name for detector in all_detectors()}
