"""Variants: detectors of a task over another subject, beside its own panel in one cell."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.bench.test_bench import TOY, load
from tests.families import CONFIGS, tokenizer
from tests.measurement.readings import MARKER, rows
from tests.subjects import counted_subject
from ulterior.bench import run as bench_run
from ulterior.bench.cells import CellKey, read_cell, write_cell
from ulterior.bench.costs import reading_costs
from ulterior.bench.run import Bench, run_bench, task_methods
from ulterior.bench.running import run_cell
from ulterior.bench.variant import Built, Variant
from ulterior.bench.variants import TrainFurther, tampering_variants, task_variants
from ulterior.detectors.catalogue import confidence, mahalanobis, surface_length
from ulterior.detectors.panels import further_panel
from ulterior.errors import InputError
from ulterior.examples import concat
from ulterior.features.activations import activations
from ulterior.features.feature import Feature
from ulterior.measurement.contrast import Statements
from ulterior.measurement.data import all_positive
from ulterior.measurement.folder import Description, save_predictor
from ulterior.measurement.methods import Cost
from ulterior.measurement.predictor import MeasurementPredictor
from ulterior.measurement.subject import load_predictor_subject
from ulterior.panel import PanelSettings, fit_panel, split_trusted
from ulterior.subject import Subject
from ulterior.tasks.registry import MODULES, SUITES, find_tasks
from ulterior.tasks.task import Slice, Task, TaskData

FIRST: Feature = activations("first")
PANEL = (mahalanobis(FIRST), confidence(), surface_length())
SETTINGS = PanelSettings()
GIVEN: list[int] = []


@dataclass(frozen=True)
class Louder:
    """The subject with the weights of its first layer multiplied."""

    by: float

    def __call__(self, data: TaskData, folder: Path, seed: int) -> Built:
        GIVEN[:] = data.trusted["row"].tolist()
        return Built(louder(self.by), Cost(0.5, 0.5), Cost(2.0))


@dataclass(frozen=True)
class Impossible:
    def __call__(self, data: TaskData, folder: Path, seed: int) -> Built:
        raise InputError("there is nothing to train on")


def louder(by: float) -> Subject:
    subject = counted_subject()
    with torch.no_grad():
        subject.model.get_parameter("first.weight").mul_(by)
    return subject


def variant(by: float = 3.0, name: str = "louder") -> Variant:
    named = replace(mahalanobis(FIRST), name=f"mahalanobis_{name}")
    return Variant(name, "louder", Louder(by), (named,))


def cell(*variants: Variant, panel=PANEL, seed: int = 0):
    key = CellKey(
        "toy", "smoke", seed, tuple(map(repr, panel)), SETTINGS.held_out, tuple(map(repr, variants))
    )
    return run_cell(TOY, load(seed, "smoke"), panel, key, SETTINGS, variants)


def same(a, b) -> None:
    for part in ("site_scores", "site_p", "fused", "p"):
        np.testing.assert_array_equal(getattr(a, part), getattr(b, part))


def test_a_variant_is_fit_panel_on_its_subject_and_changes_nothing_of_the_others():
    data = load(0, "smoke")
    found, alone = cell(variant()), cell()
    fitted = fit_panel(variant().panel, louder(3.0), data.trusted, data.untrusted, settings=SETTINGS)
    same(
        found.scores["mahalanobis_louder"],
        fitted.score(louder(3.0), data.test, SETTINGS)["mahalanobis_louder"],
    )
    for name in alone.scores:
        same(found.scores[name], alone.scores[name])
    assert set(found.scores) == {*alone.scores, "mahalanobis_louder"}
    assert "variants" not in alone.about
    assert alone.key.config == CellKey("toy", "smoke", 0, tuple(map(repr, PANEL)), SETTINGS.held_out).config
    assert found.about["variants"]["louder"]["fingerprint"] == louder(3.0).fingerprint()
    assert found.about["families"]["mahalanobis_louder"] == "Gaussian"


def test_a_variant_never_sees_the_examples_that_calibrate():
    cell(variant())
    trusted = load(0, "smoke").trusted
    fit, held = split_trusted(trusted, None, SETTINGS)
    assert trusted["row"][fit].tolist() == GIVEN
    assert len(held)


def test_the_order_of_variants_does_not_matter():
    a, b = variant(3.0, "a"), variant(5.0, "b")
    first, second = cell(a, b), cell(b, a)
    assert first.key.file == second.key.file
    for name in first.scores:
        same(first.scores[name], second.scores[name])
    assert first.key.config not in (cell(a).key.config, cell(a, variant(6.0, "b")).key.config)


def test_costs_count_passes_by_hand():
    costs = cell(variant()).about["costs"]
    one = {"forward": 1.0, "backward": 0.0}
    assert costs["mahalanobis"] == {"training": one, "scoring": one}
    assert costs["surface_length"]["scoring"] == {"forward": 0.0, "backward": 0.0}
    # Trained at half a pass forward and back an example, then read twice.
    assert costs["mahalanobis_louder"] == {
        "training": {"forward": 2.5, "backward": 0.5},
        "scoring": {"forward": 2.0, "backward": 0.0},
    }


def test_gradients_of_a_readout_cost_a_backward_pass_for_each_of_its_columns():
    @dataclass(frozen=True)
    class Graded:
        gradient_of: tuple[str, ...] = ("behaviour", "both")
        runs_model: bool = True

        def sites(self, subject):
            return subject.select("first")

        def read(self, run):
            return {}

    subject = counted_subject()
    subject = replace(subject, readouts={**subject.readouts, "both": lambda output, batch: output})
    graded = replace(mahalanobis(FIRST), feature=Graded())
    costs = reading_costs([graded], subject, load(0, "smoke").test)
    assert costs["mahalanobis"] == Cost(1.0, 1.0 + 2.0)


def test_a_variant_that_cannot_be_built_is_skipped_with_its_reason_and_the_cell_comes_back(tmp_path):
    panel = (replace(confidence(), name="impossible"),)
    found = cell(variant(), Variant("no", "none", Impossible(), panel))
    assert found.skipped["impossible"] == "there is nothing to train on"
    assert "mahalanobis_louder" in found.scores
    write_cell(found, tmp_path)
    again = read_cell(found.key, tmp_path)
    assert again is not None
    same(again.scores["mahalanobis_louder"], found.scores["mahalanobis_louder"])
    assert again.about == found.about


def test_what_was_done_before_an_interruption_is_taken_up_again(tmp_path, monkeypatch):
    whole, names = cell(variant(3.0, "a"), variant(5.0, "b")), ("a", "b")
    built: list[float] = []

    def build(self: Louder, data: TaskData, folder: Path, seed: int) -> Built:
        if len(built) == 1:
            built.append(0.0)
            raise KeyboardInterrupt
        built.append(self.by)
        return Built(louder(self.by), Cost(0.5, 0.5), Cost(2.0))

    monkeypatch.setattr(Louder, "__call__", build)
    variants = tuple(variant(by, name) for by, name in zip((3.0, 5.0), names, strict=True))
    run = partial(run_cell, TOY, load(0, "smoke"), PANEL, whole.key, SETTINGS, variants, parts=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run()
    again = run()
    assert built == [3.0, 0.0, 5.0], "the first is not made twice"
    assert list(again.scores) == list(whole.scores)
    for name in whole.scores:
        same(again.scores[name], whole.scores[name])
    without = {"seconds", "total_seconds", "variants"}
    assert {k: v for k, v in again.about.items() if k not in without} == {
        k: v for k, v in whole.about.items() if k not in without
    }
    assert list(again.about["variants"]) == [*names]
    # The panel of the own subject is the cell of a run without variants.
    assert read_cell(replace(whole.key, variants=()), tmp_path) is not None


def test_a_variant_that_could_not_be_built_is_tried_again(tmp_path):
    no = Variant("no", "none", Impossible(), (replace(confidence(), name="impossible"),))
    key = CellKey("toy", "smoke", 0, tuple(map(repr, PANEL)), SETTINGS.held_out, (repr(no),))
    run_cell(TOY, load(0, "smoke"), PANEL, key, SETTINGS, (no,), parts=tmp_path)
    assert read_cell(replace(key, detectors=()), tmp_path) is None


def test_names_that_repeat_among_subjects_are_refused():
    with pytest.raises(InputError, match="repeated: confidence"):
        cell(Variant("again", "again", Louder(2.0), (confidence(),)))


@pytest.fixture(scope="module")
def tampering(tmp_path_factory):
    """A tiny predictor on texts whose readings are its measurements."""
    from transformers import LlamaForCausalLM

    folder = tmp_path_factory.mktemp("predictor")
    torch.manual_seed(0)
    predictor = MeasurementPredictor(LlamaForCausalLM(CONFIGS["llama"]()))
    save_predictor(folder, predictor, tokenizer(pad_token="<pad>"), Description(MARKER))

    def made(n: int, seed: int):
        examples = rows(n, seed)
        return examples.with_columns(anomalous=all_positive(examples) & ~examples["is_correct"].astype(bool))

    def loaded(seed: int, size: str) -> TaskData:
        test = [made(60, 10 * seed + 2), made(60, 10 * seed + 3)]
        test = [one.where(all_positive(one)) for one in test]
        correct = test[0]["is_correct"]
        group = [*("real" if one else "fake" for one in correct), *["trusted"] * len(test[1])]
        return TaskData(
            subject=load_predictor_subject(folder, name="tiny"),
            trusted=made(120, 10 * seed),
            untrusted=made(40, 10 * seed + 1),
            test=concat(test).with_columns(group=group),
            slices=(Slice("headline", ("fake",), ("real",)),),
            condition=all_positive,
            predictor=folder,
            contrast=Statements(" w3", " w4"),
            measured=made(80, 10 * seed + 4),
        )

    columns = {"text": "text", "outcome": "is_correct", "measurements": "measurements", "truth": "anomalous"}
    return Task(
        "tampered", "tiny", "tampering", "untrusted_baseline", loaded, columns, "resid.1", at="sensors"
    )


def test_named_methods_run_alone_beside_the_baseline_and_are_trained_once(tampering, tmp_path, monkeypatch):
    monkeypatch.setattr(bench_run, "find_tasks", lambda names: (tampering,))
    names = ("dbat_network", "contrast_mean_difference")
    config = Bench(("tampered",), detectors=names, size="smoke", out=tmp_path, panel=SETTINGS)
    (found,) = run_bench(config).cells["tampered"]
    assert not found.skipped
    assert set(found.scores) == {"untrusted_baseline", *names}
    assert found.about["costs"]["contrast_mean_difference"]["scoring"]["forward"] == 2.0
    figures = found.about["measurement"]
    assert set(figures) == {"untrusted_baseline", *names}
    assert figures["untrusted_baseline"] == figures["contrast_mean_difference"]
    assert figures["untrusted_baseline"] != figures["dbat_network"]
    kept = list((tmp_path / "variants").glob("dbat_network-*/method.json"))
    assert len(kept) == 1
    # Another cell with the same method finds it trained.
    monkeypatch.setattr("ulterior.measurement.methods._train", None)
    again = run_bench(replace(config, detectors=names[:1])).cells["tampered"][0]
    same(again.scores["dbat_network"], found.scores["dbat_network"])


def test_all_methods_are_the_default_panel_every_further_score_and_every_variant(tampering):
    config = Bench(("tampered",))
    panel, none = task_methods(tampering, config)
    assert none == ()
    again, variants = task_methods(tampering, replace(config, methods="all"))
    assert again == (*panel, *further_panel(tampering.sites, tampering.at))
    assert task_methods(tampering, replace(config, methods="further")) == (again, ())
    assert variants == task_variants(tampering, config.size)
    assert set(tampering_variants(tampering.columns)) < set(variants)
    names = [one.name for one in (*again, *(one for each in variants for one in each.panel))]
    assert len(set(names)) == len(names)
    assert {"exclusion", "ace_network", "ace_network_oracle", "finetune_truth", "ccs"} <= set(names)
    of_any_task = {one.name for one in task_methods(TOY, replace(config, methods="all"))[1]}
    assert of_any_task == {one.name for one in variants} - {
        one.name for one in tampering_variants(tampering.columns)
    }
    assert "functional_attribution" in of_any_task
    # Their text is all that a cell's name knows of them.
    assert all(" at 0x" not in repr(one) for one in variants)


def test_a_task_without_a_predictor_skips_what_needs_one():
    methods = tampering_variants({"outcome": "is_correct", "truth": "anomalous"})
    exclusion = next(one for one in methods if one.name == "exclusion")
    assert isinstance(exclusion.build, TrainFurther)
    found = cell(*methods)
    assert "no measurement predictor" in found.skipped["exclusion"]
    assert "no measurement predictor" in found.skipped["ccs"]
    assert set(found.scores) == {one.name for one in PANEL}


def test_a_suite_stands_for_its_tasks():
    assert "diamonds" in SUITES["tampering"]
    assert "injection" not in SUITES["tampering"]
    assert set(SUITES["tampering"]) <= set(MODULES)
    assert [task.name for task in find_tasks(("diamonds", "tampering"))] == [*SUITES["tampering"]]
    with pytest.raises(InputError, match="and the suite tampering"):
        find_tasks(("nothing",))
